"""Several studies on one page."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bakeoff.decide.facts import dig
from bakeoff.page import charts, words
from bakeoff.page.charts import Point
from bakeoff.page.palette import BASELINE_LOOK, looks
from bakeoff.page.render import Figure, render
from bakeoff.page.shell import make_environment, shell
from bakeoff.report.comparable import Comparability, differing_settings
from bakeoff.report.load import Run
from bakeoff.report.ranking import Ranking, told_difference
from bakeoff.report.table import Row, build_rows, shown_columns

_GIB = 1024.0**3


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row of the table: a method or baseline of one study."""

    study: str
    row: Row
    is_pick: bool

    @property
    def label(self) -> str:
        """What figures call it."""
        return f"{self.study} · {self.row.label}"


def build_entries(runs: Mapping[str, Run], ranking: Ranking) -> list[Entry]:
    """Every method and baseline of every study, the highest ROUGE-1 first.

    Names are made unique over the studies.
    """
    entries = [
        Entry(
            study=label,
            row=replace(row, name=f"{label}\n{row.name}"),
            is_pick=not row.is_baseline and ranking.picks.get(label) == row.name,
        )
        for label, run in runs.items()
        for row in build_rows(run.results)
    ]

    def order(entry: Entry) -> float:
        value = entry.row.value("rouge1")
        return math.inf if value is None else -value

    return sorted(entries, key=order)


def build_comparison_page(
    runs: Mapping[str, Run],
    alike: Comparability,
    ranking: Ranking,
    entries: list[Entry],
    figures: list[Figure],
    out: Path,
) -> str:
    """The whole of the page."""
    rows = [entry.row for entry in entries]
    return (
        make_environment()
        .get_template("side_by_side.html.j2")
        .render(
            **shell("report.js"),
            labels=list(runs),
            studies=[
                {
                    "label": label,
                    "base": words.plain(dig(run.results, "study", "base")),
                    "task": words.plain(dig(run.results, "study", "task", "source")),
                    "device": words.plain(dig(run.results, "environment", "device")),
                    "pick": ranking.picks.get(label),
                    "why": ranking.whys[label],
                    "link": _link(run.folder / "report.html", out),
                }
                for label, run in runs.items()
            ],
            alike=alike,
            ranking=ranking,
            entries=entries,
            columns=shown_columns(rows),
            marks=_marks(entries, ranking),
            looks=looks(runs),
            figures=figures,
            told_difference=told_difference,
            settings=differing_settings(runs),
        )
    )


def build_comparison_figures(
    runs: Mapping[str, Run], alike: Comparability, entries: list[Entry]
) -> list[Figure]:
    """Quality and cost of every method, a colour a study."""
    colors = looks(runs)
    machines = "" if alike.same_machine else " On different machines."
    kinds = (
        ("rouge1", "ROUGE-1", 100.0, words.rouge, "ROUGE-1 × 100 (higher is better)", ""),
        ("test_nll", "Test NLL", 1.0, words.nll, "nats a token (lower is better)",
         "" if alike.same_tokens else " Tokens differ: compare within a colour only."),
        ("epoch_mean", "Mean epoch", 1.0, words.seconds, "", machines),
        ("peak_memory_bytes", "Peak memory", 1 / _GIB, words.size, "", machines),
    )  # fmt: skip
    figures = []
    for key, title, factor, write, axis, remark in kinds:
        points = []
        for entry in entries:
            cell = entry.row.cells.get(key)
            if cell is None or cell.value is None or not entry.row.ended_well:
                continue
            text = write(cell.value)
            points.append(
                Point(
                    label=entry.label,
                    value=cell.value * factor,
                    low=None if cell.low is None else cell.low * factor,
                    high=None if cell.high is None else cell.high * factor,
                    text=text,
                    tip=f"{entry.label}: {text}",
                    look=BASELINE_LOOK if entry.row.is_baseline else colors[entry.study],
                    hollow=entry.row.is_baseline,
                    series=entry.study,
                )
            )
        if points:
            told = "; ".join(point.tip.replace(": ", " ", 1) for point in points)
            figures.append(
                render(
                    charts.dots(points, axis) if axis else charts.bars(points),
                    name=key,
                    group="",
                    title=title,
                    caption=f"A colour a study.{remark}",
                    alt=f"{title}: {told}.",
                )
            )
    return figures


def _marks(entries: list[Entry], ranking: Ranking) -> dict[tuple[str, str], str]:
    """``best`` and ``tie`` on the picks' ROUGE-1, where they were compared."""
    marks = {}
    for entry in entries:
        if entry.is_pick and ranking.best is not None:
            if entry.study == ranking.best:
                marks[entry.row.name, "rouge1"] = "best"
            elif entry.study in ranking.ties:
                marks[entry.row.name, "rouge1"] = "tie"
    return marks


def _link(report: Path, out: Path) -> str | None:
    """The way from the page to a study's own report, where that lies on the same disk."""
    if not report.is_file():
        return None
    try:
        return Path(os.path.relpath(report.resolve(), out.resolve())).as_posix()
    except ValueError:  # another drive
        return None
