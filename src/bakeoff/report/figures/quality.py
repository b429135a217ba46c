"""Figures of quality: every metric of the task, and which differences are real."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bakeoff.decide.verdicts import comparison, finished_methods, rank
from bakeoff.formatting import scale_of, shown_p_value
from bakeoff.page import charts
from bakeoff.page.charts import Point
from bakeoff.page.figure import Figure
from bakeoff.page.palette import BASELINE_LOOK, Look
from bakeoff.page.render import render
from bakeoff.report.figures.points import axis_title, described_points, points_of
from bakeoff.report.load import row_metric_of
from bakeoff.report.table import Row, baseline_label, metric_label
from bakeoff.runs.records import Comparison, MetricRecord, Results

_CAPTIONS = {
    "nll": "Mean negative log-likelihood per supervised token, with its interval.",
}


def quality_figures(
    results: Results, rows: Sequence[Row], look: Mapping[str, Look]
) -> Iterator[Figure]:
    """A figure for each metric of the task, the primary one first."""
    shown_first = (results.primary, row_metric_of(results))
    for metric in sorted(results.task.metrics, key=lambda m: not m.primary):
        scale = scale_of(metric.unit)
        points = points_of(rows, metric.name, scale.write, look, factor=scale.factor)
        if points:
            yield render(
                charts.dots(points, axis_title(metric)),
                name=f"test_{metric.name}",
                group="quality" if metric in shown_first else "metrics",
                title=metric_label(metric),
                caption=_CAPTIONS.get(
                    metric.name, "Of the answers to the test rows, with its interval."
                ),
                alt=described_points(metric_label(metric), points),
            )


def pair_figures(results: Results, look: Mapping[str, Look], pick: str | None) -> Iterator[Figure]:
    """Every method against the one that the reader asks about, on the same rows."""
    finished = finished_methods(results)
    if not finished:
        return
    against = pick or min(finished, key=lambda name: rank(results, name))
    for metric in dict.fromkeys((results.primary, row_metric_of(results))):
        points = _differences(results, metric, look, against)
        if points:
            title = f"test {metric.title}" if metric.primary else metric.title
            unit = f" {metric.unit}" if metric.unit.startswith("×") else ""
            worse = "left" if metric.higher_is_better else "right"
            yield render(
                charts.differences(points, f"{title}{unit} minus {against}'s"),
                name=f"differences_{metric.name}",
                group="quality",
                title=f"Paired differences from {against} in {title}",
                caption=f"Each method and baseline minus {against} on the same test rows, with the "
                f"interval for all pairs together: {worse} of the line is worse than {against}; "
                "filled: shown better or worse; hollow: equivalent or undecided.",
                alt=". ".join(point.tip for point in points) + ".",
            )


def _differences(
    results: Results, metric: MetricRecord, look: Mapping[str, Look], against: str
) -> list[Point]:
    points = []
    for name in (*look, *results.baselines):
        gap = comparison(results, name, against, metric.name)
        if name == against or gap is None:
            continue
        label = name
        if name not in look and name in results.baselines:
            label = baseline_label(name, results.baselines[name])
        factor = scale_of(metric.unit).factor
        points.append(
            Point(
                label=label,
                value=gap.difference * factor,
                low=None if gap.low is None else gap.low * factor,
                high=None if gap.high is None else gap.high * factor,
                text=gap.verdict,
                tip=_tip(gap, metric, label, against),
                look=look.get(name, BASELINE_LOOK),
                is_hollow=gap.verdict in ("equivalent", "undecided"),
                series=label,
            )
        )
    return points


def _tip(gap: Comparison, metric: MetricRecord, label: str, against: str) -> str:
    scale = scale_of(metric.unit)
    tip = f"{label} minus {against}: {scale.signed(gap.difference)}"
    if gap.low is not None and gap.high is not None:
        tip += f" ({scale.signed(gap.low)} to {scale.signed(gap.high)})"
    if gap.why is not None:
        return f"{tip}: undecided, as {gap.why}"
    return f"{tip}, p {shown_p_value(gap.p_value)}: {gap.verdict}"
