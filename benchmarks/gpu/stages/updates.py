"""Twenty updates of a method, eager against captured against compiled.

All three start from the same tensors and see the same batches. A first round over them compiles and
captures; in the second, whatever waits for the card is an error.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from bakeoff.base.model import Base
from bakeoff.engine.options import EngineOptions
from engines.memory import synchronize
from engines.ours import OurTraining
from engines.workload import Workload, ragged_plan
from gpu.card import CUDA, DTYPES, each_base, method_on, require_card, slots_of, small_base
from gpu.processes import Place
from gpu.records import Report

MODES = {
    "eager": EngineOptions(compile=False, cuda_graph=False),
    "captured": EngineOptions(compile=False, cuda_graph=True),
    "compiled": EngineOptions(compile=True, cuda_graph=True),
}
STEPS = 20
SLOTS, ROWS = 2, 4
TOLERANCES = {"float32": 2e-3, "bfloat16": 5e-2, "float16": 2e-2}
"""How far losses may be apart after forty updates, relatively: roundings grow with each."""


def run(report: Report, place: Place, kinds: Sequence[str], precision: str) -> None:
    """See the module.

    Args:
        report: records each base, method and mode. place: where.
        kinds: of methods. precision: of the base.
    """
    require_card()
    steps, rows_per_step = (1, ROWS) if place.dry_run else (STEPS, 2 * ROWS)
    for reference, chosen in each_base(kinds, all_pairs=not place.dry_run):
        base = small_base(reference, precision)
        work = Workload(
            plan=ragged_plan(
                steps=steps,
                rows_per_step=rows_per_step,
                max_length=96,
                vocabulary=base.vocabulary,
            ),
            rows=ROWS,
            device=CUDA,
            dtype=DTYPES[precision],
        )
        for kind in chosen:
            expected: list[float] | None = None
            for mode in MODES:
                with report.part(f"{reference} {kind} {mode}") as found:
                    curve = _curve(base, kind, work, MODES[mode], steps, found)
                    expected = expected or curve
                    _compare(curve, expected, precision, found)


def _curve(
    base: Base,
    kind: str,
    work: Workload,
    options: EngineOptions,
    steps: int,
    found: dict[str, Any],
) -> list[float]:
    """The first slot's losses over two rounds, and what the second took."""
    method, notes = method_on(base, kind), list[str]()
    base.may_capture = True  # whatever another method has given up
    started = time.perf_counter()
    training = OurTraining(
        base,
        0,
        method,
        slots_of(method, SLOTS),
        work,
        options,
        method.default_learning_rate,
        notes.append,
    )
    try:
        first = [training.update(index).clone() for index in range(steps)]
        synchronize(CUDA)
        found["first_round_seconds"] = round(time.perf_counter() - started, 3)
        before = _captures(training)
        started = time.perf_counter()
        with never_waiting():
            second = [training.update(index).clone() for index in range(steps)]
        synchronize(CUDA)
        found["ms_per_update"] = round(1e3 * (time.perf_counter() - started) / steps, 3)
        found["captures"] = _captures(training)
        found["peak_memory_bytes"] = int(torch.cuda.max_memory_allocated(CUDA))
        found["notes"] = notes
        assert not notes, f"not captured: {notes[0]}"
        assert found["captures"] == before, "the second round captured again"
        wanted = options.cuda_graph is True and training.cohort.is_capturable
        assert bool(found["captures"]) == wanted, f"{found['captures']} captures"
        return [float(loss_K[0]) for loss_K in (*first, *second)]
    finally:
        training.close()
        torch.compiler.reset()


def _captures(training: OurTraining) -> int:
    return 0 if training.graphs is None else training.graphs.num_captures


def _compare(
    curve: Sequence[float], expected: Sequence[float], precision: str, found: dict[str, Any]
) -> None:
    """Holds that a mode's losses are the eager ones.

    Raises:
        AssertionError: they are not, or they are not finite.
    """
    gaps = [abs(a - b) / max(abs(b), 1e-6) for a, b in zip(curve, expected, strict=True)]
    found["losses"] = [round(loss, 5) for loss in curve]
    found["largest_gap"] = max(gaps)
    found["says"] = (
        f"{curve[0]:.4f} to {curve[-1]:.4f}, gap {max(gaps):.1e}, {found['captures']} captures, "
        f"{found['ms_per_update']} ms per update"
    )
    allowed = TOLERANCES[precision]
    # Each by itself: the largest of some with NaN among them may be any of them.
    agree = all(gap <= allowed for gap in gaps)
    assert agree, f"losses are {max(gaps):.2e} apart, allowed {allowed:g}: {curve}"


@contextmanager
def never_waiting() -> Iterator[None]:
    """Inside, whatever waits for the card raises."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
