from __future__ import annotations

import numpy as np
import pytest

from bakeoff.decide.intervals import Interval, bootstrap_interval, example_draws
from bakeoff.errors import ConfigError, DataError

DATA_SEED = 3


def test_one_seed_equals_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    scores = np.random.default_rng(DATA_SEED).exponential(size=(1, 60))
    ours = bootstrap_interval(scores, resamples=20_000)
    theirs = stats.bootstrap(
        (scores[0],), np.mean, n_resamples=20_000, method="percentile", rng=DATA_SEED
    ).confidence_interval
    # A bound's Monte-Carlo error here is about 1.5 % of the interval's half width.
    tolerance = 0.06 * (ours.high - ours.low) / 2
    assert ours.mean == pytest.approx(scores.mean())
    assert ours.low == pytest.approx(theirs.low, abs=tolerance)
    assert ours.high == pytest.approx(theirs.high, abs=tolerance)


def test_two_examples_known_answer() -> None:
    """Draws of two from (0, 1): means 0, 1/2 and 1 with chances 1/4, 1/2 and 1/4."""
    interval = bootstrap_interval(np.array([[0.0, 1.0]]))
    assert interval == Interval(mean=0.5, low=0.0, high=1.0)
    assert bootstrap_interval(np.array([[0.0, 1.0]]), level=0.4).low == 0.5


def test_seeds_are_resampled() -> None:
    """All examples alike: only seeds vary, and a seed alone has a chance of 1/27 of all three."""
    interval = bootstrap_interval(np.repeat([[1.0], [2.0], [6.0]], 5, axis=1))
    assert interval == Interval(mean=3.0, low=1.0, high=6.0)


def test_both_components_against_a_plain_loop() -> None:
    rng = np.random.default_rng(DATA_SEED)
    scores = rng.normal(size=(4, 30)) + rng.normal(size=(4, 1)) * 0.3 + rng.normal(size=30)
    weights = rng.integers(1, 40, size=30) * np.ones((4, 1))
    sums = scores * weights
    draws = []
    for _ in range(4_000):
        seeds, examples = rng.integers(0, 4, 4), rng.integers(0, 30, 30)
        chosen = np.ix_(seeds, examples)
        draws.append(sums[chosen].sum() / weights[chosen].sum())
    low, high = np.quantile(draws, [0.025, 0.975])
    interval = bootstrap_interval(sums, weights, resamples=8_000)
    tolerance = 0.1 * (high - low) / 2
    assert interval.low == pytest.approx(low, abs=tolerance)
    assert interval.high == pytest.approx(high, abs=tolerance)


def test_ratio_weighs_tokens() -> None:
    # 10 nats over 2 tokens and 10 over 8: 2 a token, where a mean of means gives 3.125.
    interval = bootstrap_interval(np.array([[10.0, 10.0]]), np.array([[2, 8]]))
    assert interval == Interval(mean=2.0, low=1.25, high=5.0)


@pytest.mark.parametrize("value", [0.1, 0.3, 17.7])
def test_no_spread_no_width(value: float) -> None:
    one = bootstrap_interval(np.array([[value]]), resamples=100)
    assert one == Interval(mean=value, low=value, high=value)
    many = bootstrap_interval(np.full((3, 700), value), resamples=100)
    assert many.low <= many.mean <= many.high
    assert many.high - many.low < 1e-12


def test_same_seed_same_bits() -> None:
    scores = np.random.default_rng(DATA_SEED).normal(size=(3, 50))
    first = bootstrap_interval(scores, resamples=500, seed=1)
    assert first == bootstrap_interval(scores, resamples=500, seed=1)
    assert first != bootstrap_interval(scores, resamples=500, seed=2)


def test_draws_come_in_bounded_chunks_and_are_uniform() -> None:
    chunks = list(example_draws(np.random.default_rng(DATA_SEED), 1_001, 4_000))
    assert max(chunk.size for chunk in chunks) <= 2_000_000
    assert sum(len(chunk) for chunk in chunks) == 1_001
    assert all((chunk.sum(axis=1) == 4_000).all() for chunk in chunks)
    counts = np.concatenate(chunks)
    # A binomial count of 4,000 draws with chance 1/4,000: mean and variance near 1.
    assert counts.var() == pytest.approx(1.0, abs=0.01)
    per_example = counts.sum(axis=0)
    assert abs(per_example - 1_001).max() < 6 * 1_001**0.5


@pytest.mark.parametrize(
    ("scores", "weights", "message"),
    [
        (np.zeros(3), None, r"shape \(3,\)"),
        (np.zeros((1, 0)), None, r"shape \(1, 0\)"),
        (np.zeros((1, 3)), np.ones((1, 2)), "one weight for each score"),
        (np.array([[1.0, np.nan]]), None, "seed 0, example 1 is nan, but must be finite"),
        (np.ones((2, 2)), np.array([[1, 1], [0, 1]]), "seed 1, example 0 is 0.0"),
    ],
)
def test_wrong_scores(scores: np.ndarray, weights: np.ndarray | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        bootstrap_interval(scores, weights)


def test_wrong_options() -> None:
    with pytest.raises(ConfigError, match="level is 95"):
        bootstrap_interval(np.zeros((1, 3)), level=95)
    with pytest.raises(ConfigError, match="resamples is 0"):
        bootstrap_interval(np.zeros((1, 3)), resamples=0)
