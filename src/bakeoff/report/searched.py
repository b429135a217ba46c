"""How each method's learning rate was found, in the report's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bakeoff.decide.facts import dig, mapping, number
from bakeoff.page import words

SEARCH_HEADS = (
    "Method",
    "Rates tried",
    "Lowest",
    "Highest",
    "Grid grew by",
    "Chosen",
    "Ended early",
)


@dataclass(frozen=True, kw_only=True)
class Searched:
    """One method's search.

    Attributes:
        cells: in the order of ``SEARCH_HEADS``.
        warning: that the best rate lies at the grid's edge or that rates failed, or None.
    """

    cells: tuple[str, ...]
    warning: str | None


def searched_methods(results: Mapping[str, Any]) -> list[Searched]:
    """A row for each method that was searched, in the study's order."""
    rows = []
    for name in mapping(results.get("methods")):
        search = mapping(dig(results, "methods", name, "search"))
        curve = [mapping(point) for point in search.get("curve") or ()]
        rates = [r for point in curve if (r := number(point.get("learning_rate"))) is not None]
        if not rates:
            continue
        chosen = next((p for p in curve if p.get("candidate") == search.get("chosen")), {})
        told = [f"{k} {words.plain(v)}" for k, v in mapping(chosen.get("options")).items()]
        shown = ", ".join([*told, words.rate(chosen.get("learning_rate"))]) if chosen else "–"
        early = sum(p.get("state") in ("PRUNED", "STOPPED", "DIVERGED", "FAILED") for p in curve)
        cells = (
            name,
            str(len(curve)),
            words.rate(min(rates)),
            words.rate(max(rates)),
            str(search.get("grown") or 0),
            shown,
            str(early),
        )
        warning = None
        if search.get("best_at_edge") and len(set(rates)) > 1:
            warning = (
                f"{name}'s best learning rate, {words.rate(chosen.get('learning_rate'))}, lies at "
                "the edge of what was tried; a better one may lie beyond."
            )
        failed = sum(p.get("state") == "FAILED" for p in curve)
        if failed and warning is None:
            warning = (
                f"{failed} of {name}'s {len(curve)} candidates failed in its search and took no "
                "part in the choice (see the notes)."
            )
        rows.append(Searched(cells=cells, warning=warning))
    return rows


def search_cost(results: Mapping[str, Any]) -> str | None:
    """A sentence on what the search trained, or None where nothing was searched."""
    cost = mapping(results.get("search"))
    trained, full = number(cost.get("tokens_trained")), number(cost.get("tokens_full_grid"))
    if trained is None or not full:
        return None
    rungs = [words.plain(rung) for rung in cost.get("rungs") or ()]
    pruned = (
        f"Weak rates were pruned after epoch {', '.join(rungs)} by validation NLL, by the same "
        "rule for all methods. "
        if rungs
        else ""
    )
    return (
        "Each method was searched alone, on validation data, around its own published default. "
        f"{pruned}All of it trained {words.count(trained)} tokens, {100 * trained / full:.0f}% of "
        "what every rate with every seed would have."
    )
