from __future__ import annotations

import itertools

import numpy as np
import pytest

from bakeoff.decide import comparisons as sig
from bakeoff.decide.comparisons import compare_methods
from bakeoff.errors import ConfigError, DataError
from bakeoff.runs.records import Comparison

SIMULATION_SEED = 2025


def simulate(
    rng: np.random.Generator, num_seeds: int, num_examples: int, seed_spread: float
) -> np.ndarray:
    """One method's scores around zero: each example's own ease for it, seeds and noise.

    ``seed_spread`` is a seed's effect as a multiple of what noise does to a seed's mean.
    """
    ease_N = 0.5 * rng.standard_normal(num_examples)
    effect_S1 = seed_spread * rng.standard_normal((num_seeds, 1)) / num_examples**0.5
    return np.asarray(ease_N + effect_S1 + rng.standard_normal((num_seeds, num_examples)))


def share_called_different(
    num_seeds: int,
    num_examples: int,
    seed_spread: float,
    *,
    shift: float = 0.0,
    tokens: bool = False,
    comparisons: int = 500,
) -> float:
    rng = np.random.default_rng(SIMULATION_SEED)
    called = 0
    for index in range(comparisons):
        shared_N = rng.standard_normal(num_examples)
        scores = {
            name: shared_N + simulate(rng, num_seeds, num_examples, seed_spread) for name in "ab"
        }
        scores["a"] += shift
        weights = None
        if tokens:
            lengths_N = rng.integers(5, 60, num_examples)
            weights = {name: np.tile(lengths_N, (num_seeds, 1)) for name in scores}
            scores = {k: (v / lengths_N**0.5 + 3.0) * lengths_N for k, v in scores.items()}
        (comparison,) = compare_methods(
            scores,
            metric="m",
            weights=weights,
            higher_is_better=True,
            resamples=499,
            seed=index,
        )
        low, high, p_value = interval(comparison)
        assert (comparison.verdict == "undecided") == (low <= 0.0 <= high)
        assert (comparison.verdict == "undecided") == (p_value > 1.0 - 0.95)
        called += comparison.verdict != "undecided"
    return called / comparisons


@pytest.mark.parametrize(
    ("num_seeds", "num_examples", "seed_spread", "tokens"),
    [
        (1, 20, 0.0, False),
        (1, 50, 0.0, True),
        (2, 50, 3.0, False),
        (3, 50, 0.0, False),
        (3, 50, 2.0, False),
        (3, 50, 20.0, False),
        (3, 50, 2.0, True),
    ],
)
def test_equal_methods_are_rarely_called_different(
    num_seeds: int, num_examples: int, seed_spread: float, tokens: bool
) -> None:
    """With three seeds and spreads of 2 and 20 a percentile bootstrap errs in 9 and 21 %.

    One seed leaves nothing on the safe side: the rate is the nominal 5 %, and 2,000 comparisons
    (a standard error of 0.5 %) are what tells it from more than 6 %.
    """
    share = share_called_different(
        num_seeds,
        num_examples,
        seed_spread,
        tokens=tokens,
        comparisons=2_000 if num_seeds == 1 else 500,
    )
    assert share <= 0.06


@pytest.mark.parametrize(("num_seeds", "shift"), [(1, 0.6), (3, 1.0)])
def test_clear_differences_are_found(num_seeds: int, shift: float) -> None:
    assert share_called_different(num_seeds, 100, 2.0 * (num_seeds > 1), shift=shift) >= 0.85


def interval(found: Comparison) -> tuple[float, float, float]:
    """Low, high and p-value, which this test always knows."""
    assert found.low is not None and found.high is not None and found.p_value is not None
    return found.low, found.high, found.p_value


def compare(
    scores: dict[str, np.ndarray], higher: bool = True, resamples: int = 10_000
) -> list[Comparison]:
    return compare_methods(
        scores, metric="m", weights=None, higher_is_better=higher, resamples=resamples
    )


def test_verdict_follows_the_direction() -> None:
    noise = np.random.default_rng(SIMULATION_SEED).normal(size=(2, 40))
    scores = {"x": noise[:1] + 5.0, "y": noise[1:]}
    (up,) = compare(scores)
    (down,) = compare(scores, higher=False)
    assert (up.a, up.b, up.metric, up.verdict, down.verdict) == ("x", "y", "m", "better", "worse")
    low, high, _ = interval(up)
    assert low < up.difference < high
    assert up.difference == pytest.approx(noise[0].mean() + 5.0 - noise[1].mean())
    assert up.p_value == pytest.approx(1 / 10_001)


def test_one_seed_agrees_with_the_paired_t_test() -> None:
    """With near normal differences the studentised bootstrap and the t-test must agree."""
    rng = np.random.default_rng(SIMULATION_SEED)
    a, b = rng.normal(size=(2, 200))
    b = b + 0.5 * a - 0.2
    (result,) = compare({"a": a[None], "b": b[None]}, resamples=20_000)
    d = a - b
    error = d.std(ddof=1) / 200**0.5
    half_width = 1.97196 * error  # Student's t, 199 degrees of freedom, 97.5 %
    assert result.difference == pytest.approx(d.mean())
    _, high, _ = interval(result)
    assert high - result.difference == pytest.approx(half_width, rel=0.03)
    stats = pytest.importorskip("scipy.stats")
    assert result.p_value == pytest.approx(stats.ttest_rel(a, b).pvalue, abs=0.01)


def test_seed_noise_alone_agrees_with_welch() -> None:
    """Scores that vary by seed only: Welch's t-test of the seeds' means is the answer."""
    a, b = np.array([1.0, 2.0, 4.0]), np.array([5.0, 5.5, 7.5, 6.0])
    (result,) = compare(
        {"a": np.repeat(a[:, None], 6, axis=1), "b": np.repeat(b[:, None], 6, axis=1)},
        resamples=40_000,
    )
    stats = pytest.importorskip("scipy.stats")
    welch = stats.ttest_ind(a, b, equal_var=False)
    assert result.p_value == pytest.approx(welch.pvalue, abs=0.004)
    assert result.high == pytest.approx(welch.confidence_interval(0.95).high, rel=0.05)


def test_pairing_removes_what_examples_share() -> None:
    rng = np.random.default_rng(SIMULATION_SEED)
    shared = rng.normal(size=(1, 100)) * 10.0
    scores = {"a": shared + 0.5, "b": shared + rng.normal(size=(1, 100)) * 0.1}
    assert compare(scores)[0].verdict == "better"
    scores["b"] = rng.permuted(scores["b"], axis=1)
    assert compare(scores)[0].verdict == "undecided"


def test_equal_scores_tie() -> None:
    scores = np.random.default_rng(SIMULATION_SEED).random((3, 30))
    same, turned = compare({"a": scores, "b": scores}), compare({"a": scores, "b": scores[::-1]})
    for (result,) in (same, turned):
        assert (result.difference, result.p_value, result.verdict) == (0.0, 1.0, "undecided")
        low, high, _ = interval(result)
        assert low <= 0.0 <= high
    (constant,) = compare({"a": np.full((2, 9), 0.3), "b": np.full((1, 9), 0.3)})
    assert constant == Comparison(
        a="a",
        b="b",
        set="test",
        metric="m",
        difference=0.0,
        low=0.0,
        high=0.0,
        p_value=1.0,
        margin=None,
        level=0.95,
        seeds=(2, 1),
        examples=9,
        verdict="undecided",
    )


def test_constant_difference_is_beyond_doubt() -> None:
    scores = np.arange(8.0)[None]
    (result,) = compare({"a": scores + 1.0, "b": scores}, resamples=999)
    assert (result.low, result.high, result.verdict) == (1.0, 1.0, "better")
    assert result.p_value == pytest.approx(1 / 1_000)


def test_holm_by_hand() -> None:
    """Raw p-values .01, .04, .03, .005 of four pairs at 5 %.

    In order .005 <= .05/4 and .01 <= .05/3 stand; .03 > .05/2 stops it, so that .04 falls as
    well. Corrected: 4 * .005 = .02, 3 * .01 = .03, 2 * .03 = .06, and .04 is raised to .06.
    """
    draws = np.linspace(10.0, 0.01, 999)
    raw = [0.01, 0.04, 0.03, 0.005]
    tests = []
    for p_value in raw:
        # A difference between two draws, so that p_value * 1,000 - 1 of them are above it.
        rank = round(p_value * 1_000)
        difference = float(draws[rank - 2] + draws[rank - 1]) / 2
        tests.append(sig._PairTest(difference=difference, error=1.0, draws=draws, p_value=p_value))
    result = sig._holm(tests, True, 0.05)
    assert [c.p_value for c in result] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert [c.verdict for c in result] == ["better", "undecided", "undecided", "better"]
    # Levels .05/3, .05/2, .05/2 and .05/4 of 1,000: the 16th, 25th, 25th and 12th draw.
    widths = [test.difference - c.low for test, c in zip(tests, result, strict=True)]
    assert widths == pytest.approx([draws[k - 1] for k in (16, 25, 25, 12)])


def test_more_pairs_widen_the_intervals() -> None:
    rng = np.random.default_rng(SIMULATION_SEED)
    scores = {name: rng.normal(size=(1, 50)) for name in "abcde"}
    alone = compare({name: scores[name] for name in "ab"})[0]
    first = compare(scores)[0]
    assert [(c.a, c.b) for c in compare(scores)] == list(itertools.combinations("abcde", 2))
    low, high, p_value = interval(first)
    low_alone, high_alone, p_alone = interval(alone)
    assert high - low > 1.2 * (high_alone - low_alone)
    assert p_value >= p_alone


def test_seeds_may_differ_in_number_and_bits_repeat() -> None:
    rng = np.random.default_rng(SIMULATION_SEED)
    scores = {"a": rng.normal(size=(1, 30)), "b": rng.normal(size=(4, 30)) + 3.0}
    assert compare(scores) == compare(scores)
    assert compare(scores)[0].verdict == "worse"


def test_nothing_to_compare() -> None:
    assert compare({}) == [] == compare({"a": np.zeros((1, 3))})


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"a": np.zeros((1, 3)), "b": np.zeros((1, 4))}, "'a': 3, 'b': 4"),
        ({"a": np.zeros((1, 1)), "b": np.ones((1, 1))}, "at least 2"),
        ({"a": np.zeros((1, 3)), "b": np.full((1, 3), np.inf)}, "of b at seed 0, example 0 is inf"),
    ],
)
def test_wrong_scores(scores: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=message):
        compare(scores)


def test_missing_weights() -> None:
    scores = {"a": np.zeros((1, 3)), "b": np.zeros((1, 3))}
    with pytest.raises(DataError, match="no weights for b"):
        compare_methods(scores, metric="m", weights={"a": np.ones((1, 3))}, higher_is_better=True)


def test_too_few_resamples_for_the_pairs() -> None:
    scores = {name: np.arange(4.0)[None] for name in "abcdefgh"}
    with pytest.raises(ConfigError, match="100 resamples cannot decide 28 pairs"):
        compare(scores, resamples=100)
    assert len(compare(scores, resamples=560)) == 28
