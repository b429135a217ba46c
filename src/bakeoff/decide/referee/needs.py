"""How many seeds or rows would decide what is undecided."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from bakeoff.decide.referee.design import PairSpread, Sizes
from bakeoff.decide.referee.distributions import t_quantile
from bakeoff.decide.referee.influence import Floats
from bakeoff.decide.referee.pairs import MIN_SEEDS
from bakeoff.runs.decisions import Needs

# More seeds than the last look has are worth naming only where more rows do not help.
_LAST_LOOK = 10
_MAX_SEEDS = 1000
_MAX_ROWS = 10**8
_GRID = 64
# The normal quantile of a chance of 80 %.
_CHANCE_80 = 0.8416


def needed(
    spread: PairSpread, *, seeds: int, rows: int, margin: float, alpha: float
) -> Needs | None:
    """The least sizes at which a pair is decided, by its standard error.

    A method that is as good as the other is then shown no worse by the margin with about 80 %
    probability, and one worse by the margin is shown worse. Rows go before seeds: where rows
    alone leave too much, no number of seeds helps.

    Args:
        spread: of the pair. seeds: at hand, of each. rows: at hand.
        margin: what does not matter. alpha: of one one-sided test.

    Returns:
        None where no size within reach decides, as with a margin of zero.
    """
    seeds = max(seeds, MIN_SEEDS)
    if margin <= 0.0:
        return None
    if _decides(spread, seeds, rows, margin, alpha):
        return Needs(seeds=None, rows=None)
    if not _seeds_matter(spread):
        return _with_rows(spread, seeds, seeds, rows, margin, alpha)
    if _decides(spread, _MAX_SEEDS, rows, margin, alpha):
        enough = _least_seeds(spread, seeds, rows, margin, alpha)
        if enough <= _LAST_LOOK:
            return Needs(seeds=enough, rows=None)
    found = _with_rows(spread, seeds, seeds, rows, margin, alpha)
    if found is not None:
        return found
    # Half of the variance allowed to the seeds, half to the rows.
    half = margin / math.sqrt(2.0)
    if not _decides(spread, _MAX_SEEDS, _MAX_ROWS, half, alpha):
        return None
    more = _least_seeds(spread, seeds, _MAX_ROWS, half, alpha)
    return _with_rows(spread, more, seeds, rows, margin, alpha)


def most(needs: Iterable[Needs | None]) -> Needs | None:
    """What decides all of them; None where one cannot be decided or nothing is missing."""
    found = list(needs)
    if not found or any(one is None for one in found):
        return None
    seeds = [one.seeds for one in found if one is not None and one.seeds is not None]
    rows = [one.rows for one in found if one is not None and one.rows is not None]
    if not seeds and not rows:
        return None
    return Needs(seeds=max(seeds, default=None), rows=max(rows, default=None))


def _fits(
    spread: PairSpread, seeds: Sizes, rows: Sizes, margin: float, alpha: float
) -> NDArray[np.bool_]:
    """Whether such sizes decide, elementwise."""
    critical = t_quantile(spread.freedom(seeds, rows), 1.0 - alpha)
    error = np.sqrt(spread.variance(seeds, rows))
    return np.asarray(error <= margin / (critical + _CHANCE_80))


def _decides(spread: PairSpread, seeds: int, rows: int, margin: float, alpha: float) -> bool:
    return bool(_fits(spread, seeds, rows, margin, alpha))


def _seeds_matter(spread: PairSpread) -> bool:
    return any(v > 0.0 for v in (*spread.seeds, *spread.residuals))


def _least_seeds(spread: PairSpread, seeds: int, rows: int, margin: float, alpha: float) -> int:
    """The least number of seeds that decides, of which ``_MAX_SEEDS`` is known to."""
    return _least(lambda tried: _fits(spread, tried, rows, margin, alpha), seeds, _MAX_SEEDS)


def _with_rows(
    spread: PairSpread, seeds: int, present: int, rows: int, margin: float, alpha: float
) -> Needs | None:
    """The least number of rows that decides with so many seeds."""
    if not _decides(spread, seeds, _MAX_ROWS, margin, alpha):
        return None
    least = _least(lambda tried: _fits(spread, seeds, tried, margin, alpha), rows, _MAX_ROWS)
    return Needs(seeds=seeds if seeds > present else None, rows=least if least > rows else None)


def _least(fits: Callable[[Floats], NDArray[np.bool_]], low: int, high: int) -> int:
    """The least whole number from ``low`` to ``high`` that fits, as all above it and ``high`` do.

    By grids instead of halves: a quantile of many numbers takes little longer than of one.
    """
    while True:
        tried = np.unique(np.round(np.geomspace(low, high, _GRID)))
        first = int(np.argmax(fits(tried)))
        if first == 0:
            return int(tried[0])
        low, high = int(tried[first - 1]), int(tried[first])
        if high - low == 1:
            return high
