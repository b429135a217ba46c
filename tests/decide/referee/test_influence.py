from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from bakeoff.decide.referee import influence as module
from bakeoff.decide.referee.influence import of_means, of_ratios, of_runs, of_sums, sum_groups
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
    assert of_means(same[:2]).identical
    assert not of_means(same[:1]).identical  # one run says nothing of another
    assert of_ratios(same, same).identical
    assert not of_ratios(same, other).identical


def macro_f1(sums: np.ndarray) -> np.ndarray:
    right, predicted, gold = np.split(np.asarray(sums, dtype=float), 3, axis=-1)
    return np.asarray((2.0 * right / np.maximum(predicted + gold, 1.0)).mean(axis=-1))


def confusion(seeds: int, rows: int, labels: int, seed: int = 0) -> list[np.ndarray]:
    """Statistics [N, 3 L] of each seed, as small as they may be."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, labels, rows)
    found = []
    for _ in range(seeds):
        said = np.where(rng.random(rows) < 0.7, gold, rng.integers(0, labels, rows))
        run = np.zeros((rows, 3 * labels), dtype=np.uint8)
        run[np.arange(rows)[said == gold], gold[said == gold]] = 1
        run[np.arange(rows), labels + said] = 1
        run[np.arange(rows), 2 * labels + gold] = 1
        found.append(run)
    return found


class TestRuns:
    """``of_runs``: the same as ``of_sums``, a seed at a time and in chunks."""

    def test_it_is_of_sums(self, monkeypatch: pytest.MonkeyPatch) -> None:
        runs = confusion(3, 50, 4)
        whole = of_sums(np.stack(runs).astype(float), macro_f1)
        for elements in (module._CHUNK_ELEMENTS, 7 * 12):  # all rows at once; seven at once
            monkeypatch.setattr(module, "_CHUNK_ELEMENTS", elements)
            found = of_runs(runs, macro_f1)
            assert found.u == pytest.approx(whole.u)
            assert found.values == pytest.approx(macro_f1(np.stack(runs).sum(axis=1)))
            assert found.row_means == pytest.approx(whole.row_means)

    def test_the_closed_form_of_a_ratio_is_what_leaving_out_says(self) -> None:
        rng = np.random.default_rng(0)
        runs = [np.stack([rng.random(20), rng.integers(1, 9, 20)], axis=1) for _ in range(3)]
        closed, left_out = of_runs(runs, ratio, is_ratio=True), of_runs(runs, ratio)
        assert closed.u == pytest.approx(left_out.u)
        assert closed.values == pytest.approx([r[:, 0].sum() / r[:, 1].sum() for r in runs])

    @pytest.mark.parametrize("is_ratio", [True, False])
    def test_a_value_that_needs_every_row_is_an_error(self, is_ratio: bool) -> None:
        run = np.ones((5, 2))
        run[1:, 1] = 0.0
        with np.errstate(divide="ignore"), pytest.raises(DataError, match="one row is left out"):
            of_runs([run], ratio, is_ratio=is_ratio)

    def test_rows_of_a_group_are_summed_first(self) -> None:
        runs = confusion(2, 60, 3)
        groups = np.arange(60) % 20
        summed = [np.stack([run[groups == g].sum(axis=0) for g in range(20)]) for run in runs]
        found, expected = of_runs(runs, macro_f1, groups=groups), of_runs(summed, macro_f1)
        assert found.u == pytest.approx(expected.u)
        assert found.num_rows == 20

    def test_counts_beyond_a_byte_are_summed(self) -> None:
        run = np.full((300, 2), 200, dtype=np.uint8)
        assert of_runs([run], ratio).values == pytest.approx([1.0])
        assert of_runs([run], ratio, groups=np.arange(300) % 3).values == pytest.approx([1.0])

    def test_identical_runs_are_seen(self) -> None:
        runs = confusion(2, 30, 3)
        assert not of_runs(runs, macro_f1).identical
        assert of_runs([runs[0], runs[0].copy()], macro_f1).identical
        assert not of_runs(runs[:1], macro_f1).identical

    def test_wide_rows_are_told_apart_by_two_sums(self) -> None:
        labels = module._MOST_COLUMNS
        (a,), (b,) = confusion(1, 40, labels), confusion(1, 40, labels, seed=1)
        differ = (a != b).any(axis=1)
        assert differ.sum() > 0
        sums = [of_runs([run], macro_f1).row_means for run in (a, b)]
        assert sums[0].shape == (40, 2)
        gaps = np.abs(sums[0] - sums[1]) > 1e-12 * np.abs(sums[0])
        assert np.array_equal(gaps.any(axis=1), differ)

    def test_a_thousand_labels_need_little_more_memory_than_their_counts(self) -> None:
        runs = confusion(2, 2000, 1000)  # 6 MB each; 48 MB as floats
        tracemalloc.start()
        found = of_runs(runs, macro_f1)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert found.u.shape == (2, 2000)
        assert peak < 120e6
