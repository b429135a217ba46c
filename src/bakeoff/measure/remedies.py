"""With what a method fits that does not fit as the study has it.

Each change is traced, not guessed. They are tried in an order: a smaller micro-batch changes
rounding alone, recomputed activations only time, a quantised base what is trained over, shorter
rows the task, and a method that is left out the question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from bakeoff.data.batches import BatchPlan
from bakeoff.data.ragged import Ragged
from bakeoff.data.taskdata import SplitData
from bakeoff.engine.workbench import Workbench, plan_of
from bakeoff.formatting import join
from bakeoff.measure.needs import most_rows, recomputing_of
from bakeoff.measure.quantizing import OverQuantized, needed_first
from bakeoff.measure.traced import Prediction, Predictor
from bakeoff.methods.entries import MethodEntry
from bakeoff.types import SPLITS

_WIDTH_STEP: Final = 32
_SHORTEST_DOCUMENT: Final = 32
_LENGTHS_TRIED: Final = 4
_LONGEST_ROWS: Final = 64


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """With what one candidate of a method fits, alone; None where it does not fit so.

    Attributes:
        name: of the method. micro_batch_size: that the study has.
        rows: of the largest micro-batch that fits, with all else as it is.
        checkpointed_rows: the same with recomputed activations.
        max_length: a length at which one row fits.
        quantized: the same as ``rows`` over a quantised base.
        needs_whole_base: whether it cannot be trained over one.
    """

    name: str
    micro_batch_size: int
    rows: int | None
    checkpointed_rows: int | None = None
    max_length: int | None = None
    quantized: OverQuantized | None = None
    needs_whole_base: bool = False

    @property
    def says(self) -> str:
        """A clause of a sentence, such as ``fits with micro-batches of 4 rows``."""
        if self.rows is not None and self.rows >= self.micro_batch_size:
            return f"fits with micro-batches of {_rows(self.rows)}, as the study has them"
        if self.rows is not None:
            return f"fits with micro-batches of {_rows(self.rows)}, not {self.micro_batch_size}"
        if self.checkpointed_rows is not None:
            return (
                "fits with recomputed activations (engine.gradient_checkpointing) and "
                f"micro-batches of {_rows(self.checkpointed_rows)}"
            )
        if self.quantized is not None:
            over = self.quantized
            recomputing = "" if over.rows else " and recomputed activations"
            return (
                f"fits over the base in {over.kind}{recomputing} with micro-batches of "
                f"{_rows(over.rows or over.recomputed_rows or 1)}"
            )
        if self.max_length is not None:
            return f"fits with one row at a time of at most {self.max_length} tokens"
        return "does not fit, however small its batches are and however short its rows"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def fitting_of(
    bench: Workbench,
    predictor: Predictor,
    entry: MethodEntry,
    label: str,
    alone: Prediction,
    available: int,
) -> Fitting:
    """Finds with what a method fits.

    Args:
        bench: the study. predictor: of it.
        entry: the method. label: of the variant that trains most.
        alone: the prediction of one candidate as the study has it. available: bytes.
    """
    size = alone.rows
    if alone.reserved_bytes <= available:
        return Fitting(name=entry.name, micro_batch_size=size, rows=size)

    def reserved(rows: int, study: Workbench | None = None) -> int:
        if rows == size and study is None:
            return alone.reserved_bytes
        return predictor.training(entry, label, rows, study=study).reserved_bytes

    def fits(rows: int, study: Workbench | None = None) -> bool:
        return reserved(rows, study) <= available

    rows = most_rows(reserved, size, available) if size > 1 else None
    recomputing = None
    if not bench.engine.recomputes:
        recomputed = recomputing_of(bench)
        recomputing = most_rows(lambda number: reserved(number, recomputed), size, available)
    length = None
    if rows is None:
        length = _length(bench, predictor, entry, label, available, fits)
    return Fitting(
        name=entry.name,
        micro_batch_size=size,
        rows=rows,
        checkpointed_rows=recomputing,
        max_length=length,
    )


def _length(
    bench: Workbench,
    predictor: Predictor,
    entry: MethodEntry,
    label: str,
    available: int,
    fits: Callable[[int, Workbench | None], bool],
) -> int | None:
    """A length at which one row fits: guessed from what a token takes, and traced."""
    task = bench.task.options
    one = predictor.training(entry, label, 1)
    room = available - one.base_bytes - one.held_bytes
    a_token = (one.slot_bytes + one.beside_bytes - one.held_bytes) / max(1, one.tokens)
    shortest: int = -(-(task.max_target_tokens + _SHORTEST_DOCUMENT) // _WIDTH_STEP) * _WIDTH_STEP
    length: int = max(shortest, int(room / max(1.0, a_token)) // _WIDTH_STEP * _WIDTH_STEP)
    for _ in range(_LENGTHS_TRIED):
        if not shortest <= length < bench.task.max_length:
            return None
        if fits(1, shortened(bench, length)):
            return length
        length -= _WIDTH_STEP
    return None


def shortened(bench: Workbench, length: int) -> Workbench:
    """The study with rows of at most so many tokens, which keep their ends; for traces alone.

    Only the longest rows are there: a trace takes its shapes from them.
    """

    def plan(part: SplitData) -> BatchPlan:
        offsets = part.tokens.offsets
        longest = np.sort(np.argsort(np.diff(offsets), kind="stable")[-_LONGEST_ROWS:])
        spans = [(max(offsets[i], offsets[i + 1] - length), offsets[i + 1]) for i in longest]
        targets = [part.is_target[start:stop].copy() for start, stop in spans]
        for row in targets:
            row[:1] = False  # nothing is before it to predict it from
        cut = replace(
            part,
            tokens=Ragged.from_rows([part.tokens.values[start:stop] for start, stop in spans]),
            is_target=np.concatenate(targets),
        )
        return plan_of(cut, length, bench.task, bench.base, bench.protocol)

    changed = replace(bench)
    changed.__dict__["plans"] = {split: plan(bench.data.splits[split]) for split in SPLITS}
    return changed


def remedies_of(bench: Workbench, found: Sequence[Fitting], *, seats_several: bool) -> list[str]:
    """The changes with which the study fits, in order, as text; none where no method ever fits.

    A quantised base leaves methods out that need a whole one, and is named in its place
    all the same, unless leaving just those out is enough.

    Args:
        bench: the study. found: of each of its methods, those that fit as they are included.
        seats_several: whether the study would seat several candidates in one pass.
    """
    alone = " --set slots=1" if seats_several else ""
    changes = []
    left_out: tuple[list[str], str] | None = None
    for level in (_smaller, _recomputing, _quantized, _quantized_recomputing, _shorter):
        kept = [one for one in found if level(bench, [one]) is not None]
        change = level(bench, kept) if kept else None
        if not change:
            continue
        out = [one.name for one in found if one not in kept]
        whole = [one.name for one in found if one.needs_whole_base]
        if not out:
            changes.append(f"{change}{alone}")
        elif (
            level in _OVER_QUANTIZED and out == whole and (left_out is None or left_out[0] != whole)
        ):
            changes.append(f"{change} {_without(out)}{alone}")
        elif left_out is None:
            said = f"leaving out {join([f'methods.{name}' for name in out])}: {_without(out)}"
            if level in _OVER_QUANTIZED or any(one.rows != one.micro_batch_size for one in kept):
                said += f", with {change}{alone}"
            left_out = out, said
    return [*changes, *([left_out[1]] if left_out else [])]


def _without(names: Sequence[str]) -> str:
    return " ".join(f"--set methods.{name}=null" for name in names)


def _smaller(bench: Workbench, found: Sequence[Fitting]) -> str | None:
    rows = [one.rows for one in found if one.rows is not None]
    if len(rows) < len(found):
        return None
    return f"smaller micro-batches: {_sets(bench, min(rows))}"


def _recomputing(bench: Workbench, found: Sequence[Fitting]) -> str | None:
    rows = [rows for one in found if (rows := one.checkpointed_rows or one.rows) is not None]
    if len(rows) < len(found) or bench.engine.recomputes:
        return None
    batches = f" {_sets(bench, min(rows))}" if min(rows) < found[0].micro_batch_size else ""
    return f"recomputed activations: --set engine.gradient_checkpointing=true{batches}"


def _quantized(bench: Workbench, found: Sequence[Fitting]) -> str | None:
    over = [one.quantized for one in found]
    rows = [one.rows for one in over if one is not None and one.rows is not None]
    if len(rows) < len(found):
        return None
    return f"a quantised base{needed_first()}: {_held(over)}{_batches(bench, found, min(rows))}"


def _quantized_recomputing(bench: Workbench, found: Sequence[Fitting]) -> str | None:
    over = [one.quantized for one in found]
    if not any(one is not None and one.recomputed_rows for one in over):
        return None
    rows = [one.recomputed_rows or one.rows for one in over if one is not None]
    known = [number for number in rows if number is not None]
    if len(known) < len(found):
        return None
    return (
        f"a quantised base and recomputed activations{needed_first()}: {_held(over)} "
        f"--set engine.gradient_checkpointing=true{_batches(bench, found, min(known))}"
    )


_OVER_QUANTIZED: Final = (_quantized, _quantized_recomputing)


def _held(over: Sequence[OverQuantized | None]) -> str:
    keys = dict.fromkeys(key for one in over if one is not None for key in one.settings)
    return " ".join(f"--set {key}" for key in keys)


def _batches(bench: Workbench, found: Sequence[Fitting], rows: int) -> str:
    return f" {_sets(bench, rows)}" if rows < found[0].micro_batch_size else ""


def _shorter(bench: Workbench, found: Sequence[Fitting]) -> str | None:
    lengths = [one.max_length for one in found if one.rows is None]
    known = [length for length in lengths if length is not None]
    if len(known) < len(lengths):
        return None
    if not known:
        return ""  # all fit as long as they are
    return f"shorter documents: --set task.max_length={min(known)} {_sets(bench, 1)}"


def _sets(bench: Workbench, rows: int) -> str:
    accumulated = -(-bench.protocol.rows_per_step // rows)
    return f"--set protocol.micro_batch_size={rows} --set protocol.grad_accum_steps={accumulated}"
