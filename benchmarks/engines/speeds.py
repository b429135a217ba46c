"""Speed and memory of engines that train, measured in turn and printed a line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engines.measuring import Contest, Entrant, check_losses, print_record
from engines.workload import Workload

Figures = dict[str, tuple[float, int | None]]
"""By engine: tokens per second, of all candidates that it serves at once; peak memory in bytes."""


def run_training(
    contest: Contest,
    case: str,
    work: Workload,
    warmup: int,
    *,
    further: Callable[[Entrant], Mapping[str, Any]] = lambda entrant: {},
) -> Figures:
    """Times every update of all engines in turn, and prints what each reaches.

    Args:
        contest: with all engines, whose first losses must agree. warmup: updates before those
            that count. further: what a line says besides.
    """
    check_losses(case, {n: e.first for n, e in contest.entrants.items()}, work.dtype)
    steps = work.plan.num_steps
    contest.run([range(i, i + 1) for i in range(steps)], warmup)
    found: Figures = {}
    for name, entrant in contest.entrants.items():
        speed = entrant.engine.share * work.tokens_per_step / entrant.median
        found[name] = speed, entrant.peak_memory_bytes(steps - 1)
        print_record(
            engine=name,
            case=case,
            tokens_per_second=round(speed, 1),
            peak_memory_bytes=found[name][1],
            first_step_seconds=round(entrant.first_step_seconds, 3),
            first_loss=entrant.first,
            **further(entrant),
        )
    return found
