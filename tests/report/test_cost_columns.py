"""The costs in the report's main table."""

from __future__ import annotations

from dataclasses import replace

from bakeoff.page.palette import looks
from bakeoff.report.figures.costs import cost_figures
from bakeoff.report.table import build_rows, shown_columns
from bakeoff.runs.records import EpochSeconds, Estimate, Results
from tests.golden_folders import golden


def keys(results: Results) -> list[str]:
    return [c.key for c in shown_columns(results.task.metrics, build_rows(results))]


def test_the_plain_loop_has_a_column_where_it_was_measured() -> None:
    results = golden("four")
    assert "plain_epoch" not in keys(results)
    lora = results.methods["lora"]
    cost = replace(
        lora.cost,
        epoch_seconds=EpochSeconds(mean=2.0, low=1.9, high=2.2),
        plain_epoch_seconds=Estimate(mean=3.0, low=2.8, high=3.1),
    )
    measured = replace(results, methods={**results.methods, "lora": replace(lora, cost=cost)})
    found = keys(measured)
    assert found.index("plain_epoch") == found.index("epoch_mean") + 1
    cells = {row.name: row.cells for row in build_rows(measured)}
    ours, plain = cells["lora"]["epoch_mean"], cells["lora"]["plain_epoch"]
    assert (ours.value, ours.low, ours.high) == (2.0, 1.9, 2.2)
    assert (plain.value, plain.low, plain.high) == (3.0, 2.8, 3.1)
    assert cells["full"]["plain_epoch"].value is None


def test_what_the_latency_is_of_holds_for_every_task() -> None:
    found = golden("four")
    chat = replace(found, task=replace(found.task, kind="chat", output_word="reply"))
    figures = {one.name: one for one in cost_figures(build_rows(chat), looks(chat.methods))}
    assert figures["latency"].caption == (
        "To write one more token of one answer, each method alone."
    )
