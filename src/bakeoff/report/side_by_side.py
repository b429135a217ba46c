"""Several studies on one page."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bakeoff.page import words
from bakeoff.page.figure import Figure
from bakeoff.page.frame import frame, make_environment
from bakeoff.page.palette import looks
from bakeoff.report.comparable import Comparability, all_metrics, differing_settings
from bakeoff.report.load import Run
from bakeoff.report.ranking import Ranking, written_difference
from bakeoff.report.table import Row, build_rows, metric_label, shown_columns
from bakeoff.runs.settings import bases_of, setting


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row of the table: a method or baseline of one study.

    Attributes:
        shared_by: the studies that have the same baseline, where it is shown once for all.
    """

    study: str
    row: Row
    is_pick: bool
    shared_by: tuple[str, ...] = ()

    @property
    def studies(self) -> str:
        """Whose it is: its study, or all that share it."""
        return ", ".join(self.shared_by) or self.study

    @property
    def label(self) -> str:
        """What figures call it."""
        return self.row.label if self.shared_by else f"{self.study} · {self.row.label}"


def build_entries(runs: Mapping[str, Run], ranking: Ranking) -> list[Entry]:
    """Every method and baseline of every study, the best by the ranking's metric first.

    Names are made unique over the studies. A baseline that reaches the same in several of them, as
    one that needs no training does on the same base and rows, has one row.
    """
    entries = _each_baseline_once(
        runs,
        [
            Entry(
                study=label,
                row=replace(row, name=f"{label}\n{row.name}"),
                is_pick=not row.is_baseline and ranking.picks.get(label) == row.name,
            )
            for label, run in runs.items()
            for row in build_rows(run.results)
        ],
    )
    sign = -1.0 if ranking.metric.higher_is_better else 1.0

    places = {label: place for place, label in enumerate(runs)}

    def order(entry: Entry) -> tuple[float, int, float]:
        value = entry.row.value(ranking.metric.name)
        decided = runs[entry.study].results.primary
        own = entry.row.value(decided.name)
        sign_of_own = -1.0 if decided.higher_is_better else 1.0
        return (
            math.inf if value is None else sign * value,
            places[entry.study],
            math.inf if own is None else sign_of_own * own,
        )

    return sorted(entries, key=order)


def _each_baseline_once(runs: Mapping[str, Run], entries: list[Entry]) -> list[Entry]:
    known: dict[tuple[object, ...], list[str]] = {}
    kept = []
    for entry in entries:
        if not entry.row.is_baseline:
            kept.append(entry)
            continue
        columns = shown_columns(runs[entry.study].results.task.metrics, [entry.row])
        written = [(c.key, c.write(entry.row.value(c.key))) for c in columns if c.metric]
        key = (entry.row.label, *written)
        if key not in known:
            kept.append(entry)
        known.setdefault(key, []).append(entry.study)
        if len(known[key]) > 1:
            at = next(
                i
                for i, one in enumerate(kept)
                if one.study == known[key][0] and one.row.label == entry.row.label
            )
            kept[at] = replace(kept[at], shared_by=tuple(known[key]))
    return kept


def build_comparison_page(
    runs: Mapping[str, Run],
    alike: Comparability,
    ranking: Ranking,
    entries: list[Entry],
    figures: list[Figure],
    out: Path,
) -> str:
    """The whole of the page."""
    metrics = all_metrics(runs)
    by_name = {metric.name: metric for metric in (ranking.metric, *metrics)}
    return (
        make_environment()
        .get_template("side_by_side.html.j2")
        .render(
            **frame("report.js"),
            labels=list(runs),
            studies=[
                {
                    "label": label,
                    "base": words.plain(bases_of(run.results.study)),
                    "task": words.plain(setting(run.results.study, "task.source")),
                    "device": run.results.environment.device,
                    "pick": ranking.picks.get(label),
                    "why": ranking.whys[label],
                    "link": _link(run.folder / "report.html", out),
                }
                for label, run in runs.items()
            ],
            alike=alike,
            ranking=ranking,
            entries=entries,
            columns=shown_columns(metrics, [entry.row for entry in entries]),
            marks=_marks(entries, ranking),
            looks=looks(runs),
            figures=figures,
            comparisons=[
                (c, metric_label(by_name[c.metric]), written_difference(c, by_name[c.metric].unit))
                for c in ranking.comparisons
            ],
            settings=differing_settings(runs),
        )
    )


def _marks(entries: list[Entry], ranking: Ranking) -> dict[tuple[str, str], str]:
    """``best``, ``equivalent`` and ``undecided`` on the picks' scores, where they were compared."""
    marks = {}
    for entry in entries:
        if entry.is_pick and ranking.best is not None:
            if entry.study == ranking.best:
                marks[entry.row.name, ranking.metric.name] = "best"
            elif entry.study in ranking.standing:
                marks[entry.row.name, ranking.metric.name] = ranking.standing[entry.study]
    return marks


def _link(report: Path, out: Path) -> str | None:
    """The way from the page to a study's own report, where that is on the same disk."""
    if not report.is_file():
        return None
    try:
        return Path(os.path.relpath(report.resolve(), out.resolve())).as_posix()
    except ValueError:  # another drive
        return None
