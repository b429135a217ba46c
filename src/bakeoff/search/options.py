"""What is searched: each method's learning rates, and options that are given as lists.

Every method gets as many rates as every other, centred on the study's rate of the method or on its
published default.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from bakeoff.engine.options import AdaptiveSeeds
from bakeoff.errors import ConfigError
from bakeoff.methods.entries import LARGEST_RATE, SMALLEST_RATE
from bakeoff.methods.variants import check_values

_MOST_TRIALS = 10_000


@dataclass(frozen=True, kw_only=True)
class Range:
    """Values between two bounds, for ``strategy: random``; whole numbers where both bounds are."""

    low: int | float
    """The lowest value."""
    high: int | float
    """The highest value."""
    log: bool = False
    """Whether values are drawn evenly on a logarithmic scale."""

    def __post_init__(self) -> None:
        if not self.low < self.high or not math.isfinite(self.high - self.low):
            raise ConfigError(f"low: {self.low} must be below high, which is {self.high}")
        if self.log and self.low <= 0:
            raise ConfigError(f"low: {self.low} must be above 0 on a logarithmic scale")


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """An equal search for every method."""

    learning_rates: int = 6
    """Rates of each method's grid, which is centred on the study's rate of the method, or on its
    published default."""
    trials: int | None = None
    """Settings that each method tries at first, all combinations of its searched options together;
    null: as many as ``learning_rates``."""
    space: dict[str, tuple[Any, ...] | Range] = field(default_factory=dict)
    """What is searched besides: for an option of a method, or of the protocol, or for
    ``learning_rate`` a list of values, or ``{low, high, log}`` where ``strategy`` is random. It
    holds for the methods that have the option; a method's own list goes before it."""
    seeds: int | tuple[int, ...] | AdaptiveSeeds | None = None
    """Another name of ``protocol.seeds``: with which the chosen setting is trained afresh."""
    strategy: Literal["grid", "random"] = "grid"
    """How rates are laid: on a grid that grows while its best lies at an edge, or drawn at random
    over the grid's span."""
    pruner: Literal["halving", "none"] | None = "halving"
    """Whether weak candidates end early, by validation NLL at epoch ends; null: none does."""
    reduction_factor: int = 2
    """Of so many candidates of a method one goes on at each rung, rounded up. The first rung is
    after a third of the epochs, each of the others after so many times the epochs before it."""
    grid_factor: float = 10**0.5
    """Ratio of neighbouring rates; the square root of ten makes two a decade."""
    growth: int = 4
    """Rates by which a method may be searched further while its best is at the edge, over all
    its variants together."""
    storage: str | None = None
    """Where Optuna keeps the search: a database's URL, or null for ``study.db`` in the run's
    folder."""

    def __post_init__(self) -> None:
        rule = f"at least 1 and at most {_MOST_TRIALS}"
        counts = 1 <= self.learning_rates <= _MOST_TRIALS
        _require(counts, "learning_rates", self.learning_rates, rule)
        counts = self.trials is None or 1 <= self.trials <= _MOST_TRIALS
        _require(counts, "trials", self.trials, rule)
        _require(self.reduction_factor >= 2, "reduction_factor", self.reduction_factor, "2 or more")
        fits = 1.01 <= self.grid_factor <= 1000.0
        _require(fits, "grid_factor", self.grid_factor, "from 1.01 to 1000")
        fits = 0 <= self.growth <= _MOST_TRIALS
        _require(fits, "growth", self.growth, f"from 0 to {_MOST_TRIALS}")
        for key, values in self.space.items():
            _check_values(key, values, self.strategy)
        if self.pruner == "none":  # the first edition's word for null
            object.__setattr__(self, "pruner", None)


def _check_values(key: str, values: tuple[Any, ...] | Range, strategy: str) -> None:
    where = f"search.space.{key}"
    if isinstance(values, Range):
        if strategy != "random":
            raise ConfigError(
                f"{where}: a range is for search.strategy: random; set that, or give a list of "
                "values"
            )
        rates: tuple[Any, ...] = (values.low, values.high)
    else:
        check_values(where, values)
        rates = values
    if key == "learning_rate":
        for rate in rates:
            is_number = isinstance(rate, (int, float)) and not isinstance(rate, bool)
            if not is_number or not 0 < rate < math.inf:
                raise ConfigError(f"{where}: {rate!r} is not a positive number")
            if not SMALLEST_RATE <= rate <= LARGEST_RATE:
                raise ConfigError(
                    f"{where}: {rate!r} is out of range, which is {SMALLEST_RATE:g} to "
                    f"{LARGEST_RATE:g}"
                )
        if len({f"{rate:g}" for rate in rates}) < len(rates):  # ids name rates by six digits
            raise ConfigError(f"{where}: {list(rates)!r} names a rate twice (six digits count)")


def without_password(url: str) -> str:
    """The URL of a database as it may be shown."""
    url = re.sub(r"(://[^/@:]*):.*@", r"\1:***@", url)
    return re.sub(r"(?i)\b(\w*pass(?:word|wd)?)=[^&]*", r"\1=***", url)


def _require(holds: bool, key: str, value: object, rule: str) -> None:
    if not holds:
        raise ConfigError(f"search.{key}: {value!r} is out of range; it must be {rule}")
