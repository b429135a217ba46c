from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bakeoff.decide.referee.components import components_of, own_variances
from bakeoff.decide.referee.design import PairSpread, pair_spread
from bakeoff.decide.referee.influence import of_means
from bakeoff.decide.referee.needs import most, needed
from bakeoff.decide.referee.pairs import pair_tests
from bakeoff.runs.decisions import Needs

ALPHA = 0.05


def test_a_spread_gives_back_the_variance_that_it_came_from() -> None:
    rng = np.random.default_rng(0)
    methods = [
        components_of(of_means(rng.standard_normal((1, 50)) + 0.2 * rng.standard_normal((s, 50))))
        for s in (4, 4)
    ]
    methods = [
        *methods,
        components_of(of_means(rng.standard_normal((1, 50))), one_run_is_fixed=True),
    ]
    own, tests = own_variances(methods), pair_tests(methods, own_variances(methods))
    for i, j in ((0, 1), (0, 2)):
        spread = pair_spread(
            methods[i], methods[j], (float(own.variance[i]), float(own.variance[j]))
        )
        assert spread.variance(4, 50) == pytest.approx(tests.variance[i, j])
        assert spread.freedom(4, 50) == pytest.approx(tests.freedom[i, j])
        assert spread.variance(10**9, 50) == pytest.approx(spread.row / 50, rel=1e-6)


def decides(spread: PairSpread, seeds: int, rows: int, margin: float) -> bool:
    reach = stats.t.isf(ALPHA, float(spread.freedom(seeds, rows))) + 0.8416
    return bool(math.sqrt(float(spread.variance(seeds, rows))) <= margin / reach)


@pytest.mark.parametrize("seed_variance", [2e-4, 3e-4, 4e-4])
def test_seeds_where_rows_suffice(seed_variance: float) -> None:
    spread = PairSpread(row=0.01, seeds=(seed_variance,) * 2, residuals=(0.0, 0.0))
    found = needed(spread, seeds=3, rows=5000, margin=0.03, alpha=ALPHA)
    assert found is not None
    assert found.rows is None
    assert found.seeds is not None
    assert decides(spread, found.seeds, 5000, 0.03)
    assert not decides(spread, found.seeds - 1, 5000, 0.03)


def test_rows_where_no_seeds_would_do() -> None:
    # 0.3 from row to row over 300 rows leaves 0.017 where 0.008 is needed.
    spread = PairSpread(row=0.09, seeds=(1e-6,) * 2, residuals=(0.0, 0.0))
    found = needed(spread, seeds=5, rows=300, margin=0.02, alpha=ALPHA)
    assert found is not None
    assert found.seeds is None
    assert found.rows is not None
    assert decides(spread, 5, found.rows, 0.02)
    assert not decides(spread, 5, found.rows - 1, 0.02)


def test_rows_go_before_seeds_even_where_seeds_take_most_of_the_variance() -> None:
    spread = PairSpread(row=0.09, seeds=(1e-4,) * 2, residuals=(0.0, 0.0))
    found = needed(spread, seeds=5, rows=300, margin=0.02, alpha=ALPHA)
    assert found is not None
    assert found.seeds is None
    assert found.rows is not None and decides(spread, 5, found.rows, 0.02)
    assert not decides(spread, 5, 10**8, 0.02 / math.sqrt(2.0))


def test_both_where_both_are_too_few() -> None:
    spread = PairSpread(row=0.09, seeds=(4e-4,) * 2, residuals=(0.0, 0.0))
    found = needed(spread, seeds=3, rows=300, margin=0.02, alpha=ALPHA)
    assert found is not None
    assert found.seeds is not None and found.rows is not None
    assert decides(spread, found.seeds, found.rows, 0.02)


def test_fixed_outputs_need_rows_alone() -> None:
    spread = PairSpread(row=0.09, seeds=(), residuals=())
    found = needed(spread, seeds=1, rows=300, margin=0.02, alpha=ALPHA)
    assert found is not None
    assert found.seeds is None
    assert found.rows == pytest.approx(0.09 * ((1.645 + 0.8416) / 0.02) ** 2, rel=0.01)


def test_nothing_where_all_is_there_or_nothing_helps() -> None:
    spread = PairSpread(row=1e-4, seeds=(1e-8,) * 2, residuals=(0.0, 0.0))
    enough = Needs(seeds=None, rows=None)
    assert needed(spread, seeds=5, rows=1000, margin=0.02, alpha=ALPHA) == enough
    assert needed(spread, seeds=5, rows=1000, margin=0.0, alpha=ALPHA) is None
    wild = PairSpread(row=1e12, seeds=(1e-8,) * 2, residuals=(0.0, 0.0))
    assert needed(wild, seeds=5, rows=1000, margin=0.02, alpha=ALPHA) is None


def test_most_of_several() -> None:
    rows, seeds = Needs(seeds=None, rows=900), Needs(seeds=7, rows=None)
    enough = Needs(seeds=None, rows=None)
    assert most([rows, seeds, enough]) == Needs(seeds=7, rows=900)
    assert most([enough]) is None
    assert most([]) is None
    assert most([rows, None]) is None
