"""How a method's search stands, from the records of its candidates."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bakeoff.runs.records import CandidateRecord
from bakeoff.types import RunState

_WRONG = (RunState.DIVERGED, RunState.FAILED)


def loss_of(record: CandidateRecord) -> float:
    """The lowest validation NLL, infinity where there is none."""
    loss = record.best_val_nll
    return math.inf if loss is None else loss


def best_of(records: Sequence[CandidateRecord]) -> CandidateRecord | None:
    """The one with the lowest validation NLL so far; none that went wrong."""
    known = [r for r in records if r.best_epoch is not None and r.state not in _WRONG]
    return min(known, key=loss_of, default=None)


def lowest_rung(records: Sequence[CandidateRecord]) -> int | None:
    """The earliest rung at which any candidate is paused."""
    return min((len(r.epochs) for r in records if r.state is RunState.PAUSED), default=None)


def edge_of(records: Sequence[CandidateRecord]) -> tuple[CandidateRecord, bool] | None:
    """The best candidate and whether upward, where its rate is at the edge of those tried.

    A rate that diverged bounds the others like any other. Where all diverged, the lowest rate
    counts as the best.
    """
    best = best_of(records)
    if best is None:
        if any(r.state is RunState.FAILED for r in records):
            return None  # another rate would most likely fail as well
        return min(records, key=lambda r: r.rate), False
    rates = [r.rate for r in records if r.variant == best.variant]
    if len(rates) < 2 or min(rates) < best.rate < max(rates):
        return None
    return best, best.rate == max(rates)
