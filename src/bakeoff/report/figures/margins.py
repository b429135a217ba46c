"""Every verdict against the margin, so that a reader with another margin reads their own answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from bakeoff.decide.sentences import margin_words
from bakeoff.decide.verdicts import (
    amount_words,
    row_metric_of,
    turned,
    unit_words,
    unlimited_verdict,
)
from bakeoff.formatting import scale_of
from bakeoff.page.charts import TOTAL_WIDTH, Spec, data, layered
from bakeoff.page.figure import Figure
from bakeoff.page.labels import shorten, text_width
from bakeoff.page.palette import NEUTRAL, PAIRS
from bakeoff.page.render import render
from bakeoff.report.table import baseline_label
from bakeoff.runs.records import Comparable, Comparison, MetricRecord, Results

_BETTER, _EQUIVALENT, _OWN = PAIRS[0][0], PAIRS[2][0], PAIRS[4][0]
_THICK = {"better": 9.0, "equivalent": 5.0, "undecided": 1.5}
_COLORS = {"better": _BETTER, "equivalent": _EQUIVALENT, "undecided": NEUTRAL[0]}
_ROW_HEIGHT, _MANY, _LOW_ROW = 22, 20, 15
_NAME_LIMIT = 30
_WIDEST = 10.0
"""The axis ends at most at so many of the study's margins: what lies beyond is far from equal."""
_LEAST = 3.0


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """What is said of one pair over a range of margins, in the metric's unit.

    Attributes:
        label: the pair, the one with the better mean first. low, high: the range.
        verdict: of the first. tip: in words.
    """

    label: str
    low: float
    high: float
    verdict: Comparable
    tip: str


def margin_figures(results: Results) -> Iterator[Figure]:
    """A figure for the deciding metric, and one for what single rows are scored by."""
    if results.decision is None:
        return
    for metric in dict.fromkeys((results.primary, row_metric_of(results))):
        margin = results.decision.margins.get(metric.name)
        pairs = [c for c in results.comparisons if c.metric == metric.name and c.set == "test"]
        if margin is None or not any(c.equivalent_from is not None for c in pairs):
            continue
        end = axis_end(pairs, margin.value)
        rows = stretches(results, pairs, metric, end)
        title = f"test {metric.title}" if metric.primary else metric.title
        yield render(
            _chart(rows, metric, margin.value, end),
            name=f"margins_{metric.name}",
            group="margins",
            title=f"Every verdict in {title} by the margin",
            caption="Thick: the first is shown better than the second. Thin: undecided. Green: "
            "shown equivalent, from that margin on. Dashed: the study's own margin, "
            f"{margin_words(metric, margin)}; only at that one, fixed beforehand, does the level "
            "hold.",
            alt=_counted(pairs, metric, margin.value),
        )


def axis_end(pairs: Sequence[Comparison], margin: float) -> float:
    """Where the axis of margins ends, so that most pairs' changes are on it."""
    known = [c.equivalent_from for c in pairs if c.equivalent_from is not None]
    if margin <= 0.0:
        return 1.1 * max(known)
    inside = [value for value in known if value <= _WIDEST * margin / 1.1]
    return max(_LEAST * margin, 1.1 * max(inside, default=0.0))


def stretches(
    results: Results, pairs: Sequence[Comparison], metric: MetricRecord, end: float
) -> list[Stretch]:
    """One or two for each pair, those that become equivalent at the least margin first.

    Args:
        pairs: of one metric on one set. metric: theirs. end: of the axis.
    """
    labels = {name: baseline_label(name, record) for name, record in results.baselines.items()}
    found = []
    for pair in sorted(pairs, key=lambda c: (_from(c), c.a, c.b)):
        is_first = (pair.difference >= 0.0) == metric.higher_is_better
        best = pair if is_first else turned(pair)
        first, second = (labels.get(name, name) for name in (best.a, best.b))
        label = f"{first} – {second}"
        verdict = unlimited_verdict(best, higher_is_better=metric.higher_is_better)
        said = {"better": f"{first} is better than {second}"}.get(
            verdict, f"{first} and {second} are undecided"
        )
        if pair.why is not None:
            tip = f"{said} at any margin, as {pair.why}"
        else:
            least = amount_words(metric.unit, _from(pair))
            tip = f"{said} at margins below {least}, equivalent from there on"
        change = min(_from(pair), end)
        found.append(Stretch(label=label, low=0.0, high=change, verdict=verdict, tip=tip))
        if change < end:
            found.append(Stretch(label=label, low=change, high=end, verdict="equivalent", tip=tip))
    return found


def _counted(pairs: Sequence[Comparison], metric: MetricRecord, margin: float) -> str:
    """How many pairs read what at the study's margin, for someone who does not see the figure."""
    verdicts = [pair.verdict for pair in pairs]
    apart = verdicts.count("better") + verdicts.count("worse")
    return (
        f"Of {len(pairs)} pairs, at the study's margin of {amount_words(metric.unit, margin)}: "
        f"{apart} better or worse, {verdicts.count('equivalent')} equivalent, "
        f"{verdicts.count('undecided')} undecided."
    )


def _from(pair: Comparison) -> float:
    return float("inf") if pair.equivalent_from is None else pair.equivalent_from


def _chart(
    rows: Sequence[Stretch],
    metric: MetricRecord,
    margin: float,
    end: float,
) -> Spec:
    names = list(dict.fromkeys(row.label for row in rows))
    longest = max(text_width(shorten(name, _NAME_LIMIT)) for name in names)
    room = min(max(longest, 40.0), 178.0)
    width = TOTAL_WIDTH - room - 20
    height = (_ROW_HEIGHT if len(names) <= _MANY else _LOW_ROW) * len(names)
    factor = scale_of(metric.unit).factor
    unit = unit_words(metric.unit)
    title = f"margin, {unit}" if unit else "margin"
    scale = alt.Scale(domain=[0.0, factor * end], nice=False)
    x = alt.X("low:Q", title=title, scale=scale, axis=alt.Axis(tickCount=5, domain=False))
    y = alt.Y(
        "label:N",
        title=None,
        sort=names,
        axis=alt.Axis(
            labelExpr=f"truncate(datum.label, {_NAME_LIMIT})",
            ticks=False,
            domain=False,
            labelPadding=6,
            labelLimit=room,
            minExtent=room + 6,
            maxExtent=room + 6,
        ),
    )
    layers = []
    for verdict, thick in _THICK.items():
        shown = [_row(row, factor) for row in rows if row.verdict == verdict and row.low < row.high]
        if shown:
            layers.append(
                alt.Chart(data(shown))
                .mark_rule(strokeWidth=thick, color=_COLORS[verdict])
                .encode(x=x, x2="high:Q", y=y, description="tip:N")
            )
    own = [{"low": factor * margin, "tip": f"the study's margin: {factor * margin:.3g} {unit}"}]
    layers.append(
        alt.Chart(data(own))
        .mark_rule(color=_OWN, strokeDash=[4, 3], strokeWidth=1.5)
        .encode(x=x, description="tip:N")
    )
    return layered(layers, width=width, height=height)


def _row(row: Stretch, factor: float) -> dict[str, Any]:
    return {
        "label": row.label,
        "low": factor * row.low,
        "high": factor * row.high,
        "tip": row.tip,
    }
