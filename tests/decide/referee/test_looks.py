from __future__ import annotations

import numpy as np
import pytest

from bakeoff.decide.referee.components import Components, components_of
from bakeoff.decide.referee.influence import of_means
from bakeoff.decide.referee.looks import NOTHING_SAID, Standing, look, look_alphas, wants_seeds
from bakeoff.decide.referee.recommend import Outcome
from bakeoff.errors import ConfigError


@pytest.mark.parametrize(
    ("at_least", "at_most", "expected"),
    [
        (3, 10, {3: 0.010, 5: 0.015, 10: 0.025}),
        (3, 5, {3: 0.02, 5: 0.03}),
        (3, 8, {3: 0.02, 5: 0.03}),
        (3, 3, {3: 0.05}),
        (5, 10, {5: 0.05 * 0.375, 10: 0.05 * 0.625}),
    ],
)
def test_the_error_is_split(at_least: int, at_most: int, expected: dict[int, float]) -> None:
    found = look_alphas(0.05, at_least=at_least, at_most=at_most)
    assert found == pytest.approx(expected)
    assert sum(found.values()) == pytest.approx(0.05)


def test_the_error_scales() -> None:
    assert look_alphas(0.10) == pytest.approx({3: 0.02, 5: 0.03, 10: 0.05})


def test_no_look_within_the_bounds() -> None:
    with pytest.raises(ConfigError, match="no look is between at_least 6 and at_most 9"):
        look_alphas(0.05, at_least=6, at_most=9)


def drawn(shifts: list[float], spreads: list[float], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        shift + spread * rng.standard_normal((10, 1)) + 0.02 * rng.standard_normal((10, 200))
        for shift, spread in zip(shifts, spreads, strict=True)
    ]


def looked(
    scores: list[np.ndarray], seeds: list[int], before: Standing, num_seeds: int, alpha: float
) -> tuple[list[Components], Standing]:
    methods = [components_of(of_means(s[:n])) for s, n in zip(scores, seeds, strict=True)]
    return methods, look(
        methods,
        before,
        num_seeds=num_seeds,
        candidates=range(len(methods)),
        baselines=[],
        costs=[0.0] * len(methods),
        higher_is_better=True,
        margin=0.05,
        alpha=alpha,
    )


def test_methods_that_are_decided_get_no_more_seeds() -> None:
    scores = drawn([0.0, 0.0, -3.0], [0.02, 0.02, 0.02])
    methods, first = looked(scores, [3, 3, 3], NOTHING_SAID, 3, 0.01)
    assert first.verdicts == {(0, 2): "better", (1, 2): "better"}
    assert first.behind == {2}
    assert first.outcome is Outcome.UNDECIDED
    for aim in ("pairs", "recommendation"):
        assert wants_seeds(methods, first, candidates=range(3), aim=aim) == [0, 1]
    # The third keeps its three seeds, and its verdicts.
    methods, second = looked(scores, [10, 10, 3], first, 10, 0.025)
    assert second.verdicts.items() >= first.verdicts.items()
    assert (0, 1) in second.verdicts
    assert second.outcome is Outcome.CHEAPEST_EQUIVALENT
    assert wants_seeds(methods, second, candidates=range(3), aim="recommendation") == []
    assert wants_seeds(methods, second, candidates=range(3), aim="pairs") == []


def test_a_verdict_stays_and_leaves_the_family() -> None:
    scores = drawn([0.0, 0.0], [0.02, 0.02])
    given = Standing(verdicts={(0, 1): "worse"}, behind=frozenset(), outcome=Outcome.BEST, method=1)
    _, after = looked(scores, [5, 5], given, 5, 0.5)
    assert after == given


def test_a_pair_waits_until_both_have_the_seeds_of_the_look() -> None:
    scores = drawn([0.0, 9.0], [0.02, 0.02])
    _, after = looked(scores, [5, 3], NOTHING_SAID, 5, 0.015)
    assert after.verdicts == {}


def test_a_fixed_method_gets_no_seeds() -> None:
    scores = drawn([0.0, 0.001], [0.02, 0.02])
    scores[1] = np.tile(scores[1][:1], (10, 1))
    methods, after = looked(scores, [3, 3], NOTHING_SAID, 3, 1e-9)
    assert after.verdicts == {}
    assert wants_seeds(methods, after, candidates=range(2), aim="pairs") == [0]
    assert wants_seeds(methods, after, candidates=range(2), aim="recommendation") == [0]


def test_equal_methods_are_seldom_called_different_over_all_looks() -> None:
    wrong = 0
    for seed in range(300):
        scores = drawn([0.0, 0.0, 0.0], [0.02, 0.02, 0.06], seed)
        standing = NOTHING_SAID
        for num_seeds, alpha in look_alphas(0.05).items():
            _, standing = looked(scores, [num_seeds] * 3, standing, num_seeds, alpha)
        wrong += any(verdict != "equivalent" for verdict in standing.verdicts.values())
    assert wrong <= 27  # asked: 5 %; three standard errors of 300 studies above it


def test_those_behind_take_no_further_part() -> None:
    given = Standing(verdicts={}, behind=frozenset({1}), outcome=Outcome.UNDECIDED, method=None)
    _, after = looked(drawn([0.0, 9.0], [0.02, 0.02]), [5, 5], given, 5, 0.015)
    assert (after.outcome, after.method) == (Outcome.BEST, 0)
    assert after.behind == {1}
