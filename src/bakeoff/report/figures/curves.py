"""Learning curves: a panel per method, a line per candidate."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from bakeoff.page.charts import Spec, data, described, layered
from bakeoff.page.labels import shorten
from bakeoff.page.palette import NEUTRAL, Look

_WIDTH, _HEIGHT = 180, 130
_FAINT = 0.3


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One candidate's losses."""

    title: str
    epochs: list[tuple[float, float | None, float | None]]
    """(epoch, train NLL, validation NLL)."""
    best_epoch: float | None
    is_chosen: bool
    """Whether it runs at its method's chosen learning rate; others are drawn faint."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One method's candidates."""

    name: str
    look: Look
    curves: list[Curve]


def learning(panels: Sequence[Panel], zero_shot: float | None) -> tuple[Spec, list[Spec]]:
    """Train (dashed) and validation (solid) NLL by epoch, on scales that all panels share.

    Returns:
        The whole figure, and its panels.
    """
    values = [v for p in panels for c in p.curves for _, *two in c.epochs for v in two if v]
    epochs = [e for p in panels for c in p.curves for e, *_ in c.epochs]
    y_domain = _y_domain(values, zero_shot)
    x_domain = [min(epochs), max(max(epochs), min(epochs) + 1)]
    charts = [_panel(panel, _WIDTH, x_domain, y_domain, zero_shot) for panel in panels]
    columns = min(len(panels), 2 if len(panels) <= 4 else 5)
    return {"concat": charts, "columns": columns, "spacing": 14}, charts


def _panel(
    panel: Panel,
    width: float,
    x_domain: list[float],
    y_domain: list[float],
    zero_shot: float | None,
) -> Spec:
    ticks = sorted({x_domain[0], x_domain[1], (x_domain[0] + x_domain[1]) // 2})
    x = alt.X(
        "epoch:Q",
        title="epoch",
        scale=alt.Scale(domain=x_domain, nice=False, padding=6),
        axis=alt.Axis(values=ticks, format="d", grid=False),
    )
    y = alt.Y(
        "nll:Q",
        title=None,
        scale=alt.Scale(domain=y_domain, nice=False, zero=False),
        axis=alt.Axis(tickCount=4, domain=False, minExtent=30, maxExtent=30),
    )
    layers: list[alt.Chart] = []
    if zero_shot is not None and zero_shot <= y_domain[1]:
        layers.append(
            alt.Chart(data([{"nll": zero_shot, "tip": f"zero-shot: {zero_shot:.3f}"}]))
            .mark_rule(color=NEUTRAL[0], strokeDash=[2, 3], strokeWidth=1.5)
            .encode(y=y, description="tip:N")
        )
    # One layer for all candidates of a method: a layer each takes seconds to validate.
    train, held = _train_rows(panel), _held_rows(panel)
    stroke: dict[str, Any] = {"color": panel.look.color, "clip": True}
    if train:
        layers.append(
            alt.Chart(data(train))
            .mark_line(strokeDash=[4, 3], strokeWidth=1.3, **stroke)
            .encode(x=x, y=y, detail="curve:N", opacity=_own_opacity(), description="line:N")
        )
    if held:
        base = alt.Chart(data(held))
        layers.append(
            base.mark_line(strokeWidth=2, **stroke).encode(
                x=x, y=y, detail="curve:N", opacity=_own_opacity(), description="line:N"
            )
        )
        layers.append(
            base.mark_point(size=34, strokeWidth=1.6, **stroke).encode(
                x=x,
                y=y,
                fill=alt.Fill("fill:N", scale=None),
                opacity=_own_opacity(),
                description="tip:N",
            )
        )
    title = shorten(panel.name, max(12, int(width / 6.6)))
    return layered(layers, width=width, height=_HEIGHT, title=title)


def _own_opacity() -> alt.Opacity:
    return alt.Opacity("opacity:Q", scale=None, legend=None)


def _train_rows(panel: Panel) -> list[dict[str, Any]]:
    return [
        {
            "curve": i,
            "epoch": epoch,
            "nll": train,
            "opacity": 0.75 if curve.is_chosen else _FAINT,
            "line": described(panel.name, f"{curve.title}: on training data"),
        }
        for i, curve in enumerate(panel.curves)
        for epoch, train, _ in curve.epochs
        if train is not None
    ]


def _held_rows(panel: Panel) -> list[dict[str, Any]]:
    return [
        {
            "curve": i,
            "epoch": epoch,
            "nll": held,
            "opacity": 1.0 if curve.is_chosen else _FAINT,
            "line": described(panel.name, f"{curve.title}: on validation data"),
            "tip": described(
                panel.name,
                f"{curve.title}, epoch {epoch:.0f}: validation {held:.3f}"
                + (f", train {train:.3f}" if train is not None else ""),
            ),
            "fill": panel.look.color if epoch == curve.best_epoch else "white",
        }
        for i, curve in enumerate(panel.curves)
        for epoch, train, held in curve.epochs
        if held is not None
    ]


def _y_domain(values: list[float], zero_shot: float | None) -> list[float]:
    """Room for all curves and the base, but not for a candidate that went wild."""
    known = [*values, *([] if zero_shot is None else [zero_shot])]
    low = min(known)
    middle = statistics.median(known)
    cap = max(zero_shot or 0.0, middle + 3 * (middle - low), low + 0.05)
    high = min(max(known), cap)
    margin = 0.06 * (high - low) or 0.05
    return [low - margin, high + margin]
