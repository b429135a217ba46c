"""Figures of cost: quality against price, what each method needs alone, where the time went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bakeoff.decide.money import prices_of
from bakeoff.decide.prices import PriceOptions
from bakeoff.decide.verdicts import ZERO_SHOT, metric_words
from bakeoff.formatting import MISSING, join, scale_of, shown_bytes, shown_seconds, shown_whole
from bakeoff.page import charts, words
from bakeoff.page.charts import Point
from bakeoff.page.figure import Figure
from bakeoff.page.palette import NEUTRAL, Look
from bakeoff.page.render import render
from bakeoff.report.figures import tradeoff
from bakeoff.report.figures.points import GIB, MIB, described_points, points_of
from bakeoff.report.table import Row, Write, metric_label
from bakeoff.runs.records import Results

_LOG_FROM = 20.0
"""From this ratio of the largest to the smallest on, parameters are drawn on a log scale."""


def tradeoff_figures(
    results: Results, rows: Sequence[Row], look: Mapping[str, Look]
) -> Iterator[Figure]:
    """The primary metric against memory, time and parameters."""
    primary = results.primary
    scale = scale_of(primary.unit)
    zero = results.baselines.get(ZERO_SHOT)
    base = None if zero is None else zero.test.get(primary.name)
    level = None if base is None else base.mean * scale.factor
    better = "higher" if primary.higher_is_better else "lower"
    corner = "Upper" if primary.higher_is_better else "Lower"
    peak = max((row.value("peak_memory_bytes") or 0.0 for row in rows), default=0.0)
    unit, size = ("GiB", GIB) if peak >= GIB else ("MiB", MIB)
    money = prices_of(results)
    prices: tuple[tuple[str, str, str, float, Write], ...] = (
        ("memory", "peak_memory_bytes", f"peak memory ({unit})", size, shown_bytes),
        ("time", "epoch_mean", "seconds per epoch (mean)", 1.0, shown_seconds),
        ("parameters", "trainable_parameters", "trainable parameters", 1.0, shown_whole),
        ("cost", "total_cost", f"{_cost_words(results)} ({money.currency})", 1.0, _money(money)),
    )
    for name, key, title, divisor, write in prices:
        shown = [row for row in rows if row.ended_well and row.value(key) is not None]
        items = _priced(results, shown, look, key, divisor, write)
        if len(items) < 2 or all(row.is_baseline for row in shown):
            continue
        front = tradeoff.front(items, higher_is_better=primary.higher_is_better)
        yield render(
            tradeoff.pareto(
                items,
                title,
                f"{metric_words(results)} ({better} is better)",
                level,
                higher_is_better=primary.higher_is_better,
            ),
            name=f"pareto_{name}",
            group="tradeoff",
            title=f"{metric_label(primary)} against {title.split(' (')[0]}",
            caption=f"{corner} left is better. The step line joins "
            f"{'those' if any(row.is_baseline for row in shown) else 'the methods'} that no other "
            "beats on both." + (" Dashed: the untuned base, where it fits." if base else ""),
            alt=f"{metric_label(primary)} against {title}. On the Pareto front: "
            f"{join([item.point.label for item in front])}.",
        )


def _cost_words(results: Results) -> str:
    """What the cost of a method is made of."""
    parts = ["training", *(["search"] if results.search is not None else [])]
    if prices_of(results).calls_per_month is not None:
        parts.append("a month's answers")
    return f"cost of {join(parts)}"


def _money(prices: PriceOptions) -> Write:
    return lambda amount: MISSING if amount is None else prices.shown(amount)


def _priced(
    results: Results,
    rows: Sequence[Row],
    look: Mapping[str, Look],
    key: str,
    divisor: float,
    write: Write,
) -> list[tradeoff.Priced]:
    primary = results.primary
    scale = scale_of(primary.unit)
    points = {
        point.series: point
        for point in points_of(rows, primary.name, scale.write, look, factor=scale.factor)
    }
    items = []
    for row in rows:
        price, quality = row.value(key), row.value(primary.name)
        if price is None or quality is None:
            continue
        tip = f"{row.label}: {metric_words(results)} {scale.write(quality)}, {write(price)}"
        point = replace(points[row.label], text="", tip=tip)
        items.append(tradeoff.Priced(price=price / divisor, point=point))
    return items


@dataclass(frozen=True, kw_only=True)
class _Bars:
    name: str
    key: str
    title: str
    caption: str
    write: Write
    factor: float = 1.0


_BARS = (
    _Bars(
        name="longest_epoch",
        key="epoch_max",
        title="Longest epoch",
        caption="Training and validation, each method alone.",
        write=shown_seconds,
    ),
    _Bars(
        name="latency",
        key="token_latency_seconds",
        title="Latency per token",
        caption="To write one more token of one answer, each method alone.",
        write=shown_seconds,
    ),
    _Bars(
        name="peak_memory",
        key="peak_memory_bytes",
        title="Peak memory",
        caption="While training, each method alone.",
        write=shown_bytes,
        factor=1 / GIB,
    ),
)


def cost_figures(rows: Sequence[Row], look: Mapping[str, Look]) -> Iterator[Figure]:
    """What each method needs alone."""
    methods = [row for row in rows if not row.is_baseline]
    if points := points_of(methods, "trainable_parameters", shown_whole, look):
        least, most = min(p.value for p in points), max(p.value for p in points)
        log = least > 0 and most / max(1.0, least) > _LOG_FROM
        chart = charts.dots(points, "parameters (log)", log=True) if log else charts.bars(points)
        yield render(
            chart,
            name="trainable_parameters",
            group="cost",
            title="Trainable parameters",
            caption="What training changes and an adapter must hold.",
            alt=described_points("Trainable parameters", points),
        )
    for bars in _BARS:
        if points := points_of(methods, bars.key, bars.write, look, factor=bars.factor):
            yield render(
                charts.bars(points),
                name=bars.name,
                group="cost",
                title=bars.title,
                caption=bars.caption,
                alt=described_points(bars.title, points),
            )


def time_figures(results: Results) -> Iterator[Figure]:
    """Where the study's own time went."""
    spent = results.environment.wall_seconds
    points = [
        Point(
            label=words.PHASES.get(phase, phase),
            value=value,
            text=shown_seconds(value),
            tip=f"{words.PHASES.get(phase, phase)}: {shown_seconds(value)}",
            look=Look(color=NEUTRAL[0], shape="circle"),
        )
        for phase, value in spent.items()
        if phase != "total"
    ]
    if points:
        total = spent.get("total")
        yield render(
            charts.bars(points),
            name="wall_clock",
            group="history",
            title="Wall clock",
            caption=f"Of the whole study, {shown_seconds(total)}." if total else "",
            alt=described_points("Wall clock", points),
        )
