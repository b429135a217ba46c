"""The learning curve in words and as a table: what was reached on how many training rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from bakeoff.decide.verdicts import amount_words
from bakeoff.formatting import MISSING, scale_of, shown_whole
from bakeoff.report.table import metric_label
from bakeoff.runs.records import LearningCurvePoint, Results

CURVE_LEAD: Final = (
    "Each method's chosen setting, trained on fewer rows: nested subsets of the training rows, "
    "drawn once for each seed and alike for all methods. Epochs, rows of an update, schedule and "
    "early stopping are the setting's own, so fewer rows also mean fewer updates. The last point "
    "is the study's own runs on all rows. Nothing of this has a part in the recommendation."
)


@dataclass(frozen=True, kw_only=True)
class CurveCell:
    """What a method reached on so many rows, as written; ``interval`` is empty where none is."""

    value: str
    interval: str


@dataclass(frozen=True, kw_only=True)
class CurveLine:
    """One method.

    Attributes:
        name: the method's. cells: one for each size of the table.
        change: between its last two points, with ``change_interval``; empty where there is none.
        verdict: of the change. sentence: what further rows would bring.
    """

    name: str
    cells: list[CurveCell]
    change: str
    change_interval: str
    verdict: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class CurveTable:
    """The whole curve.

    Attributes:
        metric: the one that decides, as it is called. title: the same with its unit.
        sizes: in words, ascending. lines: a method each.
    """

    metric: str
    title: str
    sizes: list[str]
    lines: list[CurveLine]


def curve_table(results: Results) -> CurveTable | None:
    """By the metric that decides; None where no curve was trained."""
    found = {name: points for name, points in results.learning_curve.items() if points}
    if not found:
        return None
    metric = results.primary
    sizes = sorted({point.rows for points in found.values() for point in points})
    return CurveTable(
        metric=metric_label(metric),
        title=f"{metric_label(metric)} {metric.unit}".strip(),
        sizes=[shown_whole(size) for size in sizes],
        lines=[_line(results, name, points, sizes) for name, points in found.items()],
    )


def _line(
    results: Results, name: str, points: tuple[LearningCurvePoint, ...], sizes: list[int]
) -> CurveLine:
    by_size = {point.rows: point for point in points}
    scale, gain = scale_of(results.primary.unit), points[-1].gain
    within = ""
    if gain is not None and gain.low is not None and gain.high is not None:
        within = f"{scale.signed(gain.low)} to {scale.signed(gain.high)}"
    return CurveLine(
        name=name,
        cells=[_cell(results, by_size.get(size)) for size in sizes],
        change="" if gain is None else scale.signed(gain.difference),
        change_interval=within,
        verdict=gain.verdict if gain is not None and within else "",
        sentence=gain_sentence(results, name, points),
    )


def _cell(results: Results, point: LearningCurvePoint | None) -> CurveCell:
    found = None if point is None else point.metrics.get(results.primary.name)
    if found is None:
        return CurveCell(value=MISSING, interval="")
    write = scale_of(results.primary.unit).write
    has_interval = found.low is not None and found.high is not None
    return CurveCell(
        value=write(found.mean),
        interval=f"{write(found.low)} to {write(found.high)}" if has_interval else "",
    )


def gain_sentence(results: Results, name: str, points: tuple[LearningCurvePoint, ...]) -> str:
    """What more rows bring at the end of a method's curve, as far as its last two points show."""
    last, metric = points[-1], results.primary
    gain = last.gain
    if gain is None:
        return f"{name}: one point is no curve."
    scale = scale_of(metric.unit)
    change = f"{scale.signed(gain.difference)}"
    if gain.low is not None and gain.high is not None:
        change += f" ({scale.signed(gain.low)} to {scale.signed(gain.high)})"
    doublings = math.log2(last.rows / gain.rows)
    if abs(doublings - 1.0) > 0.01:
        change += f", or {scale.signed(gain.difference / doublings)} for each doubling"
    said = (
        f"{name}: from {shown_whole(gain.rows)} to {shown_whole(last.rows)} rows "
        f"{metric_label(metric)} changed by {change}"
    )
    if gain.why is not None:
        return f"{said}. No difference is shown, as {gain.why}."
    if gain.verdict == "better":
        return f"{said}. More rows would likely help."
    if gain.verdict == "worse":
        return f"{said}. It was better with fewer rows, so more of the same may not help."
    if gain.verdict == "equivalent":
        margin = "the margin" if gain.margin is None else amount_words(metric.unit, gain.margin)
        return f"{said}. That is shown to be less than {margin}: more rows would change little."
    return f"{said}. No difference is shown, so nothing says that more rows would help."
