"""The kinds of chart that the report draws, each from plain rows of data.

Row labels are this wide on every chart of a kind, widths are fixed, and every scale's domain is
set here: a chart looks the same for one method and for ten, for short names and for long.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from bakeoff.page.labels import SERIES_END, Axis, Label, shorten, text_width
from bakeoff.page.palette import BASELINE_LOOK, NEUTRAL, Look

Spec = dict[str, Any]
"""A Vega-Lite specification or a part of one."""

FONT = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica Neue, Arial, sans-serif"
TOTAL_WIDTH = 356
ROW_HEIGHT = 24
_NAME_LIMIT = 30
_MARGIN = 10


@dataclass(frozen=True, kw_only=True)
class Point:
    """One figure of one method, with what is read beside it and on hover."""

    label: str
    value: float
    text: str
    tip: str
    look: Look = BASELINE_LOOK
    low: float | None = None
    high: float | None = None
    is_hollow: bool = False
    series: str = ""
    """Whose figure it is; what is pointed at in one figure is lit up in all."""

    def row(self) -> dict[str, Any]:
        """The point as chart data."""
        return {
            "label": self.label,
            "value": self.value,
            "low": self.value if self.low is None else self.low,
            "high": self.value if self.high is None else self.high,
            "text": self.text,
            "tip": described(self.series, self.tip),
            "color": self.look.color,
            "fill": "transparent" if self.is_hollow else self.look.color,
            "shape": self.look.shape,
        }


def described(series: str, tip: str) -> str:
    """What a mark says on hover, with whose it is in front, for ``render`` to take apart."""
    return f"{series}{SERIES_END}{tip}" if series else tip


def data(rows: Sequence[dict[str, Any]]) -> alt.InlineData:
    """Rows as inline data.

    As one string: Altair copies and validates every value of a list again at each layer.
    """
    return alt.InlineData(values=json.dumps(list(rows)), format=alt.JsonDataFormat(type="json"))


def layered(
    layers: Sequence[alt.Chart], *, width: float, height: float, title: str | None = None
) -> Spec:
    """Charts on top of each other.

    Joined as plain mappings: Altair's own layers copy and validate every part again at each level,
    which takes seconds for a page of figures.
    """
    with alt.data_transformers.enable(consolidate_datasets=False):
        whole = [layer.to_dict() for layer in layers]
    parts = [{k: v for k, v in p.items() if k not in ("$schema", "config")} for p in whole]
    for part in parts:
        # Vega writes a text of its own on every mark that has none of ours.
        part["mark"]["aria"] = "description" in part["encoding"]
    spec = {"layer": parts, "width": width, "height": height}
    return {**spec, "title": title} if title else spec


def themed(spec: Spec) -> Spec:
    """A whole specification in the report's look."""
    text = {"labelFontSize": 11, "labelColor": "#333333", "titleFontSize": 11,
            "titleFontWeight": "normal", "titleColor": "#555555"}  # fmt: skip
    lines = {"gridColor": "#e5e7eb", "domainColor": "#9ca3af", "tickColor": "#9ca3af"}
    config = {
        "font": FONT,
        "background": "white",
        "padding": 6,
        "view": {"stroke": None},
        "axis": {**text, **lines, "labelSeparation": 8},
        "title": {"fontSize": 11.5, "fontWeight": "bold", "anchor": "start", "color": "#222222"},
    }
    return {"$schema": alt.SCHEMA_URL, "config": config, **spec}


def bars(points: Sequence[Point]) -> Spec:
    """Horizontal bars from zero, each with its figure at the end, so that no axis is needed."""
    width = _plot_width(points)
    room = max(text_width(p.text) for p in points) + _MARGIN
    top = max(p.value for p in points) or 1.0
    scale = alt.Scale(domain=[0.0, top * width / (width - room)], nice=False)
    x = alt.X("value:Q", scale=scale, axis=None)
    base = alt.Chart(data([p.row() for p in points]))
    y = _names(points)
    marks = base.mark_bar(height=13, cornerRadiusEnd=2).encode(
        x=x, y=y, color=_own("color"), description="tip:N"
    )
    texts = base.mark_text(align="left", dx=5, fontSize=11).encode(x=x, y=y, text="text:N")
    return layered([marks, texts], width=width, height=ROW_HEIGHT * len(points))


def dots(points: Sequence[Point], title: str, *, log: bool = False) -> Spec:
    """A point per row with its interval, its figure to the right; the axis need not start at 0."""
    width = _plot_width(points)
    room = max(text_width(p.text) for p in points) + _MARGIN + 4
    low, high = extent(points)
    axis = padded(low, high, width, left=_MARGIN, right=room, log=log)
    kind: dict[str, Any] = {"type": "log"} if log else {}
    x = alt.X(
        "value:Q",
        title=title,
        scale=alt.Scale(domain=[axis.low, axis.high], nice=False, zero=False, **kind),
        axis=decade_axis(low, high) if log else alt.Axis(tickCount=4, domain=False),
    )
    y = _names(points)
    base = alt.Chart(data([p.row() for p in points]))
    whisker = base.mark_rule(strokeWidth=2, opacity=0.55).encode(
        x=alt.X("low:Q", title=title), x2="high:Q", y=y, color=_own("color"), description="tip:N"
    )
    mark = base.mark_point(size=64, opacity=1, strokeWidth=1.5).encode(
        x=x, y=y, color=_own("color"), fill=_own("fill"), shape=_own("shape"), description="tip:N"
    )
    texts = base.mark_text(align="left", dx=8, fontSize=11).encode(
        x=alt.X("high:Q", title=title), y=y, text="text:N"
    )
    return layered([whisker, mark, texts], width=width, height=ROW_HEIGHT * len(points))


def differences(points: Sequence[Point], title: str) -> Spec:
    """A forest plot: a row for each point with its interval, and a rule at no difference."""
    width = _plot_width(points)
    room = max(text_width(p.text) for p in points) + _MARGIN + 4
    low, high = extent(points)
    axis = padded(min(low, 0.0), max(high, 0.0), width, left=_MARGIN, right=room)
    scale = alt.Scale(domain=[axis.low, axis.high], nice=False, zero=False)
    ticks = alt.Axis(tickCount=4, domain=False)
    y = _names(points)
    base = alt.Chart(data([p.row() for p in points]))
    zero = (
        alt.Chart(data([{"value": 0}]))
        .mark_rule(color=NEUTRAL[0], strokeWidth=1.2)
        .encode(x=alt.X("value:Q", scale=scale))
    )
    whisker = base.mark_rule(strokeWidth=2, opacity=0.55).encode(
        x=alt.X("low:Q", title=title, scale=scale, axis=ticks),
        x2="high:Q",
        y=y,
        color=_own("color"),
        description="tip:N",
    )
    mark = base.mark_point(size=60, opacity=1, strokeWidth=1.5).encode(
        x=alt.X("value:Q", title=title, scale=scale, axis=ticks),
        y=y,
        color=_own("color"),
        fill=_own("fill"),
        shape=_own("shape"),
        description="tip:N",
    )
    texts = base.mark_text(align="left", dx=7, fontSize=11).encode(
        x=alt.X("high:Q", title=title, scale=scale), y=y, text="text:N"
    )
    return layered([zero, whisker, mark, texts], width=width, height=ROW_HEIGHT * len(points))


def label_layers(labels: Sequence[Label], x: str, y: str) -> list[alt.Chart]:
    """Placed labels as text layers; alignment belongs to the mark, so one layer each."""
    layers = []
    for align in ("left", "center", "right"):
        rows = [{"x": t.x, "y": t.y, "text": t.text} for t in labels if t.align == align]
        if rows:
            layers.append(
                alt.Chart(data(rows))
                .mark_text(align=align, baseline="middle", fontSize=11)
                .encode(x=alt.X("x:Q", title=x), y=alt.Y("y:Q", title=y), text="text:N")
            )
    return layers


def decade_axis(low: float, high: float) -> alt.Axis:
    """Ticks at powers of ten that the data reach, at most five or so."""
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    step = max(1, math.ceil((last - first) / 4))
    values = [10.0**power for power in range(first, last + 1, step)]
    return alt.Axis(values=values, format="~s", domain=False)


def extent(points: Sequence[Point]) -> tuple[float, float]:
    """The range that the points and their intervals take."""
    ends = [v for p in points for v in (p.value, p.low, p.high) if v is not None]
    return min(ends), max(ends)


def padded(
    low: float, high: float, pixels: float, *, left: float, right: float, log: bool = False
) -> Axis:
    """A scale over ``low`` to ``high`` with room in pixels on either side."""
    if log:
        low, high = math.log(low), math.log(high)
    span = (high - low) or (1.0 if log else abs(high) * 0.2 or 1.0)
    if high == low:
        low, high = low - span / 2, high + span / 2
    unit = span / max(pixels - left - right, pixels * 0.2)
    low, high = low - left * unit, high + right * unit
    if log:
        low, high = math.exp(low), math.exp(high)
    return Axis(low=low, high=high, pixels=pixels, log=log)


def _plot_width(points: Sequence[Point]) -> float:
    return TOTAL_WIDTH - _label_width(points) - 20


def _label_width(points: Sequence[Point]) -> float:
    longest = max(text_width(shorten(p.label, _NAME_LIMIT)) for p in points)
    return min(max(longest, 40.0), 178.0)


def _names(points: Sequence[Point]) -> alt.Y:
    width = _label_width(points)
    return alt.Y(
        "label:N",
        title=None,
        sort=[p.label for p in points],
        axis=alt.Axis(
            # Only what is written is cut: two names alike in their first letters are two rows.
            labelExpr=f"truncate(datum.label, {_NAME_LIMIT})",
            ticks=False,
            domain=False,
            labelPadding=6,
            labelLimit=width,
            minExtent=width + 6,
            maxExtent=width + 6,
        ),
    )


def _own(field: str) -> Any:
    """A channel whose value is in the data itself, without a scale or a legend."""
    channel = {"color": alt.Color, "fill": alt.Fill, "shape": alt.Shape}[field]
    return channel(f"{field}:N", scale=None, legend=None)
