"""What a plan says of a design's power, and from where it knows how scores vary."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.config import dump_yaml
from bakeoff.errors import StoreError
from bakeoff.formatting import TIMES_100
from bakeoff.measure.power import PowerPlan, Spread, plan_power, spread_of, typical_of
from bakeoff.runs.arrays import arrays_bytes, read_arrays
from bakeoff.runs.records import Results
from tests.golden_folders import copy_of, golden, save
from tests.studies import small_study

ROWS = 4000
ROW, SEED, NOISE = 0.3, 0.02, 0.2


def planned(seeds: int, rows: int, spread: Spread | None = None, methods: int = 5) -> PowerPlan:
    spread = spread or typical_of("nll")
    assert spread is not None
    return plan_power(
        spread,
        metric="nll",
        unit="nats per token",
        margin=0.02,
        level=0.95,
        methods=methods,
        seeds=seeds,
        rows=rows,
    )


def by_perplexity(results: Results) -> Results:
    """The same study, decided by perplexity, which has no part in it else."""
    first = results.task.metrics[0]
    metrics = (replace(first, name="perplexity", title="Perplexity", unit="", primary=True),)
    others = tuple(replace(metric, primary=False) for metric in results.task.metrics)
    return replace(results, task=replace(results.task, metrics=(*metrics, *others)))


def write_scores(folder: Path, *, seeds: int = 2, rows: int = ROWS, row: float = ROW) -> None:
    """Scores of every final candidate of a copy of a golden run, over tokens of uneven number."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(5, 60, rows)
    for method in golden("searched").methods.values():
        own = row / 2**0.5 * rng.standard_normal(rows)
        for candidate in method.candidates[:seeds]:
            nll = 2.0 + own + SEED * rng.standard_normal() + NOISE * rng.standard_normal(rows)
            # Each row's NLL per token is as far from the mean as said, whatever its tokens.
            summed = 2.0 * tokens + (nll - 2.0) * tokens.mean()
            place = folder / "candidates" / candidate / "scores" / "test.npz"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(arrays_bytes({"nll": np.stack([summed, tokens], axis=1)}))


class TestSpreadOfARun:
    def test_it_is_that_of_its_scores(self, tmp_path: Path) -> None:
        copy_of("searched", tmp_path)
        write_scores(tmp_path)
        found, metric = spread_of(tmp_path)
        assert metric.name == "nll"
        # Between two methods what single scores vary by is in the rows as well, at two seeds.
        assert found.row == pytest.approx(ROW, rel=0.05)
        assert found.residual == pytest.approx(NOISE, rel=0.05)
        assert 0.2 * SEED < found.seed < 3.0 * SEED
        assert found.least_row is not None and found.most_row is not None
        assert found.least_row <= found.row <= found.most_row
        assert found.basis == f"{tmp_path} (3 methods, 2 seeds, 4,000 rows)"

    def test_with_one_seed_of_each_seeds_are_typical(self, tmp_path: Path) -> None:
        copy_of("searched", tmp_path)
        write_scores(tmp_path, seeds=1)
        found, _ = spread_of(tmp_path)
        typical = typical_of("nll")
        assert typical is not None and found.seed == typical.seed
        assert "and of seeds what studies of summaries" in found.basis

    def test_rows_of_one_group_vary_as_one(self, tmp_path: Path) -> None:
        copy_of("searched", tmp_path)
        write_scores(tmp_path, rows=400)
        plain, _ = spread_of(tmp_path)
        groups = {"test": [index // 4 for index in range(400)]}
        (tmp_path / "groups.json").write_text(json.dumps(groups), encoding="utf-8")
        found, _ = spread_of(tmp_path)
        # Rows of a group are drawn alone here, so that the mean of four varies half as much.
        assert found.row == pytest.approx(plain.row / 2, rel=0.2)
        assert found.counted == "group" and "100 groups" in found.basis

    def test_a_metric_that_is_a_function_of_a_mean_is_in_its_own_unit(self, tmp_path: Path) -> None:
        results = copy_of("searched", tmp_path)
        write_scores(tmp_path, rows=400)
        nats, _ = spread_of(tmp_path)
        save(tmp_path, by_perplexity(results))
        for path in tmp_path.glob("candidates/*/scores/test.npz"):
            arrays = read_arrays(path)
            assert arrays is not None
            path.write_bytes(arrays_bytes({"perplexity": arrays["nll"]}))
        found, metric = spread_of(tmp_path)
        assert metric.name == "perplexity"
        # By the delta method: times the perplexity of the mean of 2 nats that is written.
        assert found.row == pytest.approx(math.exp(2.0) * nats.row, rel=0.2)

    def test_a_run_without_scores_is_refused(self, tmp_path: Path) -> None:
        copy_of("searched", tmp_path)
        with pytest.raises(StoreError, match="holds the scores of 0 of 3 methods"):
            spread_of(tmp_path)

    def test_a_torn_file_is_a_run_that_was_not_tested(self, tmp_path: Path) -> None:
        copy_of("searched", tmp_path)
        write_scores(tmp_path, seeds=1)
        for file in sorted(tmp_path.rglob("test.npz"))[:2]:
            file.write_bytes(file.read_bytes()[:100])
        with pytest.raises(StoreError, match="holds the scores of 1 of 3 methods"):
            spread_of(tmp_path)


class TestWhatIsSaid:
    def test_rows_are_named_before_seeds(self) -> None:
        """Three seeds more would not find what rows alone hide."""
        few, many = planned(3, 300), planned(10, 300)
        assert few.limit == many.limit == "rows"
        assert few.detectable is not None and many.detectable is not None
        assert few.detectable == pytest.approx(many.detectable, rel=0.05)
        assert few.needed_rows is not None and few.needed_rows > 2000
        assert "rows are what is missing" in few.says[1]
        assert few.says[1].index("test rows") < few.says[1].index("seeds of each")

    def test_seeds_are_named_where_rows_suffice(self) -> None:
        plan = planned(3, 300, Spread(row=0.02, seed=0.01, basis="made up"), methods=3)
        assert (plan.limit, plan.needed_rows) == ("seeds", None)
        assert plan.says[1].endswith("seeds of each method: seeds are what is missing.")

    def test_a_design_that_suffices(self) -> None:
        plan = planned(5, 3000, Spread(row=0.02, seed=0.001, basis="made up"))
        assert plan.limit is None and plan.recognised > 0.99
        assert plan.says[1] == "That is enough for the margin of 0.02."

    @pytest.mark.parametrize(
        ("seeds", "rows", "part"),
        [(1, 300, "at least 3 seeds are needed"), (3, 9, "at least 10 rows are needed")],
    )
    def test_a_design_that_says_nothing(self, seeds: int, rows: int, part: str) -> None:
        plan = planned(seeds, rows)
        assert plan.detectable is None and plan.recognised == 0.0
        assert part in plan.says[0]

    def test_groups_are_called_so(self) -> None:
        plan = planned(3, 40, Spread(row=0.28, seed=0.005, counted="group", basis="made up"))
        assert "3 seeds of each method and 40 test groups" in plan.says[0]
        assert "groups are what is missing" in plan.says[1]

    def test_a_margin_out_of_reach(self) -> None:
        plan = planned(3, 300, Spread(row=0.1, seed=20.0, basis="made up"))
        assert plan.needed_rows is plan.needed_seeds is None
        assert plan.says[1].startswith("No number of rows and seeds within reach")

    def test_shares_are_said_in_points(self) -> None:
        spread = Spread(row=0.4, seed=0.01, basis="made up")
        plan = plan_power(
            spread,
            metric="accuracy",
            unit=TIMES_100,
            margin=0.01,
            level=0.9,
            methods=3,
            seeds=3,
            rows=1000,
        )
        assert plan.detectable is not None and 0.03 < plan.detectable < 0.2
        assert f"a difference of {100 * plan.detectable:.2g} points between" in plan.says[0]
        assert "(margin 1, level 0.9)" in plan.says[0]
        assert "vary by 40 from row to row, and on methods that vary by 1 from seed" in plan.says[2]

    def test_nothing_is_typical_of_a_metric_that_no_study_had(self) -> None:
        assert typical_of("macro_f1") is None


@pytest.mark.usefixtures("quick_plans")
class TestCommand:
    @pytest.fixture
    def plan(self, place: Path, cli: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: object) -> Any:
            file = place / "study.yaml"
            file.write_text(dump_yaml(small_study()), encoding="utf-8")
            return cli("plan", file, *arguments)

        return call

    def test_without_an_earlier_run_it_is_what_is_typical(self, plan: Callable[..., Any]) -> None:
        power = json.loads(plan("--json").out)["power"]
        assert (power["metric"], power["methods"], power["seeds"], power["rows"]) == (
            "nll",
            2,
            1,
            4,
        )
        assert power["spread"]["row"] == 0.28 and power["detectable"] is None

    def test_an_earlier_run_is_named_or_the_studys_own(
        self, plan: Callable[..., Any], place: Path
    ) -> None:
        copy_of("searched", place / "earlier")
        write_scores(place / "earlier", rows=500, row=0.5)
        named = plan("--like", "earlier")
        assert named.code == 0
        assert "earlier (3 methods, 2 seeds, 500 rows)" in " ".join(named.out.split())
        copy_of("searched", place / "runs" / "small")
        assert json.loads(plan("--json").out)["power"]["spread"]["row"] == 0.28
        write_scores(place / "runs" / "small", rows=500, row=0.9)
        found = json.loads(plan("--json").out)["power"]["spread"]
        assert found["row"] == pytest.approx(0.9, rel=0.1)
        assert found["basis"].startswith(str(Path("runs") / "small"))

    def test_a_folder_without_results_is_refused_before_anything_is_loaded(
        self, plan: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bakeoff.study.planning.open_workbench", None)
        outcome = plan("--like", "nowhere")
        assert outcome.code == 2 and "nowhere/results.json: not found" in outcome.message

    def test_cells_are_planned_as_the_one_family_that_they_are_judged_in(
        self, place: Path, cli: Callable[..., Any]
    ) -> None:
        """Two methods and the untuned base, with either of two prompts."""
        layouts = {"short": "{text}\n{short}", "long": "Read.\n{text}\n{short}"}
        study = small_study(protocol={"seeds": [0, 1, 2]}, templates=layouts)
        study["task"] |= {"kind": "complete", "prompt": "text", "completion": "short"}
        del study["task"]["document"], study["task"]["summary"]
        study["methods"]["other"] = {"kind": "lora", "rank": 1, "learning_rate": 1e-2}
        (place / "study.yaml").write_text(dump_yaml(study), encoding="utf-8")
        plan = json.loads(cli("plan", "study.yaml", "--json").out)
        assert [cell["power"]["methods"] for cell in plan["cells"].values()] == [6, 6]

    def test_looks_leave_less_to_each(self, place: Path, cli: Callable[..., Any]) -> None:
        study = small_study(protocol={"seeds": {"at_least": 3, "at_most": 6}})
        (place / "study.yaml").write_text(dump_yaml(study), encoding="utf-8")
        assert json.loads(cli("plan", "study.yaml", "--json").out)["power"]["level"] > 0.95

    def test_a_run_of_groups_says_nothing_of_rows(
        self, plan: Callable[..., Any], place: Path
    ) -> None:
        copy_of("searched", place / "earlier")
        write_scores(place / "earlier", rows=400)
        groups = {"test": [index // 4 for index in range(400)]}
        (place / "earlier/groups.json").write_text(json.dumps(groups), encoding="utf-8")
        found = json.loads(plan("--like", "earlier", "--json").out)
        assert found["power"] is None
        assert any("from row to row is not known" in note for note in found["notes"])
