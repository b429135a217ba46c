"""Settings of the command line over those of a file, and what differs between two studies."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from typing import Any

from bakeoff.config.plain import NOT_SET, join, plain, shown
from bakeoff.config.yaml_file import parse
from bakeoff.errors import ConfigError


def parse_override(argument: str) -> tuple[tuple[str, ...], Any]:
    """Splits ``a.b.c=value``; the value is read as YAML, and nothing after ``=`` is null.

    Raises:
        ConfigError: names the argument that has no ``=``, an empty part or a broken value.
    """
    key, equals, text = argument.partition("=")
    parts = tuple(part.strip() for part in key.split("."))
    if not equals or not all(parts):
        raise ConfigError(
            f"--set {argument!r}: must be a dotted path, an equals sign and a value, "
            "for example --set protocol.epochs=3."
        )
    return parts, parse(text, where=f"--set {shown(argument)}")


def apply_overrides(mapping: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """A copy of ``mapping`` with each ``a.b.c=value`` set, in order.

    A parent that is missing or null becomes an empty mapping, which its dataclass's defaults fill.

    Raises:
        ConfigError: an argument that cannot be read, or whose parent is a scalar or a list.
    """
    result = copy.deepcopy(dict(mapping))
    for argument in overrides:
        parts, value = parse_override(argument)
        parent = result
        for depth, part in enumerate(parts[:-1], start=1):
            if parent.get(part) is None:
                parent[part] = {}
            child = parent[part]
            if not isinstance(child, dict):
                raise ConfigError(
                    f"--set {argument!r}: {'.'.join(parts[:depth])} is {shown(child)}, which has "
                    f"no keys; set {'.'.join(parts[:depth])} itself."
                )
            parent = child
        parent[parts[-1]] = value
    return result


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """One line for each dotted key whose values differ: ``protocol.epochs: 10 and 5``."""
    return list(differing(a, b).values())


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, str]:
    """By dotted key whose values differ, the line that ``differences`` has for it."""
    return _differing(plain(a), plain(b), "")


def _differing(a: dict[str, Any], b: dict[str, Any], path: str) -> dict[str, str]:
    lines: dict[str, str] = {}
    for key in {**a, **b}:
        place = join(path, key)
        left, right = a.get(key, NOT_SET), b.get(key, NOT_SET)
        if isinstance(left, dict) and isinstance(right, dict):
            lines |= _differing(left, right, place)
        elif not _same(left, right):
            lines[place] = f"{place}: {shown(left)} and {shown(right)}"
    return lines


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b):
        return True
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)
