"""What the methods of a study that does not fit would take over a quantised base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Final

from bakeoff.base.model import Base
from bakeoff.engine.workbench import Workbench
from bakeoff.errors import ConfigError
from bakeoff.measure.needs import Need, most_rows, recomputing_of
from bakeoff.measure.traced import Predictor
from bakeoff.methods.entries import MethodEntry
from bakeoff.types import Quantization

_KINDS: Final[tuple[Quantization, ...]] = ("int8", "nf4")
"""By what they take, the most first; what is rounded more is tried last."""
_EXTRA: Final = "pip install 'bakeoff[quantization]'"


@dataclass(frozen=True, kw_only=True)
class OverQuantized:
    """With what one candidate of a method fits alone over a quantised base.

    Attributes:
        kind: in what the base's linear layers are held.
        rows: of the largest micro-batch that fits; None where it fits with recomputed activations
            alone.
        recomputed_rows: the same with recomputed activations, where that is more.
        settings: that hold the base so for the study and for this method.
    """

    kind: Quantization
    rows: int | None
    settings: tuple[str, ...]
    recomputed_rows: int | None = None


def predictor_over(bench: Workbench, predictor: Predictor, kind: Quantization) -> Predictor:
    """What traces the study's methods over its base held in another way, by shapes alone."""
    base = Base.of_shapes(bench.base, kind)
    other = replace(bench, base=base, bases={}, methods={})
    other.__dict__["plans"] = bench.plans
    return Predictor(
        other,
        dtype=predictor.base.compute_dtype,
        gpu=predictor.gpu,
        cost=predictor.cost,
        known=predictor.known,
    )


def held_in(bench: Workbench, entry: MethodEntry) -> str:
    """In what the base is held that a method trains on."""
    methods = bench.methods.get(entry.name) or {}
    return next((m.base.choice.quantization for m in methods.values()), bench.base.quantization)


def over_quantized(
    bench: Workbench, predictor: Predictor, needs: Sequence[Need], available: int, margin: float
) -> dict[str, OverQuantized]:
    """The methods that fit, each alone, where all are over the study's base in fewer bits.

    One format is taken for all of them, the mildest in which each fits, or else the one in which
    most do. What is held in few bits already is never held in more. A method that needs the whole
    base is not among them.

    Args:
        bench: the study. predictor: of it. needs: of its methods.
        available: bytes, those of the bases that the study holds now among them.
        margin: the share of what is let go that cannot be counted on.

    Returns:
        By name; empty where no method fits so, or nothing can be held in fewer bits.
    """
    able = [need for need in needs if not need.entry.spec.whole_base]
    found: dict[str, OverQuantized] = {}
    kinds = {held_in(bench, need.entry) for need in needs} | {bench.base.quantization}
    for kind in _KINDS:
        if len(found) == len(able):
            break
        if kinds <= {kind} or not kinds <= {"none", *_KINDS[: _KINDS.index(kind) + 1]}:
            continue
        try:
            other = predictor_over(bench, predictor, kind)
            room = available - int(margin * max(0, predictor.all_bytes - other.all_bytes))
            fitting = {
                need.entry.name: one
                for need in able
                if (one := _over(bench, other, need, kind, room)) is not None
            }
        except ConfigError:  # bitsandbytes is not here, and 4 bits are not traced without it
            continue
        if len(fitting) > len(found):
            found = fitting
    return found


def _over(
    bench: Workbench, other: Predictor, need: Need, kind: Quantization, available: int
) -> OverQuantized | None:
    """With what a method fits over a base held in another way; None where it does not."""
    size = need.alone.rows

    def reserved(rows: int, study: Workbench | None = None) -> int:
        return other.training(need.entry, need.label, rows, study=study).reserved_bytes

    rows = most_rows(reserved, size, available)
    recomputed = None
    if not bench.engine.recomputes and (rows is None or rows < size):
        study = recomputing_of(bench)
        recomputed = most_rows(lambda number: reserved(number, study), size, available)
    if rows is None and recomputed is None:
        return None
    more = recomputed if recomputed is not None and recomputed > (rows or 0) else None
    settings = _settings(bench, need.entry, kind)
    return OverQuantized(kind=kind, rows=rows, recomputed_rows=more, settings=settings)


def _settings(bench: Workbench, entry: MethodEntry, kind: Quantization) -> tuple[str, ...]:
    shared = () if bench.base.quantization == kind else (f"quantization={kind}",)
    has_own = entry.quantization not in (None, kind)
    return (*shared, *([f"methods.{entry.name}.quantization={kind}"] if has_own else []))


def needed_first() -> str:
    """What must be installed before a base can be quantised; empty where it is."""
    return "" if find_spec("bitsandbytes") is not None else f" (after {_EXTRA})"
