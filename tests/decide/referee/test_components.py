from __future__ import annotations

import numpy as np
import pytest

from bakeoff.decide.referee.components import (
    Components,
    components_of,
    own_variances,
    raised_variances,
)
from bakeoff.decide.referee.influence import of_means


def spread_of(per_seed: float, seeds: int = 3, *, fixed: bool = False) -> Components:
    """A method whose seeds' means have the variance ``per_seed``."""
    zero = np.zeros(())
    return Components(
        num_seeds=seeds,
        mean=zero,
        values=np.zeros(seeds),
        rows=np.zeros(20),
        row_means=np.zeros((20, 1)),
        seed_variance=np.array(0.0 if fixed else per_seed / seeds),
        residual=zero,
        fixed=np.array(fixed),
        scale=np.array(1.0),
    )


def test_components_by_hand() -> None:
    # Rows 1, 3; seeds -1, +1; one score of noise in each, with opposite signs.
    effects = np.array([[0.0, 2.0], [2.0, 4.0]])
    noise = np.array([[0.5, -0.5], [-0.5, 0.5]])
    found = components_of(of_means(effects + noise))
    assert found.mean == 2.0
    assert found.rows.tolist() == [1.0, 3.0]
    assert found.seed_variance == pytest.approx(2.0 / 2)  # variance of 1 and 3, over two seeds
    # Four squares of 0.5, one degree of freedom, over S * N = 4.
    assert found.residual == pytest.approx(1.0 / 4)
    assert not found.fixed


def test_noise_alone_is_as_large_in_both() -> None:
    scores = np.random.default_rng(0).standard_normal((4000, 4, 50))
    found = components_of(of_means(scores))
    assert found.seed_variance.mean() == pytest.approx(1 / 200, rel=0.05)
    assert found.residual.mean() == pytest.approx(1 / 200, rel=0.05)


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_fixed_method_has_no_variance_of_seeds(seeds: int) -> None:
    scores = np.tile(np.random.default_rng(0).standard_normal(30), (seeds, 1))
    found = components_of(of_means(scores), one_run_is_fixed=True)
    assert found.fixed
    assert found.seed_variance == found.residual == 0.0


def test_one_run_of_a_method_is_not_fixed() -> None:
    assert not components_of(of_means(np.arange(30.0)[None])).fixed


def test_low_variances_of_three_seeds_are_raised_by_hand() -> None:
    methods = [spread_of(v) for v in (1.0, 4.0, 9.0, 16.0)]
    found = raised_variances(methods)
    pool = (1 + 4 + 9) / 3  # the largest left out, two degrees of freedom each
    assert found.variance == pytest.approx(
        [(4 * pool + 2 * 1) / 6 / 3, (4 * pool + 2 * 4) / 6 / 3, 9 / 3, 16 / 3]
    )
    assert found.freedom.tolist() == [6.0, 6.0, 2.0, 2.0]


def test_freedom_is_at_most_the_pool_has() -> None:
    methods = [spread_of(v, s) for v, s in ((1.0, 4), (9.0, 2), (9.0, 2), (9.5, 2), (0.0, 1))]
    found = raised_variances(methods)
    # pool = (3 * 1 + 9 + 9) / 5 = 4.2 with 5 degrees of freedom; S + 3 would be 7.
    assert found.variance[0] == pytest.approx((4 * 4.2 + 3 * 1.0) / 7 / 4)
    assert found.freedom.tolist() == [5.0, 1.0, 1.0, 1.0, 0.0]


@pytest.mark.parametrize("seeds", [5, 10])
def test_from_five_seeds_on_the_others_count_as_one_seed(seeds: int) -> None:
    found = raised_variances([spread_of(v, seeds) for v in (1.0, 4.0, 9.0, 16.0)])
    pool = (1 + 4 + 9) / 3
    assert found.variance[0] == pytest.approx((pool + (seeds - 1) * 1.0) / seeds / seeds)
    assert found.variance[2:] == pytest.approx([9 / seeds, 16 / seeds])
    assert found.freedom.tolist() == [seeds, seeds, seeds - 1, seeds - 1]


def test_without_weight_nothing_is_raised_from_five_seeds_on() -> None:
    methods = [spread_of(v, 5) for v in (1.0, 4.0, 9.0, 16.0)]
    own, found = own_variances(methods), raised_variances(methods, with_more_seeds=0.0)
    assert found.variance == pytest.approx(own.variance)
    assert np.array_equal(found.freedom, own.freedom)


@pytest.mark.parametrize(
    "methods",
    [
        [spread_of(v) for v in (1.0, 4.0, 9.0)],  # three only
        [*(spread_of(v) for v in (1.0, 4.0, 9.0)), spread_of(0.0, fixed=True)],
    ],
)
def test_own_variances_stay(methods: list[Components]) -> None:
    own, found = own_variances(methods), raised_variances(methods)
    assert np.array_equal(found.variance, own.variance)
    assert np.array_equal(found.freedom, own.freedom)


def test_a_fixed_method_is_not_raised() -> None:
    methods = [*(spread_of(v) for v in (1.0, 4.0, 9.0, 16.0)), spread_of(0.0, fixed=True)]
    found = raised_variances(methods)
    assert found.variance[-1] == 0.0
    assert np.array_equal(found.variance[:-1], raised_variances(methods[:-1]).variance)


def test_no_variance_is_lowered() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        methods = [spread_of(v) for v in rng.chisquare(2, 6)]
        assert (raised_variances(methods).variance >= own_variances(methods).variance).all()


def test_several_studies_at_once_are_each_alone() -> None:
    scores = np.random.default_rng(4).standard_normal((5, 6, 3, 40))  # studies, methods
    together = raised_variances([components_of(of_means(scores[:, m])) for m in range(6)])
    for b in range(5):
        alone = raised_variances([components_of(of_means(scores[b, m])) for m in range(6)])
        assert together.variance[b] == pytest.approx(alone.variance)
        assert np.array_equal(together.freedom[b], alone.freedom)
