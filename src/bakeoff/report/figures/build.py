"""Which figures the report has, each made only where its data are there."""

from __future__ import annotations

from collections.abc import Iterator

from bakeoff.page.figure import Figure
from bakeoff.page.palette import looks
from bakeoff.report.figures.candidates import learning_figures, rate_figures
from bakeoff.report.figures.costs import cost_figures, time_figures, tradeoff_figures
from bakeoff.report.figures.effort import effort_figures
from bakeoff.report.figures.learning_curve import rows_figures
from bakeoff.report.figures.margins import margin_figures
from bakeoff.report.figures.quality import pair_figures, quality_figures
from bakeoff.report.table import build_rows
from bakeoff.runs.records import Results


def build_figures(results: Results, pick: str | None = None) -> list[Figure]:
    """Every figure that these results can fill, in the order of the page.

    Args:
        results: The run's results.
        pick: The recommended method, which the others are set against; without one, the one with
            the best test result.
    """
    return list(each_figure(results, pick))


def each_figure(results: Results, pick: str | None = None) -> Iterator[Figure]:
    """The same figures, one after the other; see ``build_figures``."""
    rows = build_rows(results)
    look = looks(row.name for row in rows if not row.is_baseline)
    yield from tradeoff_figures(results, rows, look)
    yield from quality_figures(results, rows, look)
    yield from pair_figures(results, look, pick)
    yield from margin_figures(results)
    yield from cost_figures(rows, look)
    yield from learning_figures(results, look)
    yield from rate_figures(results, look)
    yield from effort_figures(results, look)
    yield from time_figures(results)
    yield from rows_figures(results, look)
