"""What is searched: each method's learning rates, and options that are given as lists.

Every method gets as many rates as every other, on a logarithmic grid centred on its own published
default.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bakeoff.errors import ConfigError
from bakeoff.methods.entries import MethodEntry

_DIGITS = 4
"""Significant digits of a rate on a grid: ids name it, and it is to be read."""


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """An equal search for every method."""

    learning_rates: int = 6
    """Rates of each method's grid, which is centred on the method's published default."""
    seeds: int = 3
    """Seeds of each method's chosen rate; the first is also the search's."""
    pruner: Literal["halving", "none"] = "halving"
    """Whether weak candidates end early, by validation NLL at epoch ends."""
    reduction_factor: int = 3
    """Of so many candidates of a method one goes on at each rung; rungs are at this number's
    powers of epochs."""
    grid_factor: float = 10**0.5
    """Ratio of neighbouring rates; the square root of ten makes two a decade."""
    growth: int = 4
    """Rates by which a method may be searched further while its best is at the edge, over all
    its variants together."""
    storage: str | None = None
    """Where Optuna keeps the search: a database's URL, or null for ``study.db`` in the run's
    folder."""

    def __post_init__(self) -> None:
        for key in ("learning_rates", "seeds"):
            _require(getattr(self, key) >= 1, key, getattr(self, key), "at least 1")
        _require(self.reduction_factor >= 2, "reduction_factor", self.reduction_factor, "2 or more")
        fits = 1.01 <= self.grid_factor <= 1000.0
        _require(fits, "grid_factor", self.grid_factor, "from 1.01 to 1000")
        _require(self.growth >= 0, "growth", self.growth, "0 or more")

    def rungs(self, epochs: int) -> tuple[int, ...]:
        """Epochs after which candidates of one method are compared and the weak are pruned."""
        if self.pruner == "none":
            return ()
        powers = itertools.takewhile(
            lambda rung: rung < epochs, (self.reduction_factor**i for i in itertools.count())
        )
        return tuple(powers)


def grid(centre: float, count: int, factor: float) -> tuple[float, ...]:
    """``count`` rates, rising by ``factor``, whose geometric mean is ``centre``."""
    return tuple(_rounded(centre * factor ** (i - (count - 1) / 2)) for i in range(count))


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
    return _rounded(edge * factor if upward else edge / factor)


def grid_of(entry: MethodEntry, search: SearchOptions) -> tuple[float, ...]:
    """The rates that a method's search begins with: the study's list, else the common rule's."""
    if entry.rates is not None:
        return entry.rates
    centre = entry.spec.default_learning_rate
    return grid(centre, search.learning_rates, search.grid_factor)


def final_seeds(seeds: Sequence[int], count: int) -> tuple[int, ...]:
    """The first ``count`` of the protocol's seeds, continued by the next numbers."""
    following = itertools.count(max(seeds) + 1)
    return (*seeds[:count], *itertools.islice(following, max(0, count - len(seeds))))


def without_password(url: str) -> str:
    """The URL of a database as it may be shown."""
    url = re.sub(r"(://[^/@:]*):.*@", r"\1:***@", url)
    return re.sub(r"(?i)\b(\w*pass(?:word|wd)?)=[^&]*", r"\1=***", url)


def _rounded(rate: float) -> float:
    return float(f"{rate:.{_DIGITS}g}") if math.isfinite(rate) else rate


def _require(holds: bool, key: str, value: object, rule: str) -> None:
    if not holds:
        raise ConfigError(f"search.{key}: {value!r} is out of range; it must be {rule}")
