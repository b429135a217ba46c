"""The figure of quality against training rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from bakeoff.decide.verdicts import ZERO_SHOT, baseline_label
from bakeoff.formatting import scale_of, shown_whole
from bakeoff.page.charts import TOTAL_WIDTH, Spec, data, described, layered, padded
from bakeoff.page.figure import Figure
from bakeoff.page.labels import Axis, shorten, stack_labels, text_width
from bakeoff.page.palette import BASELINE_LOOK, NEUTRAL, Look
from bakeoff.page.render import render
from bakeoff.report.figures.groups import CURVE_GROUP
from bakeoff.report.figures.points import axis_title
from bakeoff.report.figures.tradeoff import fits
from bakeoff.report.learning_curve import gain_sentence
from bakeoff.report.table import metric_label
from bakeoff.runs.records import Results

_WIDTH, _HEIGHT = TOTAL_WIDTH - 48, 220
_NAME_LIMIT = 20
_APART = 4.0
"""Pixels between methods at one size, so that their intervals do not cover each other."""
_TICK_ROOM = 40.0


@dataclass(frozen=True, kw_only=True)
class RowsCurve:
    """One method's curve.

    Attributes:
        points: (rows, mean, low, high, what is shown on hover), ascending; low and high are None
            where no interval is known.
    """

    name: str
    look: Look
    points: list[tuple[int, float, float | None, float | None, str]]


def rows_figures(results: Results, look: Mapping[str, Look]) -> Iterator[Figure]:
    """Quality by the number of training rows, where the study has a learning curve."""
    curves = [
        RowsCurve(name=name, look=look[name], points=points)
        for name in results.learning_curve
        if name in look and (points := _points(results, name))
    ]
    if not curves:
        return
    metric = results.primary
    factor = scale_of(metric.unit).factor
    ends = [v for c in curves for _, *three, _ in c.points for v in three if v is not None]
    lines, far = [], []
    for label, mean in _baselines(results):
        if fits(mean * factor, min(ends), max(ends)):
            lines.append((label, mean * factor))
        else:
            far.append(f"{label} {scale_of(metric.unit).write(mean)}")
    sentences = [gain_sentence(results, c.name, results.learning_curve[c.name]) for c in curves]
    yield render(
        rows_chart(curves, lines, axis_title(metric)),
        name="learning_curve_rows",
        group=CURVE_GROUP,
        title=f"{metric_label(metric)} by training rows",
        caption=" ".join(
            [
                "Mean over seeds with its interval, on the study's test rows; the scale of rows is "
                "logarithmic.",
                *(["Dashed: baselines, which are not trained."] if lines else []),
                *([f"Outside the figure: {', '.join(far)}."] if far else []),
            ]
        ),
        alt=" ".join(sentences),
    )


def _points(
    results: Results, name: str
) -> list[tuple[int, float, float | None, float | None, str]]:
    metric = results.primary
    scale = scale_of(metric.unit)

    def times(value: float | None) -> float | None:
        return None if value is None else value * scale.factor

    points = []
    for point in results.learning_curve[name]:
        found = point.metrics.get(metric.name)
        if found is None:
            continue
        tip = f"{name}, {shown_whole(point.rows)} rows: {scale.write(found.mean)}"
        if found.low is not None and found.high is not None:
            tip += f" ({scale.write(found.low)} to {scale.write(found.high)})"
        mean = found.mean * scale.factor
        points.append((point.rows, mean, times(found.low), times(found.high), tip))
    return points


def _baselines(results: Results) -> list[tuple[str, float]]:
    """The untuned base and the best of the others, by the metric that decides."""
    metric = results.primary
    sign = -1.0 if metric.higher_is_better else 1.0
    found = {
        name: record.test[metric.name].mean
        for name, record in results.baselines.items()
        if metric.name in record.test
    }
    others = sorted((name for name in found if name != ZERO_SHOT), key=lambda n: sign * found[n])
    names = [*([ZERO_SHOT] if ZERO_SHOT in found else []), *others[:1]]
    return [(baseline_label(name, results.baselines[name]), found[name]) for name in names]


def rows_chart(
    curves: Sequence[RowsCurve], baselines: Sequence[tuple[str, float]], y_title: str
) -> Spec:
    """A line per method over the logarithm of rows, with its name at its end.

    Args:
        curves: at least one. baselines: label and height of each level line.
        y_title: of the upright axis.
    """
    sizes = sorted({rows for curve in curves for rows, *_ in curve.points})
    ys = [v for c in curves for _, *three, _ in c.points for v in three if v is not None]
    ys += [height for _, height in baselines]
    labels = [*(curve.name for curve in curves), *(label for label, _ in baselines)]
    names = [shorten(label, _NAME_LIMIT) for label in labels]
    room = min(max(map(text_width, names)), 130.0) + 34
    x_axis = padded(sizes[0], sizes[-1], _WIDTH, left=14, right=room, log=True)
    upward = padded(min(ys), max(ys), _HEIGHT, left=14, right=14)
    y_axis = Axis(low=upward.low, high=upward.high, pixels=upward.pixels, flip=True)
    x = alt.X(
        "x:Q",
        title="training rows (log)",
        scale=alt.Scale(type="log", domain=[x_axis.low, x_axis.high], nice=False),
        axis=alt.Axis(values=_ticks(sizes, x_axis), format=",d", domain=False, labelOverlap=False),
    )
    y_scale = alt.Scale(domain=[y_axis.low, y_axis.high], nice=False, zero=False)
    y = alt.Y("y:Q", title=y_title, scale=y_scale, axis=alt.Axis(tickCount=5, domain=False))
    color: Any = alt.Color("color:N", scale=None, legend=None)
    fill: Any = alt.Fill("color:N", scale=None)
    shape: Any = alt.Shape("shape:N", scale=None)
    layers: list[alt.Chart] = []
    if baselines:
        levels = [
            {"y": height, "tip": described(label, f"{label}, not trained")}
            for label, height in baselines
        ]
        layers.append(
            alt.Chart(data(levels))
            .mark_rule(color=NEUTRAL[0], strokeDash=[4, 3], strokeWidth=1.3)
            .encode(y=y, description="tip:N")
        )
    rows = _rows(curves, x_axis)
    base = alt.Chart(data(rows))
    layers += [
        base.mark_line(strokeWidth=2).encode(
            x=x, y=y, color=color, detail="name:N", description="line:N"
        ),
        alt.Chart(data([row for row in rows if row["low"] is not None] or rows[:0]))
        .mark_rule(strokeWidth=2, opacity=0.55)
        .encode(
            x=x,
            y=alt.Y("low:Q", title=y_title, scale=y_scale),
            y2="high:Q",
            color=color,
            description="tip:N",
        ),
        base.mark_point(size=40, opacity=1).encode(
            x=x, y=y, color=color, fill=fill, shape=shape, description="tip:N"
        ),
    ]
    return layered([*layers, *_labels(curves, baselines, x_axis, y_axis, room, x, y)],
                   width=_WIDTH, height=_HEIGHT)  # fmt: skip


def _rows(curves: Sequence[RowsCurve], x_axis: Axis) -> list[dict[str, Any]]:
    """The points as chart data, those of one size a little apart."""
    found = []
    for number, curve in enumerate(curves):
        aside = _APART * (number - (len(curves) - 1) / 2)
        found += [
            {"x": x_axis.invert(x_axis.place(rows) + aside), "y": mean, "low": low, "high": high,
             "name": curve.name, "color": curve.look.color, "shape": curve.look.shape,
             "line": described(curve.name, curve.name), "tip": described(curve.name, tip)}
            for rows, mean, low, high, tip in curve.points
        ]  # fmt: skip
    return found


def _ends(curves: Sequence[RowsCurve]) -> list[tuple[str, float, Look]]:
    return [(curve.name, curve.points[-1][1], curve.look) for curve in curves]


def _labels(
    curves: Sequence[RowsCurve],
    baselines: Sequence[tuple[str, float]],
    x_axis: Axis,
    y_axis: Axis,
    room: float,
    x: alt.X,
    y: alt.Y,
) -> list[alt.Chart]:
    """Names of lines in a column at the right, each near its line's end."""
    ends = [*_ends(curves), *((label, height, BASELINE_LOOK) for label, height in baselines)]
    heights = stack_labels([(shorten(name, _NAME_LIMIT), at) for name, at, _ in ends], y_axis)
    column = x_axis.invert(x_axis.pixels - room + 22)
    texts = [
        {"x": column, "y": at, "text": text, "color": look.color, "shape": look.shape}
        for (text, at), (_, _, look) in zip(heights, ends, strict=True)
    ]
    color: Any = alt.Color("color:N", scale=None, legend=None)
    shape: Any = alt.Shape("shape:N", scale=None)
    fill: Any = alt.Fill("color:N", scale=None)
    labels = alt.Chart(data(texts)).encode(x=x, y=y)
    marked = alt.Chart(data(texts[: len(curves)])).encode(x=x, y=y)
    return [
        marked.mark_point(size=36, opacity=1).encode(color=color, fill=fill, shape=shape),
        labels.mark_text(align="left", dx=7, fontSize=11).encode(text="text:N"),
    ]


def _ticks(sizes: Sequence[int], x_axis: Axis) -> list[int]:
    """Sizes that can be written beside each other, from the largest down."""
    kept: list[int] = []
    for size in reversed(sizes):
        if not kept or x_axis.place(kept[-1]) - x_axis.place(size) >= _TICK_ROOM:
            kept.append(size)
    return kept[::-1]
