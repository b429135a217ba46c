from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bakeoff.decide.referee.components import components_of, raised_variances
from bakeoff.decide.referee.influence import of_means, of_ratios
from bakeoff.decide.referee.intervals import half_width, within_bounds

ALPHA = 0.05


def width_of(scores: np.ndarray, *, fixed: bool = False) -> float:
    own = components_of(of_means(scores), one_run_is_fixed=fixed)
    return float(half_width(own, raised_variances([own]), 0, ALPHA))


def test_one_seed_is_a_t_interval_over_rows() -> None:
    scores = np.random.default_rng(0).random((1, 40))
    expected = stats.t.isf(ALPHA / 2, 39) * stats.sem(scores[0])
    assert width_of(scores) == pytest.approx(expected)
    assert width_of(scores, fixed=True) == pytest.approx(expected)
    # The same three times over is one output.
    assert width_of(np.tile(scores, (3, 1))) == pytest.approx(expected)


def test_seeds_without_rows_are_a_t_interval_over_seeds() -> None:
    means = np.array([0.1, 0.4, 0.5, 0.7])
    scores = np.broadcast_to(means[:, None], (4, 30))
    expected = stats.t.isf(ALPHA / 2, 3) * stats.sem(means)
    assert width_of(scores) == pytest.approx(expected)


@pytest.mark.parametrize("methods", [1, 4])
@pytest.mark.parametrize("seeds", [1, 3, 5])
@pytest.mark.parametrize("spread", [0.0, 0.05, 0.3])
def test_intervals_cover_what_they_say(spread: float, seeds: int, methods: int) -> None:
    """Over other rows and seeds; with one seed over other rows of that very run."""
    rng, studies, rows = np.random.default_rng(seeds), 3000, 50
    parts, truths = [], []
    for _ in range(methods):
        effects = spread * rng.standard_normal((studies, seeds, 1))
        scores = rng.standard_normal((studies, 1, rows)) + effects
        scores = scores + 0.3 * rng.standard_normal((studies, seeds, rows))
        parts.append(components_of(of_means(scores)))
        truths.append(effects[:, 0, 0] if seeds == 1 else np.zeros(studies))
    variances = raised_variances(parts)
    covered = [
        np.abs(own.mean - truth) <= half_width(own, variances, k, ALPHA)
        for k, (own, truth) in enumerate(zip(parts, truths, strict=True))
    ]
    # Of 3,000 studies, 95 % has a standard error of 0.4 points.
    assert 0.935 <= np.mean(covered) <= 0.985


def test_ratios_over_rows_of_uneven_length() -> None:
    rng, studies, rows = np.random.default_rng(9), 3000, 50
    tokens = np.broadcast_to(rng.lognormal(3.0, 0.5, (studies, 1, rows)), (studies, 3, rows))
    nats = tokens * (1.0 + 0.3 * rng.standard_normal((studies, 1, rows)))
    nats = nats + tokens * 0.02 * rng.standard_normal((studies, 3, 1))
    own = components_of(of_ratios(nats, tokens))
    covered = np.abs(own.mean - 1.0) <= half_width(own, raised_variances([own]), 0, ALPHA)
    assert np.mean(covered) >= 0.93


class TestBounds:
    """Intervals of statistics that have a least and a largest value."""

    @pytest.mark.parametrize("share", [0.5, 0.8, 0.9, 0.95, 0.99])
    @pytest.mark.parametrize("rows", [50, 300])
    def test_shares_are_covered_up_to_their_edge(self, share: float, rows: int) -> None:
        right = (np.random.default_rng(rows).random((1500, 1, rows)) < share).astype(float)
        own = components_of(of_means(right))
        widths = half_width(own, raised_variances([own]), 0, ALPHA)
        covered = [
            low <= share <= high
            for mean, width in zip(own.mean.tolist(), widths.tolist(), strict=True)
            for low, high in [within_bounds(mean, width, (0.0, 1.0), rows, ALPHA)]
        ]
        # Of 1,500 studies, 95 % has a standard error of 0.6 points.
        assert np.mean(covered) >= 0.93

    def test_far_from_the_edge_it_is_the_plain_one(self) -> None:
        low, high = within_bounds(0.5, 0.01, (0.0, 1.0), 300, ALPHA)
        assert (low, high) == pytest.approx((0.49, 0.51), abs=1e-5)

    def test_another_scale_is_the_same_interval(self) -> None:
        low, high = within_bounds(0.9, 0.08, (0.0, 1.0), 50, ALPHA)
        scaled = within_bounds(0.8, 0.16, (-1.0, 1.0), 50, ALPHA)
        assert scaled == pytest.approx((2 * low - 1, 2 * high - 1))

    def test_at_the_edge_it_is_that_of_a_share_that_was_never_seen(self) -> None:
        unseen = 1.0 - 0.025 ** (1 / 50)
        assert within_bounds(1.0, 0.0, (0.0, 1.0), 50, ALPHA) == pytest.approx((1 - unseen, 1.0))
        assert within_bounds(0.0, 0.0, (0.0, 1.0), 50, ALPHA) == pytest.approx((0.0, unseen))

    @pytest.mark.parametrize(
        ("bounds", "expected"),
        [
            ((None, None), (-0.1, 0.3)),
            ((0.0, None), (0.0, 0.3)),
            ((None, 0.2), (-0.1, 0.2)),
            ((0.2, 1.0), (0.1, 0.3)),  # a value that should not be is kept within its interval
        ],
    )
    def test_with_one_bound_it_is_cut_there(
        self, bounds: tuple[float | None, float | None], expected: tuple[float, float]
    ) -> None:
        low, high = within_bounds(0.1, 0.2, bounds, 50, ALPHA)
        assert low <= 0.1 <= high
        if bounds != (0.2, 1.0):
            assert (low, high) == pytest.approx(expected)

    def test_a_wide_interval_overflows_nothing(self) -> None:
        assert within_bounds(1e-6, 0.5, (0.0, 1.0), 50, ALPHA)[1] == pytest.approx(1.0)
