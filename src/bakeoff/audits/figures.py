"""Figures of an audit: the best methods with their intervals, and how repeats changed."""

from __future__ import annotations

from bakeoff.audits import wording
from bakeoff.audits.findings import MethodFinding, RankingFinding, RepeatFinding
from bakeoff.page import charts
from bakeoff.page.charts import Point
from bakeoff.page.figure import Figure
from bakeoff.page.palette import BASELINE_LOOK, PAIRS, Look
from bakeoff.page.render import render

_MOST_WORSE = 6
_OPEN = Look(color=PAIRS[0][0], shape="circle")
_FELL = Look(color=PAIRS[4][0], shape="circle")
_ROSE = Look(color=PAIRS[2][0], shape="circle")


def ranking_figure(found: RankingFinding, name: str) -> Figure | None:
    """The best methods' values with their intervals; None where no interval is known.

    Those far behind are left to the table: beside them no interval could be seen.
    """
    num_open = 1 + len(found.with_top)
    shown = found.methods[: num_open + _MOST_WORSE]
    if any(one.high - one.low == float("inf") for one in shown):
        return None
    points = [_point(found, one) for one in shown]
    more = len(found.methods) - len(shown)
    rest = f" {more} more, all worse, are in the table." if more else ""
    return render(
        charts.dots(points, found.metric + (" × 100" if found.is_share else "")),
        name=name,
        group="ranking",
        title=f"{found.name}: {found.metric}",
        caption=f"Each method's {100 * found.level:.3g} % interval, for it alone. Blue: cannot be "
        f"separated from the top; hollow: shown to be worse.{rest}",
        alt=". ".join(point.tip for point in points) + ".",
    )


def change_figure(found: RepeatFinding, name: str) -> Figure:
    """How each method changed from one group to the other."""
    own = wording.scale(found.is_share)
    points = []
    for one in found.changes:
        change = one.second - one.first
        tip = f"{one.method}: {own.write(one.first)} to {own.write(one.second)}"
        points.append(
            Point(
                label=one.method,
                value=own.factor * change,
                text=own.signed(change),
                tip=tip,
                look=BASELINE_LOOK if not change else _ROSE if change > 0 else _FELL,
                series=one.method,
            )
        )
    title = f"{found.second} minus {found.first}" + (", points" if found.is_share else "")
    return render(
        charts.differences(points, title),
        name=name,
        group="repeat",
        title=f"{found.metric}: {found.second} against {found.first}",
        caption="How each method changed, in the order of the first; right of the line it rose.",
        alt=". ".join(point.tip for point in points) + ".",
    )


def _point(found: RankingFinding, one: MethodFinding) -> Point:
    own = wording.scale(found.is_share)
    value, low, high = (own.write(v) for v in (one.value, one.low, one.high))
    return Point(
        label=one.method,
        value=own.factor * one.value,
        low=own.factor * one.low,
        high=own.factor * one.high,
        text=value,
        tip=f"{one.method}: {value} ({low} to {high}), place {one.first_place} to {one.last_place}",
        look=BASELINE_LOOK if one.standing == "separable" else _OPEN,
        is_hollow=one.standing == "separable",
        series=one.method,
    )
