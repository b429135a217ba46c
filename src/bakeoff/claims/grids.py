"""Which learning rates the entrants of a claim were tried at."""

from __future__ import annotations

from collections.abc import Iterable

from bakeoff.formatting import join, shown_rate
from bakeoff.runs.records import MethodRecord, Results


def unlike_grids(results: Results, methods: Iterable[str]) -> list[str]:
    """That entrants of one kind did not all try the same rates; empty where they did.

    All of a kind begin with the same grid. Each grows where its own best lies at an edge, so that
    one may reach a rate that another was never tried at.

    Args:
        results: of a study. methods: of it, those of one claim.

    Returns:
        Sentences without their full stop, so that the place may follow.
    """
    grids: dict[tuple[str, tuple[float, ...]], dict[tuple[float, float], list[str]]] = {}
    for name in dict.fromkeys(methods):
        record = results.methods.get(name)
        if record is not None and (rates := _tried(record)):
            assert record.search is not None
            own = grids.setdefault((record.kind, record.search.grid), {})
            own.setdefault((min(rates), max(rates)), []).append(name)
    return [
        "Each grid of learning rates grew where its own best lay at an edge, so that not all were "
        "tried at the same rates: "
        + "; ".join(
            f"{join(names)} at {shown_rate(low)} to {shown_rate(high)}"
            for (low, high), names in sorted(ranges.items())
        )
        for ranges in grids.values()
        if len(ranges) > 1
    ]


def _tried(record: MethodRecord) -> list[float]:
    search = record.search
    return [] if search is None else [*search.grid, *(one.learning_rate for one in search.curve)]
