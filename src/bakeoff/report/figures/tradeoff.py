"""Charts that set quality against a price: Pareto fronts, and loss against learning rate."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import altair as alt

from bakeoff.page.charts import (
    TOTAL_WIDTH,
    Point,
    Spec,
    data,
    decade_axis,
    described,
    label_layers,
    layered,
    padded,
)
from bakeoff.page.labels import Axis, place_labels, shorten, stack_labels, text_width
from bakeoff.page.palette import NEUTRAL, Look

_WIDTH, _HEIGHT = TOTAL_WIDTH - 48, 230
_NAME_LIMIT = 20


@dataclass(frozen=True, kw_only=True)
class Priced:
    """One method's price and quality (``point.value``)."""

    price: float
    point: Point


def front(items: Sequence[Priced], *, higher_is_better: bool = False) -> list[Priced]:
    """Those that no other beats on price without losing quality, from cheap to dear."""
    sign = -1.0 if higher_is_better else 1.0
    kept: list[Priced] = []
    for item in sorted(items, key=lambda i: (i.price, sign * i.point.value)):
        if not kept or sign * item.point.value < sign * kept[-1].point.value:
            kept.append(item)
    return kept


def pareto(
    items: Sequence[Priced],
    x_title: str,
    y_title: str,
    zero_shot: float | None,
    *,
    higher_is_better: bool = False,
) -> Spec:
    """Points with their names, the front as steps, the untuned base as a rule where it fits."""
    ends = [v for i in items for v in (i.point.value, i.point.low, i.point.high) if v is not None]
    low, high = min(ends), max(ends)
    near = zero_shot is not None and fits(zero_shot, low, high)
    if near and zero_shot is not None:
        high = max(high, zero_shot)
    prices = [i.price for i in items]
    log = min(prices) > 0 and max(prices) / min(prices) > 20
    x_axis = padded(min(prices), max(prices), _WIDTH, left=18, right=60, log=log)
    y_axis = _flipped(padded(low, high, _HEIGHT, left=14, right=14))
    ticks = decade_axis(min(prices), max(prices)) if log else None
    x = _x("price", x_title, x_axis, ticks)
    y = _y(y_title, y_axis)
    rows = [{**i.point.row(), "price": i.price} for i in items]
    steps = [
        {"price": i.price, "value": i.point.value}
        for i in front(items, higher_is_better=higher_is_better)
    ]
    steps.append({"price": x_axis.high, "value": steps[-1]["value"]})
    layers = [
        alt.Chart(data(steps))
        .mark_line(interpolate="step-after", color=NEUTRAL[0], strokeWidth=1.2, opacity=0.8)
        .encode(x=x, y=y)
    ]
    if near:
        layers.append(
            alt.Chart(data([{"value": zero_shot, "tip": f"zero-shot: {zero_shot:.3f}"}]))
            .mark_rule(color=NEUTRAL[0], strokeDash=[4, 4])
            .encode(y=y, description="tip:N")
        )
    base = alt.Chart(data(rows))
    layers.append(
        base.mark_rule(strokeWidth=2, opacity=0.45).encode(
            x=x,
            y=alt.Y("low:Q", title=y_title),
            y2="high:Q",
            color=_raw("color"),
            description="tip:N",
        )
    )
    layers.append(
        base.mark_point(size=90, opacity=1, strokeWidth=1.5).encode(
            x=x,
            y=y,
            color=_raw("color"),
            fill=alt.Fill("fill:N", scale=None),
            shape=alt.Shape("shape:N", scale=None),
            description="tip:N",
        )
    )
    lines = []
    for (a, b), (c, d) in itertools.pairwise((s["price"], s["value"]) for s in steps):
        lines += [(a, b, c, b), (c, b, c, d)]
    named = [(i.point.label, i.price, i.point.value) for i in items]
    placed = place_labels(named, x_axis, y_axis, lines)
    layers += label_layers(placed, x_title, y_title)
    return layered(layers, width=_WIDTH, height=_HEIGHT)


@dataclass(frozen=True, kw_only=True)
class RateCurve:
    """One method's validation NLL over its learning rates."""

    name: str
    look: Look
    means: list[tuple[float, float]]
    """(learning rate, mean over seeds), by rising rate."""
    trials: list[tuple[float, float, str]]
    """(learning rate, NLL, what is shown on hover), one per candidate."""


def rates(curves: Sequence[RateCurve], ceiling: float) -> Spec:
    """Loss against learning rate, a line per method; ``ceiling`` clips runs that went wild."""
    values = [v for c in curves for _, v, _ in c.trials]
    xs = [r for c in curves for r, _, _ in c.trials]
    room = min(max(text_width(shorten(c.name, _NAME_LIMIT)) for c in curves), 130.0) + 34
    x_axis = padded(min(xs), max(xs), _WIDTH, left=10, right=room, log=True)
    high = min(max(values), max(ceiling, min(values)))
    y_axis = _flipped(padded(min(values), high, _HEIGHT, left=14, right=14))
    known = sorted(set(xs))
    ticks = alt.Axis(values=known[:: -(-len(known) // 4)], format="~e", domain=False)
    x = _x("rate", "learning rate (log)", x_axis, ticks)
    y = _y("best validation NLL", y_axis)
    lines = [
        {
            "rate": r,
            "value": v,
            "color": c.look.color,
            "name": c.name,
            "tip": described(c.name, c.name),
        }
        for c in curves
        for r, v in c.means
    ]
    spots = [
        {
            "rate": r,
            "value": v,
            "tip": described(c.name, tip),
            "color": c.look.color,
            "shape": c.look.shape,
        }
        for c in curves
        for r, v, tip in c.trials
    ]
    color = _raw("color")
    layers = [
        alt.Chart(data(lines))
        .mark_line(strokeWidth=2, clip=True)
        .encode(x=x, y=y, color=color, detail="name:N", description="tip:N"),
        alt.Chart(data(spots))
        .mark_point(size=36, opacity=1, clip=True)
        .encode(
            x=x,
            y=y,
            color=color,
            fill=alt.Fill("color:N", scale=None),
            shape=alt.Shape("shape:N", scale=None),
            description="tip:N",
        ),
    ]
    best = [
        {"rate": r, "value": v, "color": c.look.color, "tip": described(c.name, f"{c.name}: best")}
        for c in curves
        for r, v in [min(c.means, key=lambda mean: mean[1])]
        if len(c.means) > 1
    ]
    if best:
        layers.append(
            alt.Chart(data(best))
            .mark_point(size=170, shape="circle", filled=False, strokeWidth=1.5, clip=True)
            .encode(x=x, y=y, color=color, description="tip:N")
        )
    names = stack_labels([(shorten(c.name, _NAME_LIMIT), c.means[-1][1]) for c in curves], y_axis)
    column = x_axis.pixels - room
    rows = [
        {
            "rate": x_axis.invert(column + 22),
            "value": at,
            "text": name,
            "color": c.look.color,
            "shape": c.look.shape,
        }
        for c, (name, at) in zip(curves, names, strict=True)
    ]
    base = alt.Chart(data(rows)).encode(x=x, y=y)
    layers += [
        base.mark_point(size=36, opacity=1).encode(
            color=color,
            fill=alt.Fill("color:N", scale=None),
            shape=alt.Shape("shape:N", scale=None),
        ),
        base.mark_text(align="left", dx=7, fontSize=11).encode(text="text:N"),
    ]
    return layered(layers, width=_WIDTH, height=_HEIGHT)


def fits(zero_shot: float, low: float, high: float) -> bool:
    """Whether showing the base leaves the methods at least a quarter of the height."""
    return max(zero_shot, high) - min(zero_shot, low) <= 4 * (high - low)


def _flipped(axis: Axis) -> Axis:
    return Axis(low=axis.low, high=axis.high, pixels=axis.pixels, log=axis.log, flip=True)


def _x(field: str, title: str, axis: Axis, ticks: alt.Axis | None = None) -> alt.X:
    ticks = ticks or alt.Axis(tickCount=5, domain=False)
    return alt.X(f"{field}:Q", title=title, scale=_scale(axis), axis=ticks)


def _y(title: str, axis: Axis) -> alt.Y:
    ticks = alt.Axis(tickCount=5, domain=False)
    return alt.Y("value:Q", title=title, scale=_scale(axis), axis=ticks)


def _scale(axis: Axis) -> alt.Scale:
    kind: Literal["log", "linear"] = "log" if axis.log else "linear"
    return alt.Scale(type=kind, domain=[axis.low, axis.high], nice=False, zero=False)


def _raw(field: str) -> alt.Color:
    return alt.Color(f"{field}:N", scale=None, legend=None)
