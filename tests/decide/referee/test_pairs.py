from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bakeoff.decide.referee.components import Components, components_of
from bakeoff.decide.referee.influence import of_means
from bakeoff.decide.referee.pairs import (
    PairTests,
    judge,
    least_margins,
    pair_indices,
    pair_tests,
)


def method(scores: np.ndarray, *, fixed: bool = False) -> Components:
    return components_of(of_means(np.asarray(scores, dtype=float)), one_run_is_fixed=fixed)


def only_seeds(means: np.ndarray, rows: int = 40) -> np.ndarray:
    """Scores [S, N] that vary with the seed alone."""
    return np.broadcast_to(np.asarray(means)[:, None], (len(means), rows))


@pytest.mark.parametrize("seeds", [3, 5, 8])
def test_without_rows_it_is_welch_with_half_a_degree_less(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    a, b = rng.standard_normal(seeds), 0.5 + 3.0 * rng.standard_normal(seeds)
    tests = pair_tests([method(only_seeds(a)), method(only_seeds(b))])
    welch = stats.ttest_ind(a, b, equal_var=False)
    assert tests.difference[0, 1] / tests.variance[0, 1] ** 0.5 == pytest.approx(welch.statistic)
    assert tests.freedom[0, 1] == pytest.approx(max(welch.df - 0.5, seeds - 1))
    expected = 2.0 * stats.t.sf(abs(welch.statistic), tests.freedom[0, 1])
    assert tests.p_different()[0, 1] == pytest.approx(expected)


def test_two_fixed_methods_are_a_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(50), 0.3 + rng.standard_normal(50)
    tests = pair_tests([method(a[None], fixed=True), method(np.tile(b, (4, 1)))])
    expected = stats.ttest_rel(a, b)
    assert tests.p_different()[0, 1] == pytest.approx(expected.pvalue)
    assert tests.freedom[0, 1] == 49.0
    one_sided = stats.ttest_rel(a, b, alternative="greater")
    assert tests.p_above(0.0)[0, 1] == pytest.approx(one_sided.pvalue)
    assert tests.p_above(0.0)[1, 0] == pytest.approx(1.0 - one_sided.pvalue)


def test_variance_and_freedom_by_hand() -> None:
    rng = np.random.default_rng(1)
    a, b = method(rng.standard_normal((3, 60))), method(2.0 * rng.standard_normal((4, 60)))
    tests = pair_tests([a, b])
    by_rows = float((a.rows - b.rows).var(ddof=1)) / 60
    total, squares = by_rows, by_rows**2 / 59
    for one, freedom in ((a, 2), (b, 3)):
        total += max(float(one.seed_variance - one.residual), 0.0)
        squares += max(float(one.seed_variance), float(one.residual)) ** 2 / freedom
    assert tests.variance[0, 1] == pytest.approx(total)
    assert tests.row_variance[0, 1] == pytest.approx(by_rows)
    assert tests.freedom[0, 1] == pytest.approx(max(total**2 / squares - 0.5, 2.0))


def test_equivalence_is_two_one_sided_tests() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal(80), rng.standard_normal(80)
    tests = pair_tests([method(a[None], fixed=True), method(b[None], fixed=True)])
    gap = a - b
    sides = [
        stats.ttest_1samp(gap, -0.4, alternative="greater").pvalue,
        stats.ttest_1samp(gap, 0.4, alternative="less").pvalue,
    ]
    assert tests.p_equivalent(0.4)[0, 1] == pytest.approx(max(sides))


def test_a_constant_difference_is_beyond_doubt() -> None:
    scores = np.random.default_rng(3).random(30)
    tests = pair_tests([method(scores[None], fixed=True), method(scores[None] + 0.1, fixed=True)])
    assert tests.variance[0, 1] == 0.0
    assert tests.p_different()[0, 1] == 0.0
    assert tests.p_equivalent(0.2)[0, 1] == 0.0
    assert tests.p_equivalent(0.05)[0, 1] == 1.0


@pytest.mark.parametrize(("differing", "tested"), [(9, False), (10, True)])
def test_few_rows_that_differ_say_nothing(differing: int, tested: bool) -> None:
    a = np.random.default_rng(4).random((3, 100)).round()
    b = a.copy()
    b[1, :differing] = 1.0 - b[1, :differing]
    tests = pair_tests([method(a), method(b)])
    assert tests.differing_rows[0, 1] == differing
    assert bool(tests.tested[0, 1]) is tested
    assert bool(tests.p_different()[0, 1] < 1.0) is tested
    assert np.isinf(tests.half_width(0.05)[0, 1]) == (not tested)


def test_identical_methods_are_not_called_anything() -> None:
    scores = np.random.default_rng(5).random((3, 100))
    tests = pair_tests([method(scores), method(scores)])
    verdicts = judge(tests, 0.5, 0.05)
    assert tests.difference[0, 1] == 0.0
    assert not verdicts.different[0]
    assert not verdicts.equivalent[0]


def test_two_seeds_say_nothing_however_far_apart() -> None:
    rng = np.random.default_rng(6)
    a, b = rng.standard_normal((2, 50)), 100.0 + rng.standard_normal((5, 50))
    assert pair_tests([method(a), method(b)]).p_different()[0, 1] == 1.0


def test_equivalent_goes_before_a_difference_below_the_margin() -> None:
    rng = np.random.default_rng(7)
    a = rng.standard_normal(500)
    b = a + 0.01 + 0.001 * rng.standard_normal(500)
    tests = pair_tests([method(a[None], fixed=True), method(b[None], fixed=True)])
    assert judge(tests, 0.005, 0.05).different[0]
    wider = judge(tests, 0.02, 0.05)
    assert wider.equivalent[0]
    assert not wider.different[0]


def many(tests_of: np.ndarray) -> PairTests:
    return pair_tests([method(scores) for scores in tests_of])


def test_order_of_methods_does_not_matter() -> None:
    scores = np.random.default_rng(8).standard_normal((5, 3, 40))
    order = np.array([3, 0, 4, 2, 1])
    tests, turned = many(scores), many(scores[order])
    for name in ("difference", "variance", "freedom", "differing_rows"):
        there = getattr(tests, name)[np.ix_(order, order)]
        off = ~np.eye(5, dtype=bool)
        assert getattr(turned, name)[off] == pytest.approx(there[off])


def test_several_studies_at_once_are_each_alone() -> None:
    scores = np.random.default_rng(9).standard_normal((6, 4, 3, 30))
    together = pair_tests([method(scores[:, m]) for m in range(4)])
    verdicts = judge(together, 0.1, 0.05)
    for b in range(6):
        alone = judge(many(scores[b]), 0.1, 0.05)
        assert verdicts.p_different[b] == pytest.approx(alone.p_different)
        assert verdicts.p_equivalent[b] == pytest.approx(alone.p_equivalent)


def test_pair_indices() -> None:
    first, second = pair_indices(3)
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 2)]
    assert pair_indices(1)[0].size == 0


def share_called_different(methods: int, seeds: int, ratio: float, studies: int = 2000) -> float:
    rng = np.random.default_rng(2026)
    drawn = []
    for m in range(methods):
        effects = rng.standard_normal((studies, seeds, 1)) * (ratio**0.5 if m == 0 else 1.0) * 0.05
        own = rng.standard_normal((studies, 1, 30)) * 0.1
        drawn.append(method(effects + own + 0.1 * rng.standard_normal((studies, seeds, 30))))
    called = judge(pair_tests(drawn), 0.0, 0.05).different.any(axis=-1)
    return float(called.mean())


@pytest.mark.parametrize(
    ("methods", "seeds", "ratio"), [(2, 3, 1.0), (2, 3, 10.0), (4, 3, 10.0), (4, 5, 1.0)]
)
def test_equal_methods_are_seldom_called_different(methods: int, seeds: int, ratio: float) -> None:
    # Asked: 7.5 %; four standard errors of 2,000 studies above 5 % are 7 %.
    assert 0.002 < share_called_different(methods, seeds, ratio) < 0.075


class TestLeastMargins:
    """From which margin on each pair is equivalent."""

    def test_a_verdict_at_any_margin_follows_from_them(self) -> None:
        rng = np.random.default_rng(5)
        ease = rng.standard_normal(200)
        tests = pair_tests(
            [
                method(ease + shift + 0.1 * rng.standard_normal((4, 200)))
                for shift in (0.0, 0.01, 0.02, 0.5)
            ]
        )
        least = least_margins(tests, 0.05)
        assert least.shape == (6,)
        for margin in (0.0, *(least * 0.999), *(least * 1.001), 2.0):
            found = judge(tests, float(margin), 0.05).equivalent
            assert found.tolist() == (least <= margin).tolist()

    def test_two_fixed_methods_have_a_closed_form(self) -> None:
        rng = np.random.default_rng(6)
        gap = rng.standard_normal(80)
        tests = pair_tests([method(gap[None], fixed=True), method(np.zeros((1, 80)), fixed=True)])
        expected = abs(gap.mean()) + stats.t.isf(0.05, 79) * stats.sem(gap)
        assert least_margins(tests, 0.05) == pytest.approx([expected])

    def test_a_constant_difference_is_its_own_margin(self) -> None:
        scores = np.random.default_rng(3).random(30)
        tests = pair_tests(
            [method(scores[None], fixed=True), method(scores[None] + 0.1, fixed=True)]
        )
        assert least_margins(tests, 0.05) == pytest.approx([0.1])

    def test_nothing_is_said_of_a_pair_that_is_not_tested(self) -> None:
        rng = np.random.default_rng(7)
        tests = pair_tests([method(rng.random((2, 30))), method(rng.random((5, 30)))])
        assert least_margins(tests, 0.05).tolist() == [np.inf]
        assert least_margins(pair_tests([method(rng.random((3, 30)))]), 0.05).shape == (0,)


def test_the_order_of_two_methods_changes_no_bit() -> None:
    rng = np.random.default_rng(8)
    a, b = method(rng.random((3, 50))), method(rng.random((4, 50)))
    one, other = pair_tests([a, b]), pair_tests([b, a])
    assert one.variance[0, 1] == other.variance[0, 1]
    assert one.freedom[0, 1] == other.freedom[0, 1]
