"""The figure of every verdict against the margin."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bakeoff.decide.verdicts import turned
from bakeoff.report.figures.margins import axis_end, margin_figures, stretches
from bakeoff.report.table import baseline_label
from bakeoff.runs.records import Comparison, Results
from tests.decide.made import study_of
from tests.golden_folders import golden


def pairs_of(results: Results, metric: str) -> list[Comparison]:
    return [c for c in results.comparisons if c.metric == metric and c.set == "test"]


def labelled(results: Results, pair: Comparison) -> str:
    labels = {name: baseline_label(name, record) for name, record in results.baselines.items()}
    return " – ".join(labels.get(name, name) for name in (pair.a, pair.b))


STUDIES = {
    "golden": lambda: golden("four"),
    "close": lambda: study_of({"lora": 3.0, "head": 3.03, "soft_prompt": 3.2}),
    "few seeds": lambda: study_of({"lora": 3.0, "head": 3.03}, seeds={"lora": 3, "head": 2}),
}


@pytest.mark.parametrize("study", STUDIES)
@pytest.mark.parametrize("metric", ["nll", "rouge1"])
def test_at_the_studys_own_margin_it_shows_the_verdicts_of_the_table(
    study: str, metric: str
) -> None:
    results = STUDIES[study]()
    pairs = pairs_of(results, metric)
    if not pairs:
        return
    assert results.decision is not None
    margin = results.decision.margins[metric].value
    record = next(m for m in results.task.metrics if m.name == metric)
    rows = stretches(results, pairs, record, axis_end(pairs, margin))
    shown = {row.label: row.verdict for row in rows if row.low <= margin < row.high}
    assert len(shown) == len(pairs)
    for pair in pairs:
        ways = {labelled(results, one): one.verdict for one in (pair, turned(pair))}
        (label,) = set(ways) & set(shown)
        assert shown[label] == ways[label]
        # The one with the better mean stands first, so none reads worse.
        assert shown[label] != "worse"


def test_every_pair_is_covered_from_zero_to_the_end() -> None:
    results = golden("four")
    pairs = pairs_of(results, "nll")
    end = axis_end(pairs, 0.36)
    rows = stretches(results, pairs, results.primary, end)
    for label in {row.label for row in rows}:
        own = sorted((row.low, row.high) for row in rows if row.label == label)
        assert own[0][0] == 0.0 and own[-1][1] == end
        assert len(own) == 1 or own[0][1] == own[1][0]
    order = [row.high for row in rows if row.low == 0.0]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("changes", "margin", "end"),
    [
        ([0.01, 0.02], 0.05, 0.15),  # at least three margins
        ([0.2, 0.3], 0.05, 0.33),  # a tenth beyond the last change
        ([0.2, 7.0], 0.05, 0.22),  # what is far from equal is beyond the axis
        ([0.2, None], 0.0, 0.22),  # without a margin all changes are on it
    ],
)
def test_where_the_axis_ends(changes: list[float | None], margin: float, end: float) -> None:
    pair = pairs_of(golden("four"), "nll")[0]
    pairs = [replace(pair, equivalent_from=change) for change in changes]
    assert axis_end(pairs, margin) == pytest.approx(end)


def test_a_pair_of_which_nothing_is_said_is_undecided_at_any_margin() -> None:
    results = STUDIES["few seeds"]()
    pairs = pairs_of(results, "nll")
    rows = stretches(results, pairs, results.primary, 1.0)
    lost = [row for row in rows if "head" in row.label]
    assert {(row.low, row.high, row.verdict) for row in lost} == {(0.0, 1.0, "undecided")}
    assert all("at any margin, as head has fewer than 3 seeds" in row.tip for row in lost)
    assert math.isfinite(axis_end(pairs, 0.05))


def test_the_figure_says_what_the_margin_is_and_counts_the_verdicts() -> None:
    nll, rouge = margin_figures(golden("four"))
    assert (nll.name, rouge.name) == ("margins_nll", "margins_rouge1")
    assert "0.358 nats per token (a tenth of what the best method gains" in nll.caption
    assert "1 point (the metric's own, as validation has no baseline to gain on)" in rouge.caption
    assert nll.alt.startswith(
        "Of 10 pairs, at the study's margin of 0.358 nats per token: 9 better"
    )
    assert "lora is better than lora_small at margins below " in nll.svg


def test_an_older_run_has_none() -> None:
    assert list(margin_figures(golden("schema1"))) == []
