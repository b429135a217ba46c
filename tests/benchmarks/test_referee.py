"""``benchmarks/referee.py``: its table, its file, and the tests of textbooks that it holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

TITLES = {
    "baseline": "No method is better than the best baseline",
    "fixed": "The same with a fixed number of seeds",
}
Load = Callable[[str], ModuleType]


def test_the_table_and_the_file_say_the_same(
    module: Load, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "figures.json"
    module("referee").main(["--studies", "20", "--only", "baseline", "fixed", "--json", str(file)])
    printed = capsys.readouterr().out
    content = json.loads(file.read_text(encoding="utf-8"))
    assert content["studies"] == 20
    assert set(content["cells"]) == {"baseline", "fixed"}
    for name, results in content["cells"].items():
        part = printed[printed.index(TITLES[name]) :]
        for cell in results:
            line = next(x for x in part.splitlines() if x.startswith(f"| {cell['name']} |"))
            numbers = [text.strip(" *") for text in line.split("|")[2:-1]]
            assert numbers == [f"{value:.1f}" for value in cell["figures"].values()]
    (asked,) = content["asked"]
    assert asked["what"] == "recommended though equal to the best baseline, any cell"
    assert asked["asked"] == "at most 7.5 %"
    assert f"| {asked['what']} | {asked['asked']} | {asked['found']} |" in printed


def test_rivals_equal_scipy(module: Load) -> None:
    rivals = module("simulation.rivals")
    means = np.random.default_rng(0).standard_normal((4, 4, 3)) + np.array([0, 1, 2.5])
    t, freedom = rivals.welch(means)
    tukey, games_howell = rivals.pooled_tukey(means, 0.05), rivals.games_howell(means, 0.05)
    for b in range(4):
        groups = list(means[b].T)
        welch = stats.ttest_ind(groups[0], groups[2], equal_var=False)
        assert (t[b, 1], freedom[b, 1]) == pytest.approx((welch.statistic, welch.df))
        for called, equal_var in ((tukey, True), (games_howell, False)):
            p_values = stats.tukey_hsd(*groups, equal_var=equal_var).pvalue
            expected = [p_values[0, 1] < 0.05, p_values[0, 2] < 0.05, p_values[1, 2] < 0.05]
            assert called[b].tolist() == expected


def test_ratios_to_first_order(module: Load) -> None:
    cells, influence = module("simulation.cells"), module("bakeoff.decide.referee.influence")
    rng = np.random.default_rng(0)
    weights = np.broadcast_to(rng.lognormal(3.0, 0.8, (2, 1, 40)), (2, 3, 40))
    scores = weights * rng.standard_normal((2, 3, 40))
    found = cells.first_order_ratios(influence.of_ratios(scores, weights)).u
    ratio = (scores.sum(axis=-1) / weights.sum(axis=-1))[..., None]
    expected = ratio + (scores - ratio * weights) / weights.mean(axis=-1, keepdims=True)
    assert found == pytest.approx(expected)


def test_every_cell_has_a_name_of_its_own(module: Load) -> None:
    table = module("simulation.table")
    for cells in (
        table.equal_cells(),
        table.skewed_cells(),
        table.rare_cells(),
        table.margin_cells(),
        table.baseline_cells(),
        table.power_cells(),
        table.adaptive_cells(),
        table.fixed_cells(),
    ):
        names = [cell.name for cell in cells]
        assert len(set(names)) == len(names)
