"""A grid of learning rates around the published one; it grows while its best lies at its edge."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bakeoff.runs.records import CandidateRecord, CandidateSpec
from bakeoff.search.space import MethodSpace
from bakeoff.search.standing import edge_of, lowest_rung

_DIGITS = 4
"""Significant digits of a rate: ids name it, and it is to be read."""


def suggest(
    space: MethodSpace, records: Sequence[CandidateRecord], round: int
) -> list[CandidateSpec]:
    """See ``contract.Suggest``.

    A grid grows before any candidate goes on from the first rung, as a rate beyond the edge may be
    better than all that are there, and once all have ended.
    """
    rates = rates_of(space)
    if round == 0:
        return [space.spec(label, rate) for label in space.variants for rate in rates]
    rung = lowest_rung(records)
    if rung is not None and rung != space.rungs[0]:
        return []
    found = edge_of(records)
    if found is None or len(rates) < 2 or num_grown(space, records) >= space.search.growth:
        return []
    best, upward = found
    tried = [r.learning_rate for r in records if r.variant == best.variant]
    centre = space.centre if space.rates is None else None
    return [
        space.spec(
            best.variant, grown(tried, space.search.grid_factor, upward=upward, centre=centre)
        )
    ]


def rates_of(space: MethodSpace) -> tuple[float, ...]:
    """The rates that a search begins with: the study's list, else the common rule's."""
    if space.rates is not None:
        return space.rates
    return grid(space.centre, space.search.learning_rates, space.search.grid_factor)


def num_grown(space: MethodSpace, records: Sequence[CandidateRecord]) -> int:
    """Rates by which the grid grew."""
    return len({r.learning_rate for r in records} - set(rates_of(space)))


def grid(centre: float, count: int, factor: float) -> tuple[float, ...]:
    """``count`` rates, rising by ``factor``, whose geometric mean is ``centre``."""
    return tuple(rounded(centre * factor ** (i - (count - 1) / 2)) for i in range(count))


def grown(
    rates: Sequence[float], factor: float, *, upward: bool, centre: float | None = None
) -> float:
    """The rate that follows the grid's highest, or precedes its lowest.

    Args:
        rates: the grid. factor: the ratio of neighbours.
        upward: on which side. centre: of the grid's rule, so that rounding does not add up.
    """
    edge = max(rates) if upward else min(rates)
    if centre is not None:
        steps = math.log(edge / centre) / math.log(factor)
        nearest = round(2 * steps) / 2  # an even grid is half a step beside its centre
        if abs(steps - nearest) < 0.01:
            edge = centre * factor**nearest
    return rounded(edge * factor if upward else edge / factor)


def rounded(rate: float) -> float:
    """A rate as an id can name it."""
    return float(f"{rate:.{_DIGITS}g}") if math.isfinite(rate) else rate
