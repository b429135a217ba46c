"""What a search reaches for what it spends, against its definition."""

from __future__ import annotations

import itertools
import math
import statistics

import pytest

from bakeoff.decide.effort import best_so_far, expected_best
from bakeoff.runs.records import CandidateRecord, EpochRecord
from bakeoff.types import RunState

LOSSES = [3.0, 1.0, 2.5, 1.0]


@pytest.mark.parametrize("trials", [1, 2, 3, 4])
def test_the_expected_best_is_the_mean_minimum_of_all_draws_with_replacement(trials: int) -> None:
    draws = itertools.product(LOSSES, repeat=trials)
    mean = statistics.fmean(min(drawn) for drawn in draws)
    assert expected_best(LOSSES, worst=9.0)[trials - 1] == pytest.approx(mean)


def test_the_expected_best_does_not_rise_and_knows_no_order() -> None:
    found = expected_best(LOSSES, worst=9.0)
    assert len(found) == 4
    assert all(b <= a for a, b in itertools.pairwise(found))
    assert expected_best(sorted(LOSSES), worst=9.0) == found
    assert expected_best([], worst=9.0) == []
    assert expected_best([2.0], worst=9.0) == [2.0]


def test_what_went_wrong_or_is_worse_than_before_counts_as_what_there_was_before() -> None:
    assert expected_best([1.0, math.inf, math.nan, 7.0], worst=3.0) == pytest.approx(
        expected_best([1.0, 3.0, 3.0, 3.0], worst=9.0)
    )


def trial(*losses: float, state: RunState = RunState.COMPLETE) -> CandidateRecord:
    epochs = tuple(
        EpochRecord(epoch=number, train_nll=0.0, val_nll=loss, seconds=0.0)
        for number, loss in enumerate(losses, start=1)
    )
    return CandidateRecord(
        method="m", learning_rate=1.0, seed=0, state=state, best_epoch=1, epochs=epochs
    )


def test_the_best_so_far_goes_over_all_before_any_goes_further() -> None:
    trials = [trial(3.0, 2.0), trial(4.0, state=RunState.PRUNED), trial(2.5, 2.2)]
    assert best_so_far(trials, 10.0) == [
        (10.0, 3.0),
        (20.0, 3.0),
        (30.0, 2.5),
        (40.0, 2.0),
        (50.0, 2.0),
    ]
    assert best_so_far([], 10.0) == []
    assert best_so_far([trial(state=RunState.DIVERGED)], 10.0) == []
