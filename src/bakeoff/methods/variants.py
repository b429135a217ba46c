"""Combinations of a method's options that are given as lists of values, to be searched."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bakeoff.errors import ConfigError
from bakeoff.methods.specs.contract import MethodSpec

_SHORT = re.compile(r"[A-Za-z0-9._-]{1,12}")


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One combination of a method's searched options.

    Attributes:
        label: distinguishes it from the others in ids; empty where nothing is searched.
        options: an instance of the method's ``options_type``.
        searched: the searched options alone, as plain values.
    """

    label: str
    options: Any
    searched: dict[str, Any]


def listed_options(
    method: MethodSpec, given: Mapping[str, Any], *, where: str, may_search: bool
) -> dict[str, list[Any]]:
    """The options that are given as lists of values, to be searched over.

    A list that is itself a value of its option, such as a list of layer names, is one value.

    Raises:
        ConfigError: a list of values that is empty or names one twice; one where nothing is
            searched.
    """
    searched = {key: value for key, value in given.items() if _is_searched(method, given, key)}
    if searched and not may_search:
        # Without a search a list is a wrong value, and the strict loading says so.
        try:
            method.read_options(given, path=where)
        except ConfigError as error:
            raise ConfigError(
                f"{error} A list of values is searched over: set search, such as search: "
                "{learning_rates: 6}, or give one value."
            ) from None
    for key, values in searched.items():
        check_values(f"{where}.{key}", values)
    return searched


def check_values(where: str, values: Sequence[Any]) -> None:
    """Raises ConfigError where a list of values is empty or names one twice."""
    if not values or len({repr(value) for value in values}) < len(values):
        raise ConfigError(
            f"{where}: {list(values)!r} is searched over, so it must hold at least one value, "
            "and none twice"
        )


def variants_of(
    method: MethodSpec, given: Mapping[str, Any], searched: Mapping[str, list[Any]], *, where: str
) -> tuple[Variant, ...]:
    """Every combination of the options that are given as lists of values.

    Args:
        method: whose options they are. given: all of them. searched: as of ``listed_options``.
        where: their place in the study.

    Raises:
        ConfigError: a value that breaks a rule.
    """
    labels = {key: labels_of(key, values) for key, values in searched.items()}
    found = []
    for places in itertools.product(*(range(len(values)) for values in searched.values())):
        chosen = {key: searched[key][i] for key, i in zip(searched, places, strict=True)}
        label = "-".join(labels[key][i] for key, i in zip(searched, places, strict=True))
        options = method.read_options({**given, **chosen}, path=where)
        found.append(Variant(label=label, options=options, searched=chosen))
    return tuple(found)


def labels_of(key: str, values: Sequence[Any]) -> list[str]:
    """A part of an id for each value: the value where all are short and differ, else its number."""
    shown = [str(value) for value in values]
    if all(map(_SHORT.fullmatch, shown)) and len(set(shown)) == len(shown):
        return [f"{key}{value}" for value in shown]
    return [f"{key}.{number}" for number in range(len(values))]


def _is_searched(method: MethodSpec, given: Mapping[str, Any], key: str) -> bool:
    """Whether a list is not itself a value of its option."""
    if not isinstance(given[key], list):
        return False
    # Which options a method has may depend on the others.
    others = {name: value for name, value in given.items() if not isinstance(value, list)}
    try:
        method.read_options({**others, key: given[key]})
    except ConfigError:
        return True
    return False
