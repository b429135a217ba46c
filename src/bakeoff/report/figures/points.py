"""Rows of the table as points of a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from bakeoff.page.charts import Point
from bakeoff.page.palette import BASELINE_LOOK, Look
from bakeoff.report.table import Row, Write
from bakeoff.runs.records import MetricRecord

MIB: Final = 1024.0**2
GIB: Final = 1024.0**3


def points_of(
    rows: Sequence[Row], key: str, write: Write, look: Mapping[str, Look], factor: float = 1.0
) -> list[Point]:
    """A point for each row that has the figure.

    Args:
        rows: the table's. key: of the figure. write: it in words.
        look: of each method. factor: from the figure to the chart's unit.
    """
    points = []
    for row in rows:
        cell = row.cells.get(key)
        if cell is None or cell.value is None:
            continue
        text = write(cell.value)
        tip = f"{row.label}: {text}"
        if cell.low is not None and cell.high is not None:
            tip += f" ({write(cell.low)} to {write(cell.high)})"
        points.append(
            Point(
                label=row.label,
                value=cell.value * factor,
                low=None if cell.low is None else cell.low * factor,
                high=None if cell.high is None else cell.high * factor,
                text=text,
                tip=tip,
                look=look.get(row.name, BASELINE_LOOK),
                is_hollow=row.is_baseline,
                series=row.label,
            )
        )
    return points


def described_points(what: str, points: Sequence[Point]) -> str:
    """The figure in words, for someone who does not see it."""
    return f"{what}: " + "; ".join(p.tip.replace(": ", " ", 1) for p in points) + "."


def axis_title(metric: MetricRecord) -> str:
    """An axis of a metric: ``nats per token (lower is better)``."""
    better = "higher" if metric.higher_is_better else "lower"
    is_named = not metric.unit or metric.unit.startswith("×")
    what = f"{metric.title} {metric.unit}".rstrip() if is_named else metric.unit
    return f"{what} ({better} is better)"
