"""A grid of learning rates around the published one; it grows while its best lies at its edge.

Options that are searched besides the rate may shift which rate is best, so each combination of
them has rates of its own, and all of them share the method's trials.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from bakeoff.errors import ConfigError
from bakeoff.runs.records import CandidateRecord, CandidateSpec
from bakeoff.search.options import Range
from bakeoff.search.space import MethodSpace
from bakeoff.search.standing import edge_of, lowest_rung

_DIGITS = 4
"""Significant digits of a drawn or computed value: ids name it, and it is to be read."""


def suggest(
    space: MethodSpace, records: Sequence[CandidateRecord], round: int
) -> list[CandidateSpec]:
    """See ``contract.Suggest``.

    A grid grows before any candidate goes on from the first rung, as a rate beyond the edge may be
    better than all that are there, and once all have ended.
    """
    first = list(_first(space))
    if round == 0:
        return first
    rung = lowest_rung(records)
    if rung is not None and rung not in space.rungs[:1]:
        return []  # also where one paused at a rung that the study has no longer
    found = edge_of(records)
    if found is None or len(records) - len(first) >= space.search.growth:
        return []
    best, upward = found
    tried = [r.rate for r in records if r.variant == best.variant]
    if len(tried) < 2:
        return []  # a rate by itself has no edge
    centre = space.centre if space.rates is None else None
    factor = space.search.grid_factor
    return [space.spec(best.options, grown(tried, factor, upward=upward, centre=centre))]


def _first(space: MethodSpace) -> Iterator[CandidateSpec]:
    """The candidates that a search begins with.

    Raises:
        ConfigError: where there are more combinations of options than trials.
    """
    assert not any(isinstance(v, Range) for v in (space.rates, *space.domain.values()))
    combinations: list[dict[str, Any]] = [
        dict(zip(space.domain, values, strict=True))
        for values in itertools.product(*space.domain.values())  # type: ignore[arg-type]
    ]
    number = len(combinations) * len(space.rates or (0.0,))  # type: ignore[arg-type]
    if number > space.trials and (space.rates is None or space.search.trials is not None):
        raise ConfigError(
            f"search.trials: {space.trials} settings of {space.method} are to be tried, but its "
            f"searched options have {number} combinations; raise search.trials, search fewer "
            "values, or set search.strategy to random"
        )
    share, more = divmod(space.trials, len(combinations))
    for place, options in enumerate(combinations):
        for rate in rates_of(space, share + (place < more)):
            yield space.spec(options, rate)


def rates_of(space: MethodSpace, count: int) -> tuple[float, ...]:
    """The rates of one combination of options: the study's list, else ``count`` by the rule.

    More than ``learning_rates`` lie closer together instead of further out.
    """
    if space.rates is not None:
        assert not isinstance(space.rates, Range)
        return space.rates
    usual, factor = space.search.learning_rates, space.search.grid_factor
    if count > usual:
        factor **= max(1, usual - 1) / (count - 1)
    return grid(space.centre, count, factor)


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
        # Rounding moves a rate by 0.05 of the closest steps; further off it is of another grid.
        if abs(steps - nearest) < 0.1:
            edge = centre * factor**nearest
    return rounded(edge * factor if upward else edge / factor)


def rounded(value: float) -> float:
    """A value as an id can name it."""
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else value
