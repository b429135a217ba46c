"""Learning rates drawn at random over the span of the grid, as many as the grid has.

Source: Bergstra and Bengio 2012, "Random search for hyper-parameter optimization".
"""

from __future__ import annotations

import random as draws
from collections.abc import Sequence

from bakeoff.runs.records import CandidateRecord, CandidateSpec
from bakeoff.search.space import MethodSpace
from bakeoff.search.strategies.grid import rates_of, rounded


def suggest(
    space: MethodSpace, records: Sequence[CandidateRecord], round: int
) -> list[CandidateSpec]:
    """See ``contract.Suggest``: all in the first round, as no draw depends on another's outcome."""
    if round > 0:
        return []
    return [space.spec(label, rate) for label in space.variants for rate in _drawn(space, label)]


def _drawn(space: MethodSpace, label: str) -> list[float]:
    """Distinct rates of one variant, log-uniform; of a list of the study's own, all of it."""
    if space.rates is not None:
        return list(space.rates)
    grid = rates_of(space)
    half = space.search.grid_factor**0.5  # a grid's rate stands for half a step on either side
    # A seed that is a text makes the same draws in every process.
    generator = draws.Random(f"{space.seed}/{space.method}/{label}")
    found: dict[str, float] = {}
    while len(found) < len(grid):
        low, high = grid[0] / half, grid[-1] * half
        rate = rounded(low * (high / low) ** generator.random())
        found.setdefault(f"{rate:g}", rate)
    return list(found.values())
