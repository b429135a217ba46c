"""Successive halving over whole rungs, with pauses.

A method's candidates train up to a rung, give up their slots, and once all of them are there the
best go on and the others are pruned (Li et al. 2020, "A System for Massively Parallel
Hyperparameter Tuning", algorithm 2). Optuna's own ``SuccessiveHalvingPruner`` compares a trial with
those that came before it and lets the first of a rung go on whatever it is worth; here the order in
which candidates come means nothing. What a soft prompt has reached after one epoch of ten says
little of what it will reach, so nothing is judged before a third of the epochs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from bakeoff.runs.records import CandidateRecord
from bakeoff.search.contract import Stop, Verdicts
from bakeoff.search.space import MethodSpace
from bakeoff.search.standing import loss_of, lowest_rung
from bakeoff.types import RunState

_SHARE = 3
"""No candidate is judged before one in so many of its epochs."""


def rungs(epochs: int, reduction_factor: int) -> tuple[int, ...]:
    """See ``contract.Rungs``: from a third of the epochs on, so that slow starters survive."""
    first = math.ceil(epochs / _SHARE)
    powers = (first * reduction_factor**i for i in itertools.count())
    return tuple(itertools.takewhile(lambda rung: rung < epochs, powers))


def judge(space: MethodSpace, records: Sequence[CandidateRecord], round: int) -> Verdicts:
    """See ``contract.Judge``: of those at the lowest rung the best 1 in the factor go on.

    Their number is rounded up, and all that tie for the last place go on.
    """
    rung = lowest_rung(records)
    if rung is None:
        return Verdicts()
    known = sorted(loss for r in records if (loss := brought(r, rung, space.rungs)) is not None)
    factor = space.search.reduction_factor
    worst = known[math.ceil(len(known) / factor) - 1]
    stops, continuations = [], []
    for record in records:
        if record.state is not RunState.PAUSED or len(record.epochs) != rung:
            continue
        loss = brought(record, rung, space.rungs)
        if loss is not None and loss > worst:
            reason = (
                f"after epoch {rung} its validation NLL {loss_of(record):.4f} was not among "
                f"the best 1 in {factor} of {space.method}"
            )
            stops.append(Stop(id=record.id, reason=reason))
        else:
            continuations.append(record.id)
    return Verdicts(stops=tuple(stops), continuations=tuple(continuations))


def brought(record: CandidateRecord, rung: int, rungs: Sequence[int]) -> float | None:
    """What a candidate brings to a rung: its lowest validation NLL until then.

    One that ended on the way to it brings that, or infinity where it diverged or failed; one that
    did not come so far brings None.
    """
    reached = len(record.epochs)
    if reached < rung:
        before = max((r for r in rungs if r < rung), default=0)
        ended = record.state.is_final and record.state is not RunState.PRUNED
        if not ended or reached < before:
            return None
        if not record.state.is_eligible:
            return math.inf
    return min(epoch.val_nll for epoch in record.epochs if epoch.epoch <= rung)
