"""Variance components of crossed designs, against designs whose components are known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bakeoff.decide.referee.components import Components, components_of
from bakeoff.decide.referee.factors import factor_shares
from bakeoff.decide.referee.influence import of_means, of_ratios
from bakeoff.errors import DataError

FACTORS = ("base", "template", "method")


def made(
    draw: np.random.Generator,
    effects: tuple[float, float, float],
    *,
    seeds: float,
    together: float = 0.0,
    rows: int = 200,
) -> dict[tuple[str, ...], Components]:
    """A design of 3 x 2 x 4 cells with three seeds each."""
    sizes = (3, 2, 4)
    levels = [[f"{name}{i}" for i in range(sizes[k])] for k, name in enumerate("btm")]
    own = [draw.normal(0, effects[k], sizes[k]) for k in range(3)]
    row_N = draw.normal(0, 0.5, rows)
    found = {}
    for place in itertools.product(*map(range, sizes)):
        key = tuple(levels[k][place[k]] for k in range(3))
        mean = sum(own[k][place[k]] for k in range(3)) + draw.normal(0, together)
        run_S = draw.normal(0, seeds, 3)
        scores_SN = mean + run_S[:, None] + row_N + draw.normal(0, 0.3, (3, rows))
        found[key] = components_of(of_ratios(scores_SN, np.ones_like(scores_SN)))
    return found


def test_what_makes_the_spread_has_the_share() -> None:
    draw = np.random.default_rng(5)
    found = {s.name: s for s in factor_shares(made(draw, (1.0, 0.0, 0.05), seeds=0.02), FACTORS)}
    assert list(found) == [*FACTORS, "together", "seeds"]
    assert sum(one.share for one in found.values()) == pytest.approx(1.0)
    assert found["base"].share > 0.9 and found["base"].low > 0.8
    assert found["template"].share < 0.02 and found["template"].low == 0.0
    assert found["base"].deviation > 10 * found["method"].deviation


def test_estimates_are_the_true_variances_on_average() -> None:
    draw = np.random.default_rng(11)
    true = {"base": 0.4, "template": 0.0, "method": 0.3, "together": 0.2, "seeds": 0.1}
    sums = dict.fromkeys(true, 0.0)
    for _ in range(60):
        cells = made(draw, (0.4, 0.0, 0.3), seeds=0.1, together=0.2, rows=400)
        for one in factor_shares(cells, FACTORS, draws=2):
            sums[one.name] += one.deviation**2 / 60
    for name in ("method", "together", "seeds"):
        assert sums[name] == pytest.approx(true[name] ** 2, rel=0.35), name
    assert sums["template"] < 0.02


def test_what_few_rows_put_into_it_is_taken_off() -> None:
    """Two cells over three rows, with seeds that make no difference: by hand."""
    rows = {"a": [3.0, 6.0, 9.0], "b": [2.0, 3.0, 1.0]}
    cells: dict[tuple[str, ...], Components] = {
        (name,): components_of(of_means(np.array([row, row]))) for name, row in rows.items()
    }
    differences = np.subtract(rows["a"], rows["b"])
    between = differences.mean() ** 2 / 2
    by_chance = differences.var(ddof=1) / 3 / 2
    [factor, _, seeds] = factor_shares(cells, ("base",), draws=2)
    assert factor.deviation**2 == pytest.approx(between - by_chance)
    assert seeds.deviation == 0.0


def test_a_design_with_a_hole_is_refused_by_name() -> None:
    cells = made(np.random.default_rng(1), (1.0, 0.0, 0.0), seeds=0.1)
    del cells["b1", "t0", "m2"]
    with pytest.raises(DataError, match="b1, t0, m2 is missing"):
        factor_shares(cells, FACTORS)


def test_pairs_have_parts_of_their_own() -> None:
    draw = np.random.default_rng(3)
    row_N = draw.normal(0, 0.5, 300)
    cells: dict[tuple[str, ...], Components] = {}
    for a, b, c in itertools.product(range(2), range(2), range(2)):
        mean = 0.5 * (a == b)  # the base decides which method is the better one
        scores = mean + draw.normal(0, 0.02, 3)[:, None] + row_N + draw.normal(0, 0.3, (3, 300))
        cells[f"b{a}", f"t{c}", f"m{b}"] = components_of(of_ratios(scores, np.ones_like(scores)))
    found = {s.name: s for s in factor_shares(cells, FACTORS, pairs=True)}
    assert list(found) == [
        *FACTORS,
        *("base × template", "base × method", "template × method"),
        *("together", "seeds"),
    ]
    assert found["base × method"].share > 0.9 and found["base × method"].low > 0.8
    assert max(one.share for name, one in found.items() if name != "base × method") < 0.1


def test_a_factor_of_one_level_has_no_part() -> None:
    cells: dict[tuple[str, ...], Components] = {
        ("tiny", key[1], key[2]): value
        for key, value in made(np.random.default_rng(2), (1.0, 0.5, 0.5), seeds=0.1).items()
        if key[0] == "b0"
    }
    names = [one.name for one in factor_shares(cells, FACTORS, pairs=True)]
    assert names == ["template", "method", "template × method", "seeds"]


def test_rows_that_suit_one_method_or_another_are_no_effect_of_the_method() -> None:
    draw, total, found_anyway = np.random.default_rng(7), 0.0, 0
    for _ in range(40):
        own_MN = draw.normal(0, 0.5, (4, 40))  # of each method, over both bases
        cells: dict[tuple[str, ...], Components] = {}
        for a, b in itertools.product(range(2), range(4)):
            scores = own_MN[b] + draw.normal(0, 0.01, (3, 40))
            cells[f"b{a}", f"m{b}"] = components_of(of_ratios(scores, np.ones_like(scores)))
        found = {s.name: s for s in factor_shares(cells, ("base", "method"), draws=50)}
        total += found["method"].deviation ** 2 / 40
        found_anyway += found["method"].low > 0.05
    assert found_anyway <= 4
    # Without allowing for rows it would be 0.5 ** 2 / 40.
    assert total < 0.7 * 0.5**2 / 40


def test_an_interval_leaves_out_half_of_what_its_level_does_on_each_side() -> None:
    cells = made(np.random.default_rng(3), (0.4, 0.1, 0.3), seeds=0.2, together=0.2)
    wide, half, none = (
        factor_shares(cells, FACTORS, level=level, draws=400) for level in (0.95, 0.5, 0.0)
    )
    for one, other, median in zip(wide, half, none, strict=True):
        assert 0.0 <= one.low <= other.low < one.share < other.high < one.high <= 1.0, one.name
        assert one.low < other.low or other.low == 0.0, one.name
        # Nothing is left between the bounds but the median, and the estimate itself.
        assert one.share in (median.low, median.high), one.name
        assert abs(median.high - median.low) < 0.5 * (other.high - other.low), one.name
