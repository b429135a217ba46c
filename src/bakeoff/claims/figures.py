"""Figures of claims: each effect with its interval against its margin, and curves."""

from __future__ import annotations

from typing import Final

import numpy as np

from bakeoff.claims.contract import Claim, Curve
from bakeoff.claims.estimates import Estimate
from bakeoff.claims.rules import Finding, Verdict
from bakeoff.page import charts
from bakeoff.page.charts import Point
from bakeoff.page.figure import Figure
from bakeoff.page.palette import BASELINE_LOOK, PAIRS, Look
from bakeoff.page.render import render

_LOOKS: Final = {
    Verdict.SUPPORTED: Look(color=PAIRS[2][0], shape="circle"),
    Verdict.CONTRADICTED: Look(color=PAIRS[4][0], shape="square"),
    Verdict.UNDECIDED: BASELINE_LOOK,
    Verdict.UNTESTABLE: BASELINE_LOOK,
}
_CURVE: Final = Look(color=PAIRS[0][0], shape="circle")


def effect_figure(claim: Claim, finding: Finding, name: str) -> Figure | None:
    """Each contrast's effect with its interval, and the margin beside it; None without any."""
    if not finding.estimates:
        return None
    points: list[Point] = []
    for one in finding.estimates:
        points += [_margin_point(one), _effect_point(one, finding)]
    return render(
        charts.differences(points, claim.unit),
        name=name,
        group="effect",
        title=f"{claim.name}: {finding.verdict}",
        caption=f"Effects{_with_intervals(finding)}; grey: what the claim asks for. The line is "
        "zero.",
        alt=". ".join(point.tip for point in points) + ".",
    )


def _with_intervals(finding: Finding) -> str:
    """What a caption says of intervals; of one repeat there is none."""
    if all(len(one.per_repeat) < 2 for one in finding.estimates):
        return ""
    return f" with {100 * finding.level:.4g} % intervals"


def _effect_point(one: Estimate, finding: Finding) -> Point:
    text = tip = f"{one.effect:.3g}"
    low = high = None
    if len(one.per_repeat) > 1:  # of one there is no error, and no interval
        low, high = one.interval(1.0 - finding.level)
        tip = f"{text} ({low:.3g} to {high:.3g})"
    return Point(
        label=one.contrast.name,
        value=one.effect,
        low=low,
        high=high,
        text=text,
        tip=f"{one.contrast.words}: {tip}",
        look=_LOOKS[finding.verdict],
        is_hollow=finding.verdict is Verdict.UNDECIDED,
        series=one.contrast.name,
    )


def _margin_point(one: Estimate) -> Point:
    """The margin as a point, or as a bar from minus to plus."""
    edge, rule = one.contrast.threshold, one.contrast.rule
    words = f"within ±{edge:g}" if rule == "within" else f"{rule} {edge:g}"
    return Point(
        label=f"{one.contrast.name}: margin",
        value=0.0 if rule == "within" else edge,
        low=-edge if rule == "within" else None,
        high=edge if rule == "within" else None,
        text=words,
        tip=f"{one.contrast.name}: the claim asks for {words}",
        is_hollow=True,
        series=one.contrast.name,
    )


def curve_figure(claim: Claim, curve: Curve, name: str) -> Figure:
    """A row for each point of the curve, in its order, with twice the standard error."""
    points = []
    for label, mean, values in curve.points:
        half = 2.0 * float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
        points.append(
            Point(
                label=label,
                value=mean,
                low=mean - half,
                high=mean + half,
                text=f"{mean:.4g}",
                tip=f"{curve.x_title} {label}: {mean:.4g}",
                look=_CURVE,
            )
        )
    return render(
        charts.dots(points, curve.y_title),
        name=name,
        group="curve",
        title=f"{curve.y_title}, by {curve.x_title}",
        caption=f"Means over {claim.repeats}, with twice their standard error.",
        alt=". ".join(point.tip for point in points) + ".",
    )
