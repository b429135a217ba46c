"""The figures of several studies on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bakeoff.formatting import scale_of
from bakeoff.page import charts
from bakeoff.page.charts import Point
from bakeoff.page.figure import Figure
from bakeoff.page.palette import BASELINE_LOOK, Look, looks
from bakeoff.page.render import render
from bakeoff.report.comparable import Comparability, all_metrics
from bakeoff.report.figures.points import GIB, axis_title
from bakeoff.report.load import Run
from bakeoff.report.ranking import OF_TOKENS
from bakeoff.report.side_by_side import Entry
from bakeoff.report.table import COSTS, Write, metric_label

_COSTS = ("epoch_mean", "peak_memory_bytes")


def build_comparison_figures(
    runs: Mapping[str, Run], alike: Comparability, entries: Sequence[Entry]
) -> list[Figure]:
    """Quality and cost of every method, a colour a study."""
    colors = looks(runs)
    machines = "" if alike.same_machine else " On different machines."
    figures = []
    for metric in all_metrics(runs):
        if metric.name in OF_TOKENS and not alike.same_tokens:
            continue  # on one axis they would be compared
        scale = scale_of(metric.unit)
        points = _points(entries, metric.name, scale.write, colors, scale.factor)
        if points:
            chart = charts.dots(points, axis_title(metric))
            figures.append(_figure(chart, metric.name, metric_label(metric), "", points))
    for column in COSTS:
        factor = 1 / GIB if column.key == "peak_memory_bytes" else 1.0
        points = _points(entries, column.key, column.write, colors, factor)
        if points and column.key in _COSTS:
            chart = charts.bars(points)
            figures.append(_figure(chart, column.key, column.label, machines, points))
    return figures


def _figure(
    chart: charts.Spec, name: str, title: str, remark: str, points: Sequence[Point]
) -> Figure:
    shown = "; ".join(point.tip.replace(": ", " ", 1) for point in points)
    caption, alt = f"A colour for each study.{remark}", f"{title}: {shown}."
    return render(chart, name=name, group="", title=title, caption=caption, alt=alt)


def _points(
    entries: Sequence[Entry], key: str, write: Write, colors: Mapping[str, Look], factor: float
) -> list[Point]:
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
                is_hollow=entry.row.is_baseline,
                series=entry.study,
            )
        )
    return points
