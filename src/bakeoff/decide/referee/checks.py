"""The options that are handed to ``compare``, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from bakeoff.errors import ConfigError


def check_direction(higher_is_better: bool) -> bool:
    """Raises: ConfigError: neither True nor False."""
    if not isinstance(higher_is_better, bool | np.bool_):
        raise ConfigError(f"compare: higher_is_better is {higher_is_better!r}; give True or False")
    return bool(higher_is_better)


def check_margin(margin: float) -> float:
    """Raises: ConfigError: not a finite number of zero or more."""
    if not _is_number(margin) or margin < 0.0:
        raise ConfigError(
            f"compare: margin is {margin!r}; give the difference that does not matter, a finite "
            "number of zero or more in the metric's unit"
        )
    return float(margin)


def check_level(level: float) -> float:
    """Raises: ConfigError: not between 0 and 1."""
    if not _is_number(level) or not 0.0 < level < 1.0:
        raise ConfigError(f"compare: level is {level!r}; give a number between 0 and 1, as 0.95")
    return float(level)


def check_baselines(baselines: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Raises: ConfigError: an unknown name, or no method left."""
    if isinstance(baselines, str):
        raise ConfigError(
            f"compare: baselines is the text {baselines!r}; give a list of names, [{baselines!r}]"
        )
    found = tuple(dict.fromkeys(baselines))
    if unknown := [name for name in found if name not in names]:
        raise ConfigError(
            f"compare: baselines names {unknown[0]!r}, which has no scores; there are "
            f"{', '.join(map(repr, names))}"
        )
    if len(found) == len(names):
        raise ConfigError("compare: every method is a baseline; give scores of at least one more")
    return found


def check_costs(
    costs: Mapping[str, float] | None, names: Sequence[str], baselines: Sequence[str]
) -> dict[str, float] | None:
    """Raises: ConfigError: an unknown or missing name, or a cost that is not a number."""
    if costs is None:
        return None
    if not isinstance(costs, Mapping):
        raise ConfigError(
            f"compare: costs is a {type(costs).__name__}; give a mapping from a method's name to a "
            "number"
        )
    if unknown := [name for name in costs if name not in names]:
        raise ConfigError(
            f"compare: costs names {unknown[0]!r}, which has no scores; there are "
            f"{', '.join(map(repr, names))}"
        )
    if missing := [name for name in names if name not in costs and name not in baselines]:
        raise ConfigError(
            f"compare: costs has no {missing[0]!r}; give one for every method but baselines, "
            "or none at all"
        )
    for name, cost in costs.items():
        if not _is_number(cost):
            raise ConfigError(f"compare: costs[{name!r}] is {cost!r}; give a finite number")
    return {name: float(cost) for name, cost in costs.items()}


def _is_number(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int | float | np.integer | np.floating) and math.isfinite(value)
