from __future__ import annotations

import numpy as np
import pytest

from bakeoff.decide.referee.influence import of_means, of_ratios, of_sums, sum_groups
from bakeoff.errors import DataError


def ratio(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[..., 0] / sums[..., 1])


def test_a_mean_is_the_scores_themselves() -> None:
    scores = np.array([[1.0, 2.0, 6.0], [3.0, 2.0, 1.0]])
    influence = of_means(scores)
    assert np.array_equal(influence.u, scores)
    assert influence.row_means[:, 0].tolist() == [2.0, 2.0, 3.5]
    assert (influence.num_seeds, influence.num_rows) == (2, 3)


def test_a_ratio_by_hand() -> None:
    # 9 / 6 = 1.5. Without the first row 8 / 4, without the second 5 / 4, without the third 5 / 4.
    influence = of_ratios(np.array([[1.0, 4.0, 4.0]]), np.array([[2.0, 2.0, 2.0]]))
    pulls = 2.0 * (1.5 - np.array([2.0, 1.25, 1.25]))
    assert influence.u[0] == pytest.approx(1.5 + pulls - pulls.mean())


def test_a_ratio_is_what_leaving_out_says_of_sums() -> None:
    rng = np.random.default_rng(0)
    weights = rng.lognormal(1.0, 1.0, (2, 3, 12))
    scores = weights * rng.standard_normal((2, 3, 12))
    direct = of_ratios(scores, weights)
    by_sums = of_sums(np.stack([scores, weights], axis=-1), ratio)
    assert direct.u == pytest.approx(by_sums.u)
    assert direct.row_means == pytest.approx(by_sums.row_means)


def test_equal_weights_are_a_mean() -> None:
    scores = np.random.default_rng(1).standard_normal((3, 9))
    assert of_ratios(4.0 * scores, np.full((3, 9), 4.0)).u == pytest.approx(scores)


def test_the_mean_of_each_seed_is_its_own_value() -> None:
    rng = np.random.default_rng(2)
    statistics = rng.integers(1, 9, (4, 7, 2)).astype(float)
    influence = of_sums(statistics, lambda sums: np.asarray((sums[..., 0] / sums[..., 1]) ** 2))
    sums = statistics.sum(axis=1)
    assert influence.u.mean(axis=-1) == pytest.approx((sums[:, 0] / sums[:, 1]) ** 2)


def test_a_value_that_needs_every_row_is_an_error() -> None:
    statistics = np.ones((1, 5, 2))
    statistics[0, 1:, 1] = 0.0  # one row holds the whole divisor
    with np.errstate(divide="ignore"), pytest.raises(DataError, match="once one row is left out"):
        of_sums(statistics, ratio)


def test_groups_are_summed_in_any_order() -> None:
    values = np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    assert sum_groups(values, np.array([1, 0, 1, 2]), 3).tolist() == [[2.0, 4.0, 4.0], [6, 12, 8]]


def test_identical_seeds_are_seen() -> None:
    same, other = np.ones((3, 4)), np.ones((3, 4))
    other[2, 3] = 1.0 + 1e-15
    assert of_means(same).identical
    assert not of_means(other).identical
    assert not of_means(same[:1]).identical  # one run says nothing of another
    assert of_ratios(same, same).identical
    assert not of_ratios(same, other).identical
