"""What the terminal says at the end of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bakeoff.decide.limits import Limits
from bakeoff.decide.recommendation import shown_recommendation
from bakeoff.formatting import (
    MISSING,
    TIMES_100,
    join,
    shown_bytes,
    shown_count,
    shown_share,
)
from bakeoff.report.also import AlsoTable, also_tables
from bakeoff.report.answer import lowered, verdict_words
from bakeoff.report.factors import FactorsView, factors_view
from bakeoff.report.learning_curve import CurveTable, curve_table
from bakeoff.report.load import read_priced
from bakeoff.report.table import OUTPUTS, Column, build_rows
from bakeoff.runs.records import Estimate, MetricRecord, Results
from bakeoff.tables import NARROW, fits, print_table
from bakeoff.types import RunState

_MOST_METRICS = 4
"""As many as 80 columns hold."""
_WIDE = 120
"""Columns of a terminal, from which on long names have room beside the figures."""


def print_summary(
    folder: Path, console: Console, limits: Limits | None = None, *, is_ending: bool = True
) -> None:
    """Prints the table of a run and what it recommends, within limits where there are any.

    Args:
        folder: the run's. console: where to. limits: of the recommended method's costs.
        is_ending: whether nothing follows that says how an unfinished study goes on.

    Raises:
        StoreError: as ``read_results`` does.
    """
    results = read_priced(folder)
    # What decided comes first, then as many metrics as there is room for; a narrow terminal has a
    # line for each of them.
    metrics = sorted(results.task.metrics, key=lambda metric: not metric.primary)
    choices = _choices(results, metrics)
    drawn = ((shown, c, _table(results, shown, console.width, counted=c)) for shown, c in choices)
    found = next((one for one in drawn if fits(one[2], console)), None)
    shown, counted = found[:2] if found else choices[0]
    table = found[2] if found else _table(results, shown, console.width, counted=counted)
    console.print()
    print_table(table, console)
    left_out = [m.title for m in metrics if m not in shown]
    left_out += [] if counted else [f"{c.key} outputs" for c in _faulty(results)]
    if left_out:
        console.print(
            f"Only in the report: {join([escape(title) for title in left_out])}.",
            style="dim",
            highlight=False,
        )
    console.print()
    for also in also_tables(results):
        if console.width < NARROW:
            console.print(escape(also.name), style="bold", highlight=False)
        print_table(_also(also), console)
        console.print()
    curve = curve_table(results)
    if curve is not None:
        print_curve(curve, console)
    factors = factors_view(results)
    if factors is not None:
        print_factors(factors, console)
    given = shown_recommendation(results, limits)
    why = escape(lowered(given.why))
    console.print(f"[bold]{escape(verdict_words(given))}[/]: {why}", highlight=False)
    for name, method in results.methods.items():
        if method.state in (RunState.FAILED, RunState.DIVERGED):
            reason = escape(method.reason or "no reason is known")
            state = method.state.lower()
            console.print(f"[yellow]{escape(name)}[/] {state}: {reason}", highlight=False)
    if is_ending and results.status == "partial":
        console.print("The study is not complete; the same command tries the rest again.")


def _faulty(results: Results) -> list[Column]:
    """Shares of outputs that say little of some method: empty, unfinished or invalid ones."""
    rows = build_rows(results)
    return [column for column in OUTPUTS if any(row.value(column.key) for row in rows)]


def _choices(
    results: Results, metrics: Sequence[MetricRecord]
) -> list[tuple[Sequence[MetricRecord], bool]]:
    """Metrics to show, and whether shares of faulty outputs are shown, what is best first.

    Two metrics are worth more than the shares, which are worth more than further metrics.
    """
    most = metrics[:_MOST_METRICS]
    counts = list(range(len(most), 0, -1))
    at_least_two, one = (counts[:-1], counts[-1:]) if len(counts) > 1 else (counts, [])
    ways = (True, False) if _faulty(results) else (False,)
    return [
        (most[:count], counted)
        for some in (at_least_two, one)
        for counted in ways
        for count in some
    ]


def _in_lines(name: str, width: int) -> str:
    """A name, as markup, with its base and its prompt below it where columns are narrow."""
    return escape(name if width >= _WIDE else name.replace("@", "\n@"))


def _head(metric: MetricRecord) -> str:
    """A metric's title, as markup: a user's metric may have brackets in it."""
    return escape(f"test {metric.title}" if metric.primary else metric.title.replace("ROUGE", "R"))


def _table(
    results: Results, metrics: Sequence[MetricRecord], width: int, *, counted: bool = False
) -> Table:
    """A line for each baseline and method.

    Args:
        results: the run's. metrics: that are shown. width: of the terminal.
        counted: adds the shares of outputs that are empty, unfinished or invalid, each where there
            are any.
    """
    table = Table(box=None, pad_edge=False)
    table.add_column("method", overflow="fold")
    rows = {row.name: row for row in build_rows(results)}
    shares = _faulty(results) if counted else []
    for title in (
        *map(_head, metrics),
        *(c.key for c in shares),
        "params",
        "epoch",
        "memory",
        "adapter",
    ):
        table.add_column(title, justify="right", no_wrap=True)

    def figures(name: str, scores: Mapping[str, Estimate]) -> list[str]:
        found = [_figure(metric, scores) for metric in metrics]
        return [*found, *(shown_share(rows[name].value(column.key)) for column in shares)]

    for name in (name for name, row in rows.items() if row.is_baseline):
        scores = figures(name, results.baselines[name].test)
        table.add_row(_in_lines(rows[name].label, width), *scores, *[""] * 4, style="dim")
    for name, method in results.methods.items():
        cost = method.cost
        epoch = cost.epoch_seconds
        table.add_row(
            _in_lines(name, width),
            *figures(name, method.test),
            shown_count(cost.trainable_parameters),
            MISSING if epoch is None else f"{epoch.mean:.1f} s",
            shown_bytes(cost.peak_memory_bytes),
            shown_bytes(cost.adapter_bytes),
        )
    return table


def _also(found: AlsoTable) -> Table:
    """A further test set by its first metric, with the change against zero-shot."""
    table = Table(box=None, pad_edge=False)
    table.add_column(escape(found.name), overflow="fold")
    for title in (escape(found.metrics[0]), "change", ""):
        table.add_column(title, justify="right", no_wrap=True)
    for label, cells in found.lines:
        table.add_row(escape(label), cells[0].value, cells[0].change, cells[0].verdict or "")
    return table


def print_curve(curve: CurveTable, console: Console) -> None:
    """Prints the largest sizes that there is room for, and what the last rows brought."""
    for first in range(len(curve.sizes)):
        table = Table(box=None, pad_edge=False)
        table.add_column(escape(curve.metric), overflow="fold")
        for size in curve.sizes[first:]:
            table.add_column(size, justify="right", no_wrap=True)
        table.add_column("last change", justify="right", no_wrap=True)
        table.add_column("")
        for line in curve.lines:
            values = [cell.value for cell in line.cells[first:]]
            table.add_row(escape(line.name), *values, line.change, line.verdict)
        if fits(table, console):
            break
    print_table(table, console)
    console.print("By training rows; intervals are in the report.", style="dim")
    console.print()


def print_factors(found: FactorsView, console: Console) -> None:
    """Prints which factor mattered how much."""
    if found.parts:
        table = Table(box=None, pad_edge=False)
        table.add_column("what mattered", overflow="fold")
        for head in ("share", "interval", "spread"):
            table.add_column(head, justify="right", no_wrap=True)
        for line in found.parts:
            table.add_row(*map(escape, line))
        print_table(table, console)
    console.print(escape(found.sentence), highlight=False)
    console.print()


def _figure(metric: MetricRecord, found: Mapping[str, Estimate]) -> str:
    """A metric with one digit more than the page shows of it, as there are no intervals here."""
    if metric.name not in found:
        return MISSING
    mean = found[metric.name].mean
    return f"{100 * mean:.1f}" if metric.unit == TIMES_100 else f"{mean:.4f}"
