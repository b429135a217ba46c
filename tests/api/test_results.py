"""Results as tables, scores, figures and HTML, of runs that are kept."""

from __future__ import annotations

from pathlib import Path

import altair as alt
import pytest

import bakeoff
from bakeoff.errors import ConfigError, StoreError
from tests.golden_folders import GOLDEN, copy_of


@pytest.fixture(scope="module")
def results() -> bakeoff.Results:
    return bakeoff.load(GOLDEN / "four")


def test_a_table_has_a_row_for_each_method(results: bakeoff.Results) -> None:
    table = results.table()
    assert list(table["method"]) == list(results.record.methods)
    record = results.record.methods["lora"]
    row = table.set_index("method").loc["lora"]
    assert row["kind"] == "lora" and row["state"] == "COMPLETE"
    assert row["seeds"] == len(record.seeds)
    for name, found in record.test.items():
        bounds = [row[f"test_{name}{end}"] for end in ("", "_low", "_high")]
        assert bounds == [found.mean, found.low, found.high]
    assert row["validation_nll"] == record.validation["nll"].mean
    assert row["trainable_parameters"] == record.cost.trainable_parameters
    assert record.cost.epoch_seconds is not None
    assert row["epoch_seconds"] == record.cost.epoch_seconds.mean
    chosen = table.loc[table["recommended"], "method"]
    assert list(chosen) == [m for m in [results.recommendation.method] if m is not None]


def test_baselines_are_rows_on_request(results: bakeoff.Results) -> None:
    table = results.table(baselines=True).set_index("method")
    assert list(table.index[-2:]) == list(results.record.baselines)
    assert (table["kind"].iloc[-2:] == "baseline").all()
    zero = results.record.baselines["zero_shot"]
    assert table.loc["zero_shot", "test_nll"] == zero.test["nll"].mean
    assert table.loc["zero_shot"].isna()["trainable_parameters"]


def test_scores_have_a_row_for_each_row_seed_and_method(results: bakeoff.Results) -> None:
    scores = results.scores()
    num_rows = results.record.data.test.examples
    seeds = sum(len(method.candidates) for method in results.record.methods.values())
    assert len(scores) == num_rows * seeds
    assert not scores.duplicated(["method", "seed", "example"]).any()
    # The mean of a method is that of its rows: weighted by tokens for an NLL.
    lora = scores[scores["method"] == "lora"]
    record = results.record.methods["lora"]
    assert lora["rouge1"].mean() == pytest.approx(record.test["rouge1"].mean, rel=1e-12)
    means = [
        (found["nll"] * found["tokens"]).sum() / found["tokens"].sum()
        for _, found in lora.groupby("seed")
    ]
    assert sum(means) / len(means) == pytest.approx(record.test["nll"].mean, rel=1e-12)
    more = results.scores(baselines=True)
    assert set(more["method"]) - set(scores["method"]) == {"zero_shot", "lead"}
    assert more.loc[more["method"] == "lead", "seed"].isna().all()


def test_scores_are_what_compare_takes(results: bakeoff.Results) -> None:
    scores = results.scores()
    arrays = {
        str(name): found.pivot(index="seed", columns="example", values="rougeL").to_numpy()
        for name, found in scores.groupby("method", sort=False)
    }
    ours = bakeoff.compare(arrays, higher_is_better=True, margin=0.01)
    assert len(ours.comparisons) == 6


def test_figures_are_altair_charts(results: bakeoff.Results) -> None:
    assert {"tradeoff", "quality", "pareto_memory", "learning_curves"} <= set(results.figures)
    for name in ("tradeoff", "test_rougeL", "learning_curves", "wall_clock"):
        chart = results.figure(name)
        assert isinstance(chart, alt.TopLevelMixin)
        assert chart.to_dict()["config"]["font"]
    assert results.figure().to_dict() == results.figure("pareto_memory").to_dict()
    with pytest.raises(ConfigError, match=r"figure 'pie': these results have none .*tradeoff"):
        results.figure("pie")


def test_a_notebook_shows_the_answer_and_the_table(tmp_path: Path) -> None:
    results = bakeoff.load(GOLDEN / "four")
    page = results._repr_html_()
    assert page.count("<tr>") == 1 + len(results.record.methods) + len(results.record.baselines)
    assert "ROUGE-1" in page and "<script" not in page
    assert "Results('" in repr(results)


def test_names_are_escaped(tmp_path: Path) -> None:
    from dataclasses import replace

    from bakeoff.runs.records import Results

    def hostile(found: Results) -> Results:
        metrics = tuple(replace(m, title="<b>x</b>") for m in found.task.metrics)
        return replace(found, task=replace(found.task, metrics=metrics))

    copy_of("four", tmp_path / "run", hostile)
    page = bakeoff.load(tmp_path / "run")._repr_html_()
    assert "<b>x</b>" not in page and "&lt;b&gt;x&lt;/b&gt;" in page


@pytest.mark.parametrize("name", ["partial", "schema1", "searched"])
def test_other_results_are_read_too(name: str) -> None:
    results = bakeoff.load(GOLDEN / name)
    assert len(results.table()) == len(results.record.methods)
    scores = results.scores(baselines=True)
    assert {"method", "candidate", "seed", "example", "answer"} <= set(scores.columns)
    assert "<table>" in results._repr_html_()


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not found"):
        bakeoff.load(tmp_path)
