"""The rules that end candidates early, over records alone."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest

from bakeoff.runs.records import CandidateRecord, EpochRecord
from bakeoff.search.options import SearchOptions
from bakeoff.search.pruners import halving, nothing
from bakeoff.search.space import MethodSpace
from bakeoff.types import RunState


def record(rate: float, losses: Sequence[float], state: RunState) -> CandidateRecord:
    epochs = tuple(
        EpochRecord(epoch=number, train_nll=loss, val_nll=loss, seconds=0.0)
        for number, loss in enumerate(losses, start=1)
    )
    best = min(epochs, key=lambda e: e.val_nll).epoch if epochs else None
    return CandidateRecord(
        method="m", learning_rate=rate, seed=0, state=state, best_epoch=best, epochs=epochs
    )


def space(rungs: tuple[int, ...], factor: int = 3) -> MethodSpace:
    search = SearchOptions(reduction_factor=factor)
    return MethodSpace(method="m", centre=1.0, seed=0, search=search, rungs=rungs)


def allowed(
    rung: int, rungs: Sequence[int], factor: int, records: Sequence[CandidateRecord]
) -> set[str]:
    """Who goes on from a rung, in words: the best 1 in ``factor``, rounded up, and all that tie.

    All that entered this rung count: those that reached it with the best that they had by then,
    those that stopped or completed on the way with their best, those that failed as the worst.
    """
    entered_after = max((r for r in rungs if r < rung), default=0)
    scores = {}
    for one in records:
        losses = [epoch.val_nll for epoch in one.epochs]
        if len(losses) >= rung:
            scores[one.id] = min(losses[:rung])
        elif len(losses) < entered_after:
            continue
        elif one.state in (RunState.DIVERGED, RunState.FAILED):
            scores[one.id] = math.inf
        elif one.state in (RunState.COMPLETE, RunState.STOPPED):
            scores[one.id] = min(losses)
    places = math.ceil(len(scores) / factor)
    return {
        name
        for name, own in scores.items()
        if sum(other < own for other in scores.values()) < places
    }


@pytest.mark.parametrize("seed", range(40))
def test_halving_is_the_rule_over_random_records(seed: int) -> None:
    draw = random.Random(seed)
    factor = draw.choice([2, 3, 4])
    rungs = (1, factor, factor**2)
    rung = draw.choice(rungs)
    records = []
    for number in range(draw.randrange(1, 14)):
        state = draw.choice(
            [RunState.PAUSED] * 3 + [RunState.DIVERGED, RunState.FAILED, RunState.STOPPED]
        )
        reached = draw.choice([r for r in rungs if r <= rung])
        if state is not RunState.PAUSED:
            reached = draw.randrange(1 if state is RunState.STOPPED else 0, rung + 1)
        elif reached < rung:
            state = RunState.PRUNED
        losses = [float(draw.randrange(12)) for _ in range(reached)]
        records.append(record(float(number), losses, state))
    losses = [float(draw.randrange(12)) for _ in range(rung)]
    records.append(record(99.0, losses, RunState.PAUSED))
    goes_on = allowed(rung, rungs, factor, records)
    verdicts = halving.judge(space(rungs, factor), records, 1)
    paused = {one.id for one in records if one.state is RunState.PAUSED}
    assert set(verdicts.continuations) == paused & goes_on
    assert {stop.id for stop in verdicts.stops} == paused - goes_on
    shuffled = draw.sample(records, len(records))
    again = halving.judge(space(rungs, factor), shuffled, 1)
    assert set(again.continuations) == set(verdicts.continuations)


def test_what_is_pruned_says_why() -> None:
    records = [
        record(1.0, [2.0], RunState.PAUSED),
        record(2.0, [1.0], RunState.PAUSED),
        record(3.0, [3.0], RunState.PAUSED),
    ]
    verdicts = halving.judge(space((1,)), records, 1)
    assert [(stop.id, stop.reason) for stop in verdicts.stops] == [
        ("m-lr1-s0", "after epoch 1 its validation NLL 2.0000 was not among the best 1 in 3 of m"),
        ("m-lr3-s0", "after epoch 1 its validation NLL 3.0000 was not among the best 1 in 3 of m"),
    ]


def test_those_that_wait_at_a_later_rung_are_left_until_the_others_are_there() -> None:
    records = [record(1.0, [2.0, 1.0, 1.0], RunState.PAUSED), record(2.0, [1.5], RunState.PAUSED)]
    verdicts = halving.judge(space((1, 3)), records, 2)
    assert (verdicts.stops, verdicts.continuations) == ((), ("m-lr2-s0",))


def test_without_a_pruner_none_is_ended() -> None:
    records = [record(1.0, [2.0], RunState.PAUSED), record(2.0, [1.0], RunState.COMPLETE)]
    assert nothing.rungs(9, 3) == ()
    verdicts = nothing.judge(space(()), records, 1)
    assert (verdicts.stops, verdicts.continuations) == ((), ("m-lr1-s0",))
