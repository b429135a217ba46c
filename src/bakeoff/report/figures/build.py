"""Which figures the report has, each made only where its data are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bakeoff.decide.facts import (
    difference,
    dig,
    finished_methods,
    join,
    mapping,
    nll_of,
    number,
    winner,
)
from bakeoff.page import charts, words
from bakeoff.page.charts import Point
from bakeoff.page.palette import BASELINE_LOOK, NEUTRAL, Look, looks
from bakeoff.page.render import Figure, render
from bakeoff.quantities import signed
from bakeoff.report.figures import tradeoff
from bakeoff.report.figures.candidates import learning_figures, rate_figures
from bakeoff.report.table import ROUGE_LABELS, Row, build_rows

_MIB, _GIB = 1024.0**2, 1024.0**3

GROUPS = {
    "tradeoff": "Is the quality worth its price?",
    "quality": "How good each method is, and which differences are real",
    "cost": "What each method costs",
    "course": "How the study went",
}


def build_figures(results: Mapping[str, Any], pick: str | None = None) -> list[Figure]:
    """Every figure that these results can fill, in the order of the page.

    Args:
        results: The run's results.
        pick: The recommended method, which the others are set against; without one, the one with
            the lowest test NLL.
    """
    rows = build_rows(results)
    look = looks(row.name for row in rows if not row.is_baseline)
    found: list[Figure] = []
    found += _tradeoffs(results, rows, look)
    found += _quality(rows, look)
    found += _pairs(results, look, pick)
    found += _costs(rows, look)
    found += learning_figures(results, look)
    found += rate_figures(results, look)
    found += _time(results)
    return found


def _tradeoffs(
    results: Mapping[str, Any], rows: list[Row], look: dict[str, Look]
) -> Iterator[Figure]:
    zero = number(dig(results, "baselines", "zero_shot", "test_nll"))
    peak = max((row.value("peak_memory_bytes") or 0.0 for row in rows), default=0.0)
    unit, size = ("GiB", _GIB) if peak >= _GIB else ("MiB", _MIB)
    prices: tuple[tuple[str, str, str, float, Callable[[object], str]], ...] = (
        ("memory", "peak_memory_bytes", f"peak memory ({unit})", size, words.size),
        ("time", "epoch_mean", "seconds an epoch (mean)", 1.0, words.seconds),
        ("parameters", "trainable_parameters", "trainable parameters", 1.0, words.count),
    )
    for name, key, title, scale, write in prices:
        items = []
        for row in rows:
            price, loss = row.value(key), row.value("test_nll")
            if row.is_baseline or not row.ended_well or price is None or loss is None:
                continue
            cell = row.cells["test_nll"]
            tip = f"{row.label}: test NLL {words.nll(loss)}, {write(price)}"
            point = Point(
                label=row.label, value=loss, low=cell.low, high=cell.high,
                text="", tip=tip, look=look[row.name], series=row.label,
            )  # fmt: skip
            items.append(tradeoff.Priced(price=price / scale, point=point))
        if len(items) < 2:
            continue
        best = [item.point.label for item in tradeoff.front(items)]
        yield render(
            tradeoff.pareto(items, title, "test NLL (lower is better)", zero),
            name=f"pareto_{name}",
            group="tradeoff",
            title=f"Test NLL against {title.split(' (')[0]}",
            caption="Lower left is better. The step line joins the methods that no other beats "
            "on both." + (" Dashed: the untuned base, where it fits." if zero else ""),
            alt=f"Test NLL against {title}. On the Pareto front: {join(best)}.",
        )


def _quality(rows: list[Row], look: dict[str, Look]) -> Iterator[Figure]:
    points = _points(rows, "test_nll", words.nll, look)
    if points:
        yield render(
            charts.dots(points, "nats a token (lower is better)"),
            name="test_loss",
            group="quality",
            title="Test loss",
            caption="Mean negative log-likelihood a supervised token, with its interval.",
            alt=_told("Test NLL", points),
        )
    for metric in ("rouge1", "rouge2", "rougeL"):
        points = _points(rows, metric, words.rouge, look, factor=100)
        if points:
            yield render(
                charts.dots(points, f"{ROUGE_LABELS[metric]} × 100 (higher is better)"),
                name=metric,
                group="quality",
                title=ROUGE_LABELS[metric],
                caption="Of generated text, with its interval.",
                alt=_told(ROUGE_LABELS[metric], points),
            )


def _costs(rows: list[Row], look: dict[str, Look]) -> Iterator[Figure]:
    methods = [row for row in rows if not row.is_baseline]
    if points := _points(methods, "trainable_parameters", words.count, look):
        spread = max(p.value for p in points) / max(1.0, min(p.value for p in points))
        log = spread > 20 and min(p.value for p in points) > 0
        chart = charts.dots(points, "parameters (log)", log=True) if log else charts.bars(points)
        yield render(
            chart,
            name="trainable_parameters",
            group="cost",
            title="Trainable parameters",
            caption="What training changes and an adapter must hold.",
            alt=_told("Trainable parameters", points),
        )
    if points := _points(methods, "epoch_max", words.seconds, look):
        yield render(
            charts.bars(points),
            name="longest_epoch",
            group="cost",
            title="Longest epoch",
            caption="Training and validation, each method alone.",
            alt=_told("Longest epoch", points),
        )
    if points := _points(methods, "token_latency_seconds", words.seconds, look):
        yield render(
            charts.bars(points),
            name="latency",
            group="cost",
            title="Latency a token",
            caption="To write one more token of one summary, each method alone.",
            alt=_told("Latency a token", points),
        )
    if points := _points(methods, "peak_memory_bytes", words.size, look, factor=1 / _GIB):
        yield render(
            charts.bars(points),
            name="peak_memory",
            group="cost",
            title="Peak memory",
            caption="While training, each method alone.",
            alt=_told("Peak memory", points),
        )


def _pairs(results: Mapping[str, Any], look: dict[str, Look], pick: str | None) -> Iterator[Figure]:
    """Every method against the one that the reader asks about, on the same rows."""
    names = [*look, *(["zero_shot"] if dig(results, "baselines", "zero_shot") else [])]
    finished = finished_methods(results)
    if not finished:
        return
    pick = pick or min(finished, key=lambda n: nll_of(finished[n]))
    for metric, factor, better in (("test_nll", 1.0, "right"), ("rouge1", 100.0, "left")):
        title = "test NLL" if metric == "test_nll" else "ROUGE-1"
        points = []
        for name in names:
            gap = difference(results, name, pick, metric)
            if name == pick or gap is None:
                continue
            ahead = winner(results, name, pick, metric)
            label = "zero-shot" if name == "zero_shot" else name
            verdict = {None: "a tie", pick: f"behind {pick}"}.get(ahead, f"ahead of {pick}")
            tip = f"{label} minus {pick}: {signed(factor * gap.value)}"
            if gap.low is not None and gap.high is not None:
                tip += f" ({signed(factor * gap.low)} to {signed(factor * gap.high)})"
            tip += f", p {words.p_value(gap.p_value)}: {verdict}"
            points.append(
                Point(
                    label=label,
                    value=gap.value * factor,
                    low=None if gap.low is None else gap.low * factor,
                    high=None if gap.high is None else gap.high * factor,
                    text="tie" if ahead is None else "behind" if ahead == pick else "ahead",
                    tip=tip,
                    look=look.get(name, BASELINE_LOOK),
                    hollow=ahead is None,
                    series=label,
                )
            )
        if not points:
            continue
        yield render(
            charts.differences(points, f"{title}{' × 100' if factor != 1 else ''} minus {pick}'s"),
            name=f"differences_{metric}",
            group="quality",
            title=f"Paired differences from {pick} in {title}",
            caption=f"Each method minus {pick} on the same test rows, with the corrected "
            f"interval: {better} of the line is worse than {pick}; hollow: a tie.",
            alt=". ".join(p.tip for p in points) + ".",
        )


def _time(results: Mapping[str, Any]) -> Iterator[Figure]:
    spent = mapping(dig(results, "environment", "wall_seconds"))
    points = [
        Point(
            label=words.PHASES.get(phase, phase),
            value=value,
            text=words.seconds(value),
            tip=f"{words.PHASES.get(phase, phase)}: {words.seconds(value)}",
            look=Look(color=NEUTRAL[0], shape="circle"),
        )
        for phase, found in spent.items()
        if phase != "total" and (value := number(found)) is not None
    ]
    if points:
        total = spent.get("total")
        yield render(
            charts.bars(points),
            name="wall_clock",
            group="course",
            title="Wall clock",
            caption=f"Of the whole study, {words.seconds(total)}." if total else "",
            alt=_told("Wall clock", points),
        )


def _points(
    rows: list[Row],
    key: str,
    write: Callable[[object], str],
    look: dict[str, Look],
    factor: float = 1.0,
) -> list[Point]:
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
                hollow=row.is_baseline,
                series=row.label,
            )
        )
    return points


def _told(what: str, points: list[Point]) -> str:
    return f"{what}: " + "; ".join(p.tip.replace(": ", " ", 1) for p in points) + "."
