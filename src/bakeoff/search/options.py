"""What is searched: each method's learning rates, and options that are given as lists.

Every method gets as many rates as every other, on a logarithmic grid centred on its own published
default.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bakeoff.errors import ConfigError
from bakeoff.methods.specs.contract import MethodSpec

_SHORT = re.compile(r"[A-Za-z0-9._-]{1,12}")
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
    """Rates by which a method may be searched further while its best lies at the edge, over all
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
        nearest = round(2 * steps) / 2  # an even grid lies half a step beside its centre
        if abs(steps - nearest) < 0.01:
            edge = centre * factor**nearest
    return _rounded(edge * factor if upward else edge / factor)


def final_seeds(seeds: Sequence[int], count: int) -> tuple[int, ...]:
    """The first ``count`` of the protocol's seeds, continued by the next numbers."""
    following = itertools.count(max(seeds) + 1)
    return (*seeds[:count], *itertools.islice(following, max(0, count - len(seeds))))


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One combination of a method's searched options.

    Attributes:
        label: tells it from the others in ids; empty where nothing is searched.
        options: an instance of the method's ``options_type``.
        searched: the searched options alone, as plain values.
    """

    label: str
    options: Any
    searched: dict[str, Any]


def variants_of(
    method: MethodSpec, given: Mapping[str, Any], *, where: str, may_search: bool
) -> tuple[Variant, ...]:
    """Every combination of the options that are given as lists of values.

    A list that is itself a value of its option, such as a list of layer names, is one value.

    Raises:
        ConfigError: a value that breaks a rule, or a list where nothing is searched.
    """
    searched = {key: value for key, value in given.items() if _is_searched(method, given, key)}
    if not searched or not may_search:
        # Without a search a list is a wrong value, and the strict loading says so.
        try:
            options: Any = method.read_options(given, path=where)
        except ConfigError as error:
            if not searched:
                raise
            raise ConfigError(
                f"{error} A list of values is searched over: set search, such as search: "
                "{learning_rates: 6, seeds: 3}, or give one value."
            ) from None
        return (Variant(label="", options=options, searched={}),)
    for key, values in searched.items():
        if not values or len({repr(value) for value in values}) < len(values):
            raise ConfigError(
                f"{where}.{key}: {values!r} is searched over, so it must hold at least one value, "
                "and none twice"
            )
    found = []
    labels = {key: _labels(key, values) for key, values in searched.items()}
    for places in itertools.product(*(range(len(values)) for values in searched.values())):
        chosen = {key: searched[key][i] for key, i in zip(searched, places, strict=True)}
        label = "-".join(labels[key][i] for key, i in zip(searched, places, strict=True))
        options = method.read_options({**given, **chosen}, path=where)
        found.append(Variant(label=label, options=options, searched=chosen))
    return tuple(found)


def _labels(key: str, values: Sequence[Any]) -> list[str]:
    """A part of an id for each value: the value where all are short and differ, else its number."""
    told = [str(value) for value in values]
    if all(map(_SHORT.fullmatch, told)) and len(set(told)) == len(told):
        return [f"{key}{value}" for value in told]
    return [f"{key}.{number}" for number in range(len(values))]


def _is_searched(method: MethodSpec, given: Mapping[str, Any], key: str) -> bool:
    """Whether a list is no value of its option."""
    if not isinstance(given[key], list):
        return False
    # Which options a method has may hang on the others.
    others = {name: value for name, value in given.items() if not isinstance(value, list)}
    try:
        method.read_options({**others, key: given[key]})
    except ConfigError:
        return True
    return False


def without_password(url: str) -> str:
    """The URL of a database as it may be shown."""
    url = re.sub(r"(://[^/@:]*):.*@", r"\1:***@", url)
    return re.sub(r"(?i)\b(\w*pass(?:word|wd)?)=[^&]*", r"\1=***", url)


def _rounded(rate: float) -> float:
    return float(f"{rate:.{_DIGITS}g}") if math.isfinite(rate) else rate


def _require(holds: bool, key: str, value: object, rule: str) -> None:
    if not holds:
        raise ConfigError(f"search.{key}: {value!r} is out of range; it must be {rule}")
