"""Which figures the report has, each made only where its data are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bakeoff.report import charts, tradeoff, words
from bakeoff.report.candidate_figures import learning_figures, rate_figures
from bakeoff.report.charts import Point
from bakeoff.report.load import dig, mapping
from bakeoff.report.palette import BASELINE_LOOK, NEUTRAL, Look, looks
from bakeoff.report.render import Figure, render
from bakeoff.report.table import ROUGE_LABELS, Row, build_rows
from bakeoff.study.recommend import comparisons, join, number, recommend

_GIB = 1024.0**3
_MAX_PAIRS = 15

GROUPS = {
    "tradeoff": "Is the quality worth its price?",
    "quality": "How good each method is, and which differences are real",
    "cost": "What each method costs",
    "course": "How the study went",
}


def build_figures(results: Mapping[str, Any]) -> list[Figure]:
    """Every figure that these results can fill, in the order of the page."""
    rows = build_rows(results)
    look = looks(row.name for row in rows if not row.is_baseline)
    found: list[Figure] = []
    found += _tradeoffs(results, rows, look)
    found += _quality(rows, look)
    found += _pairs(results, look)
    found += _costs(rows, look)
    found += learning_figures(results, look)
    found += rate_figures(results, look)
    found += _time(results)
    return found


def _tradeoffs(
    results: Mapping[str, Any], rows: list[Row], look: dict[str, Look]
) -> Iterator[Figure]:
    zero = number(dig(results, "baselines", "zero_shot", "test_nll"))
    prices: tuple[tuple[str, str, str, float, Callable[[object], str]], ...] = (
        ("memory", "peak_memory_bytes", "peak memory (GiB)", _GIB, words.size),
        ("time", "epoch_mean", "seconds an epoch (mean)", 1.0, words.seconds),
        ("parameters", "trainable_parameters", "trainable parameters", 1.0, words.count),
    )
    for name, key, title, unit, write in prices:
        items = []
        for row in rows:
            price, loss = row.value(key), row.value("test_nll")
            if row.is_baseline or not row.ended_well or price is None or loss is None:
                continue
            cell = row.cells["test_nll"]
            tip = f"{row.label}: test NLL {words.nll(loss)}, {write(price)}"
            point = Point(
                label=row.label, value=loss, low=cell.low, high=cell.high,
                text="", tip=tip, look=look[row.name],
            )  # fmt: skip
            items.append(tradeoff.Priced(price=price / unit, point=point))
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
    if points := _points(methods, "peak_memory_bytes", words.size, look, factor=1 / _GIB):
        yield render(
            charts.bars(points),
            name="peak_memory",
            group="cost",
            title="Peak memory",
            caption="While training, each method alone.",
            alt=_told("Peak memory", points),
        )


def _pairs(results: Mapping[str, Any], look: dict[str, Look]) -> Iterator[Figure]:
    leader = dig(results, "recommendation", "method") or recommend(results)["method"]
    for metric, factor, better in (("test_nll", 1.0, "left"), ("rouge1", 100.0, "right")):
        pairs = [
            c
            for c in comparisons(results)
            if c.get("metric") == metric and number(c.get("difference")) is not None
        ]
        total = len(pairs)
        if total > _MAX_PAIRS and leader:
            pairs = [c for c in pairs if leader in (c.get("a"), c.get("b"))] or pairs
        points = []
        for c in pairs[: 2 * _MAX_PAIRS]:
            ends = [number(c.get(key)) for key in ("difference", "low", "high")]
            value, low, high = (None if e is None else e * factor for e in ends)
            if value is None:
                continue
            ahead = str(c[c["verdict"]]) if c.get("verdict") in ("a", "b") else None
            label = f"{c.get('a')} vs {c.get('b')}"
            verdict = f"{ahead} is better" if ahead else "a tie"
            tip = f"{label}: {value:+.3g}"
            if low is not None and high is not None:
                tip += f" ({low:+.3g} to {high:+.3g})"
            tip += f", p {words.p_value(c.get('p_value'))}: {verdict}"
            look_of = look.get(ahead, BASELINE_LOOK) if ahead else BASELINE_LOOK
            points.append(
                Point(label=label, value=value, low=low, high=high, text=verdict, tip=tip,
                      look=look_of, hollow=ahead is None)
            )  # fmt: skip
        if not points:
            continue
        title = "test NLL" if metric == "test_nll" else "ROUGE-1"
        few = len(points) < total
        rest = f" {len(points)} of {total} pairs; the table below has all." if few else ""
        yield render(
            charts.differences(points, f"difference ({better} of 0: the first is better)"),
            name=f"differences_{metric}",
            group="quality",
            title=f"Paired differences in {title}",
            caption="First minus second on the same test rows, with the corrected interval. "
            f"Filled: the winner's colour; hollow grey: a tie.{rest}",
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
            )
        )
    return points


def _told(what: str, points: list[Point]) -> str:
    return f"{what}: " + "; ".join(p.tip.replace(": ", " ", 1) for p in points) + "."
