"""How each method's learning rate was found, in the report's words."""

from __future__ import annotations

from dataclasses import dataclass

from bakeoff.formatting import MISSING, shown_rate, shown_whole
from bakeoff.page import words
from bakeoff.runs.records import MethodSearchRecord, Results
from bakeoff.types import RunState

SEARCH_HEADS = (
    "Method",
    "Rates tried",
    "Lowest",
    "Highest",
    "Grid grew by",
    "Chosen",
    "Ended early",
)
_EARLY = (RunState.PRUNED, RunState.STOPPED, RunState.DIVERGED, RunState.FAILED)


@dataclass(frozen=True, kw_only=True)
class Searched:
    """One method's search.

    Attributes:
        cells: in the order of ``SEARCH_HEADS``.
        warning: that the best rate is at the grid's edge or that rates failed, or None.
    """

    cells: tuple[str, ...]
    warning: str | None


def searched_methods(results: Results) -> list[Searched]:
    """A row for each method that was searched, in the study's order."""
    return [
        _searched(name, method.search)
        for name, method in results.methods.items()
        if method.search is not None and method.search.curve
    ]


def _searched(name: str, search: MethodSearchRecord) -> Searched:
    curve = search.curve
    rates = [point.learning_rate for point in curve]
    chosen = next((point for point in curve if point.candidate == search.chosen), None)
    shown = MISSING
    if chosen is not None:
        options = [f"{key} {words.plain(value)}" for key, value in chosen.options.items()]
        shown = ", ".join([*options, shown_rate(chosen.learning_rate)])
    cells = (
        name,
        str(len(curve)),
        shown_rate(min(rates)),
        shown_rate(max(rates)),
        str(search.grown),
        shown,
        str(sum(point.state in _EARLY for point in curve)),
    )
    failed = sum(point.state is RunState.FAILED for point in curve)
    warning = None
    if search.best_at_edge and chosen is not None and len(set(rates)) > 1:
        warning = (
            f"{name}'s best learning rate, {shown_rate(chosen.learning_rate)}, is at the edge of "
            "what was tried; a better one may be beyond it."
        )
    elif failed:
        warning = (
            f"{failed} of {name}'s {len(curve)} candidates failed in its search and took no part "
            "in the choice (see the notes)."
        )
    return Searched(cells=cells, warning=warning)


def search_cost(results: Results) -> str | None:
    """A sentence on what the search trained, or None where nothing was searched."""
    cost = results.search
    if cost is None or not cost.tokens_full_grid:
        return None
    pruned = (
        f"Weak rates were pruned after epoch {', '.join(map(str, cost.rungs))} by validation NLL, "
        "by the same rule for all methods. "
        if cost.rungs
        else ""
    )
    share = 100 * cost.tokens_trained / cost.tokens_full_grid
    return (
        "Each method was searched alone, on validation data, around its own published default. "
        f"{pruned}All of it trained {shown_whole(cost.tokens_trained)} tokens, {share:.0f} % of "
        "what every rate with every seed would have."
    )
