"""The rules of the recommendation, over p-values that are made up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from bakeoff.decide.referee.influence import Floats
from bakeoff.decide.referee.pairs import PairTests
from bakeoff.decide.referee.recommend import Choice, Outcome, choose

ALPHA = 0.05
MARGIN = 1.0


def made_of(values: Floats, error: float, **changes: object) -> PairTests:
    """Differences of ``values`` [..., M], all with the same standard error, as if it were known."""
    difference = values[..., :, None] - values[..., None, :]
    fields = {
        "difference": difference,
        "variance": np.full(difference.shape, error**2),
        "freedom": np.full(difference.shape, 1e6),
        "differing_rows": np.full(difference.shape, 100),
        "has_seeds": np.ones(difference.shape, dtype=np.bool_),
        "tested": np.ones(difference.shape, dtype=np.bool_),
    }
    return PairTests(**{**fields, **changes})  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Case:
    """Values of the methods, then of the baselines; what is expected of the methods' positions."""

    values: tuple[float, ...]
    error: float = 0.1
    baselines: int = 0
    costs: tuple[float, ...] | None = None
    outcome: Outcome
    method: int = -1
    near: tuple[int, ...] = ()
    behind: tuple[int, ...] = ()


def chosen(values: Floats, error: float, baselines: int, costs: tuple[float, ...] | None) -> Choice:
    size = values.shape[-1] - baselines
    return choose(
        made_of(values, error),
        values,
        candidates=range(size),
        baselines=range(size, size + baselines),
        costs=costs or (0.0,) * size,
        higher_is_better=True,
        margin=MARGIN,
        alpha=ALPHA,
    )


@pytest.mark.parametrize(
    "case",
    [
        Case(values=(5, 3, 1), outcome=Outcome.BEST, method=0, near=(0,), behind=(1, 2)),
        # Shown better than all others, though the others are within the margin of it.
        Case(values=(1.0, 0.6, 0.5), outcome=Outcome.BEST, method=0, near=(0, 1, 2)),
        # Two are equal up to the margin: the cheaper one, then the better mean.
        Case(
            values=(5, 5.1, 1),
            costs=(1, 2, 0),
            outcome=Outcome.CHEAPEST_EQUIVALENT,
            method=0,
            near=(0, 1),
            behind=(2,),
        ),
        Case(
            values=(5, 5.1, 1),
            outcome=Outcome.CHEAPEST_EQUIVALENT,
            method=1,
            near=(0, 1),
            behind=(2,),
        ),
        # The cheapest is not shown to be within the margin of the others.
        Case(
            values=(5, 5.1, 4.2),
            costs=(2, 1, 0),
            outcome=Outcome.CHEAPEST_EQUIVALENT,
            method=1,
            near=(0, 1),
            behind=(2,),
        ),
        # Nothing is shown of methods that are close, where the error is as large as the margin.
        Case(values=(5, 5.1, 4.9), error=1.0, outcome=Outcome.UNDECIDED),
        # Not even the leader is within the margin, but one is far behind.
        Case(values=(5, 5.1, -4), error=1.0, outcome=Outcome.UNDECIDED, behind=(2,)),
        # The best of them is not shown better than a baseline.
        Case(
            values=(5, 3, 4.9),
            baselines=1,
            outcome=Outcome.NONE,
            near=(0,),
            behind=(1,),
        ),
        Case(
            values=(5, 3, 4.5), baselines=1, outcome=Outcome.BEST, method=0, near=(0,), behind=(1,)
        ),
        # The cheapest is not over the baseline; the dearer one is.
        Case(
            values=(5.2, 5.4, 5.1),
            costs=(0, 1),
            error=0.12,
            baselines=1,
            outcome=Outcome.CHEAPEST_EQUIVALENT,
            method=1,
            near=(0, 1),
        ),
        # Better than one baseline, but not than the other.
        Case(values=(5, 3, 1, 4.95), baselines=2, outcome=Outcome.NONE, near=(0,), behind=(1,)),
        # The gain over the baseline may still be the margin.
        Case(
            values=(5, 3, 4.7),
            error=0.5,
            baselines=1,
            outcome=Outcome.UNDECIDED,
            near=(0,),
            behind=(1,),
        ),
        Case(values=(5,), outcome=Outcome.BEST, method=0, near=(0,)),
        Case(values=(5, 1), baselines=1, outcome=Outcome.BEST, method=0, near=(0,)),
        Case(values=(5, 7), baselines=1, outcome=Outcome.NONE, near=(0,)),
    ],
)
def test_rules(case: Case) -> None:
    choice = chosen(np.array(case.values), case.error, case.baselines, case.costs)
    assert Outcome(int(choice.outcome)) is case.outcome
    assert int(choice.method) == case.method
    assert tuple(np.flatnonzero(choice.near)) == case.near
    assert tuple(np.flatnonzero(choice.behind)) == case.behind


def test_best_needs_half_the_error() -> None:
    # Two methods: 1.8 errors apart is past 5 % on one side, and short of 2.5 %.
    between, beyond = np.array([18.0, 0.0]), np.array([20.0, 0.0])
    # It is not shown best, but worse than the other by the margin it is shown not to be.
    assert chosen(between, 10.0, 0, None).outcome == Outcome.CHEAPEST_EQUIVALENT
    assert chosen(between, 10.0, 0, None).behind.tolist() == [False, True]
    assert chosen(beyond, 10.0, 0, None).outcome == Outcome.BEST


def test_near_and_behind_are_stricter_with_more_methods() -> None:
    # 1.8 errors within the margin of the other: enough for one other method, not for three.
    error = 1.0 / 1.8
    assert chosen(np.array([5.0, 5.0]), error, 0, None).near.all()
    assert not chosen(np.array([5.0, 5.0, 5.0, 5.0]), error, 0, None).near.any()


def test_over_is_corrected_for_the_number_of_methods() -> None:
    # 1.8 errors above the baseline.
    assert chosen(np.array([1.8, 0.0]), 1.0, 1, None).over.all()
    assert not chosen(np.array([1.8, 1.8, 1.8, 0.0]), 1.0, 1, None).over.any()


def test_none_is_corrected_for_the_number_of_baselines() -> None:
    # The method gains 1.8 errors less than the margin on each baseline.
    error = 1.0 / 1.8
    assert chosen(np.array([0.0, 0.0]), error, 1, None).outcome == Outcome.NONE
    assert chosen(np.array([0.0, 0.0, 0.0]), error, 2, None).outcome == Outcome.UNDECIDED


def test_lower_is_better_mirrors() -> None:
    values = np.random.default_rng(0).normal(size=(200, 5))
    for sign in (1.0, -1.0):
        choice = choose(
            made_of(sign * values, 0.3),
            sign * values,
            candidates=range(4),
            baselines=[4],
            costs=(3.0, 1.0, 2.0, 4.0),
            higher_is_better=sign > 0,
            margin=MARGIN,
            alpha=ALPHA,
        )
        if sign > 0:
            first = choice
    assert np.array_equal(first.outcome, choice.outcome)
    assert np.array_equal(first.method, choice.method)
    assert len(set(first.outcome.tolist())) > 2


def test_a_candidate_without_seeds_leaves_all_undecided() -> None:
    values = np.array([9.0, 1.0, 0.0])
    has_seeds = np.ones((3, 3), dtype=np.bool_)
    has_seeds[1, 1] = False
    choice = choose(
        made_of(values, 0.1, has_seeds=has_seeds),
        values,
        candidates=range(3),
        baselines=[],
        costs=(0.0,) * 3,
        higher_is_better=True,
        margin=MARGIN,
        alpha=ALPHA,
    )
    assert choice.outcome == Outcome.UNDECIDED
    assert choice.method == -1


def test_several_studies_at_once_are_each_alone() -> None:
    values = np.random.default_rng(1).normal(size=(300, 4))
    together = chosen(values, 0.3, 1, (2.0, 1.0, 3.0))
    for b in range(300):
        alone = chosen(values[b], 0.3, 1, (2.0, 1.0, 3.0))
        assert (together.outcome[b], together.method[b]) == (alone.outcome, alone.method)
