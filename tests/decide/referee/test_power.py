from __future__ import annotations

import math

import numpy as np
import pytest

from bakeoff.decide.referee.components import components_of
from bakeoff.decide.referee.influence import of_means
from bakeoff.decide.referee.pairs import judge, pair_tests
from bakeoff.decide.referee.power import pair_power, typical_spread


def simulated(shift: float, seeds: int, rows: int, margin: float) -> tuple[float, float]:
    """Shares of studies in which a pair is called different, and equivalent."""
    rng, studies = np.random.default_rng(1), 3000
    methods = []
    for m in range(2):
        scores = 0.08 / 2**0.5 * rng.standard_normal((studies, 1, rows))
        scores = scores + 0.005 * rng.standard_normal((studies, seeds, 1)) + m * shift
        methods.append(components_of(of_means(scores)))
    tests = pair_tests(methods)
    called = [judge(tests, 0.0, 0.05).different, judge(tests, margin, 0.05).equivalent]
    return float(called[0].mean()), float(called[1].mean())


@pytest.mark.parametrize(("seeds", "rows"), [(5, 300), (10, 100), (4, 300)])
def test_power_is_what_simulation_finds(seeds: int, rows: int) -> None:
    spread = typical_spread(row=0.08, seed=0.005)
    found = pair_power(spread, seeds=seeds, rows=rows, num_methods=2, margin=0.02, alpha=0.05)
    assert simulated(found.detectable, seeds, rows, 0.02)[0] == pytest.approx(0.8, abs=0.03)
    assert simulated(0.0, seeds, rows, 0.02)[1] == pytest.approx(found.recognised, abs=0.03)


def test_rows_are_named_before_seeds() -> None:
    spread = typical_spread(row=0.28, seed=0.005)
    few = pair_power(spread, seeds=5, rows=300, num_methods=4, margin=0.02, alpha=0.05)
    assert few.limit == "rows"
    assert few.needs is not None
    assert (few.needs.seeds, few.recognised) == (None, 0.0)
    assert few.needs.rows is not None and 2000 < few.needs.rows < 5000
    many = pair_power(spread, seeds=3, rows=3000, num_methods=4, margin=0.02, alpha=0.05)
    assert many.limit == "seeds"
    assert many.needs is not None
    assert many.needs.rows is None
    assert many.recognised > 0.3
    wild = pair_power(
        typical_spread(row=1e7, seed=0.0), seeds=3, rows=300, num_methods=2, margin=0.02, alpha=0.05
    )
    assert (wild.limit, wild.needs) == ("rows", None)


@pytest.mark.parametrize(("row", "limit"), [(0.01, "seeds"), (1.0, "rows")])
def test_where_no_number_of_seeds_helps_rows_are_named_only_if_they_are_too_few(
    row: float, limit: str
) -> None:
    found = pair_power(
        typical_spread(row=row, seed=1e3),
        seeds=5,
        rows=3000,
        num_methods=2,
        margin=0.02,
        alpha=0.05,
    )
    assert (found.limit, found.needs) == (limit, None)


def test_more_methods_find_less() -> None:
    spread = typical_spread(row=0.08, seed=0.005)
    two, ten = (
        pair_power(spread, seeds=5, rows=300, num_methods=m, margin=0.02, alpha=0.05)
        for m in (2, 10)
    )
    assert two.detectable < ten.detectable
    assert two.recognised > ten.recognised


@pytest.mark.parametrize(("seeds", "rows"), [(2, 300), (5, 9)])
def test_a_design_that_says_nothing(seeds: int, rows: int) -> None:
    found = pair_power(
        typical_spread(row=0.01, seed=0.005),
        seeds=seeds,
        rows=rows,
        num_methods=2,
        margin=1.0,
        alpha=0.05,
    )
    assert (found.detectable, found.recognised) == (math.inf, 0.0)


def test_rows_that_are_too_few_are_missing_whatever_the_margin() -> None:
    found = pair_power(
        typical_spread(row=0.01, seed=0.005),
        seeds=3,
        rows=9,
        num_methods=2,
        margin=1.0,
        alpha=0.05,
    )
    assert found.limit == "rows" and found.needs is not None and found.needs.rows == 10


def test_outputs_that_never_change_are_found_at_once() -> None:
    found = pair_power(
        typical_spread(row=0.0, seed=0.0), seeds=3, rows=50, num_methods=2, margin=0.1, alpha=0.05
    )
    assert (found.detectable, found.recognised, found.limit) == (0.0, 1.0, None)


def test_without_a_margin_none_are_equivalent() -> None:
    found = pair_power(
        typical_spread(row=0.0, seed=0.0), seeds=3, rows=50, num_methods=2, margin=0.0, alpha=0.05
    )
    assert (found.detectable, found.recognised, found.needs) == (0.0, 0.0, None)
