"""Whether training had ended before it stopped: the rule, on made-up curves."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bakeoff.decide.convergence import converged, last_gain
from bakeoff.runs.records import CandidateRecord, EpochRecord
from bakeoff.types import RunState


def run(*losses: float, state: RunState = RunState.COMPLETE) -> CandidateRecord:
    epochs = tuple(
        EpochRecord(epoch=number, train_nll=0.0, val_nll=loss, seconds=0.0)
        for number, loss in enumerate(losses, start=1)
    )
    best = min(epochs, key=lambda epoch: epoch.val_nll).epoch if epochs else None
    return CandidateRecord(
        method="m", learning_rate=1.0, seed=0, state=state, best_epoch=best, epochs=epochs
    )


@pytest.mark.parametrize(
    ("losses", "untuned", "gain"),
    [
        ((3.0, 2.0, 1.5), None, 0.5),
        ((3.0, 1.0, 1.5), None, -0.5),
        ((3.0, 1.0, 1.5, 0.9), None, 0.1),  # below the lowest so far, not below the one before
        ((3.0,), None, None),
        ((3.0,), 3.5, 0.5),
        ((3.0,), 2.5, None),
        ((3.0, 2.9), 2.5, 0.1),  # still above the untuned base, and still learning
        ((), 3.5, None),
    ],
)
def test_the_last_epochs_gain_is_against_the_lowest_before_it(
    losses: Sequence[float], untuned: float | None, gain: float | None
) -> None:
    found = last_gain(run(*losses).epochs, untuned)
    assert found == (gain if gain is None else pytest.approx(gain))


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([run(3.0, 2.0, 1.999)], True),
        ([run(3.0, 2.0, 1.98)], False),
        ([run(3.0, 2.0, 1.999), run(3.0, 2.0, 1.9)], False),  # one is enough
        ([run(3.0, 2.0, 2.1, state=RunState.STOPPED)], True),
        ([run(3.0, 2.0, 1.0, state=RunState.DIVERGED), run(2.0, 2.0)], True),
        ([run(3.0, 2.0, 1.0, state=RunState.FAILED)], None),
        ([run(3.0)], None),
        ([], None),
    ],
)
def test_a_tenth_of_the_margin_is_what_a_converged_run_may_still_gain(
    runs: list[CandidateRecord], expected: bool | None
) -> None:
    assert converged(runs, margin=0.1, decays=False) is expected


def test_a_rate_that_decays_leaves_the_question_open() -> None:
    assert converged([run(3.0, 2.0, 1.0)], margin=0.1, decays=True) is None


def test_a_single_epoch_is_held_against_the_untuned_base() -> None:
    assert converged([run(3.0)], margin=0.1, decays=False, untuned=4.0) is False
    assert converged([run(3.0)], margin=0.1, decays=False, untuned=3.005) is True
    assert converged([run(3.0)], margin=0.1, decays=False, untuned=2.0) is None
