"""Settings drawn at random, as many for every method.

Source: Bergstra and Bengio 2012, "Random search for hyper-parameter optimization".
"""

from __future__ import annotations

import math
import random as draws
from collections.abc import Sequence
from typing import Any

from bakeoff.runs.records import CandidateRecord, CandidateSpec
from bakeoff.search.options import Range
from bakeoff.search.space import MethodSpace, Values
from bakeoff.search.strategies.grid import rates_of, rounded

_PATIENCE = 1000
"""Draws in a row that give nothing new, after which there is taken to be nothing new."""


def suggest(
    space: MethodSpace, records: Sequence[CandidateRecord], round: int
) -> list[CandidateSpec]:
    """See ``contract.Suggest``: all in the first round, as no draw depends on another's outcome.

    Fewer than the trials where the space holds no more. More trials add to those of fewer.
    """
    if round > 0:
        return []
    found: dict[str, CandidateSpec] = {}
    number = idle = 0
    while len(found) < space.trials and idle < _PATIENCE:
        spec = _drawn(space, number)
        idle = idle + 1 if spec.id in found else 0
        found.setdefault(spec.id, spec)
        number += 1
    return list(found.values())


def _drawn(space: MethodSpace, number: int) -> CandidateSpec:
    # A seed that is a text makes the same draws in every process.
    generator = draws.Random(f"{space.seed}/{space.method}/{number}")
    rate = rounded(float(_value(_rates(space), generator)))
    return space.spec({key: _value(v, generator) for key, v in space.domain.items()}, rate)


def _rates(space: MethodSpace) -> Values:
    """The study's own, or the span of the common grid; each of its rates stands for its step."""
    if space.rates is not None:
        return space.rates
    grid = rates_of(space, space.search.learning_rates)
    half = space.search.grid_factor**0.5
    return Range(low=grid[0] / half, high=grid[-1] * half, log=True)


def _value(values: Values, generator: draws.Random) -> Any:
    if not isinstance(values, Range):
        return generator.choice(values)
    low, high, part = values.low, values.high, generator.random()
    is_whole = isinstance(low, int) and isinstance(high, int)
    if is_whole:  # each whole number stands for half a step on either side
        low, high = low - 0.5, high + 0.5
    drawn = low * (high / low) ** part if values.log else low + (high - low) * part
    if not is_whole:
        return rounded(drawn)
    return min(max(math.floor(drawn + 0.5), int(values.low)), int(values.high))
