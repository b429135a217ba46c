"""How figures are written: one place for units, digits and the sign for what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bakeoff.decide.facts import number
from bakeoff.units import shown_bytes, shown_seconds

MISSING = "–"

STATE_WORDS = {
    "WAITING": "not started",
    "RUNNING": "not finished",
    "COMPLETE": "complete",
    "STOPPED": "stopped early by its own patience",
    "PRUNED": "pruned",
    "DIVERGED": "diverged",
    "FAILED": "failed",
}

PHASES = {
    "load": "loading the base",
    "data": "data",
    "baselines": "baselines",
    "training": "training",
    "test": "test set",
    "footprint": "footprint",
}


def nll(value: object) -> str:
    """Nats a token, three decimals."""
    found = number(value)
    return MISSING if found is None else f"{found:.3f}"


def rouge(value: object) -> str:
    """ROUGE times 100, one decimal."""
    found = number(value)
    return MISSING if found is None else f"{100 * found:.1f}"


def count(value: object) -> str:
    """A whole number with thousands apart."""
    found = number(value)
    return MISSING if found is None else f"{found:,.0f}"


def size(value: object) -> str:
    """Bytes in three digits and a binary unit."""
    return shown_bytes(number(value))


def seconds(value: object) -> str:
    """A duration in two or three digits and its unit."""
    return shown_seconds(number(value))


def p_value(value: object) -> str:
    """A p-value after a relation sign: ``= 0.03``, ``< 0.001``."""
    found = number(value)
    if found is None:
        return MISSING
    return "< 0.001" if found < 0.001 else f"= {found:.3f}"


def rate(value: object) -> str:
    """A learning rate, as short as it is exact: ``5e-3``."""
    found = number(value)
    if found is None:
        return MISSING
    mantissa, _, exponent = f"{found:.3e}".partition("e")
    short = mantissa.rstrip("0").rstrip(".")
    return f"{short}e{int(exponent)}"


def state(value: object) -> str:
    """A run state in plain words."""
    return STATE_WORDS.get(str(value), str(value)) if value is not None else "unknown"


def plain(value: object) -> str:
    """Any setting as it would stand in the study's YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(plain(item) for item in value) + "]"
    if isinstance(value, str):
        return value.replace("\n", "\\n")
    return f"{value:g}" if isinstance(value, float) else str(value)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A nested mapping as pairs of dotted path and value, in its own order."""
    pairs: list[tuple[str, str]] = []
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            pairs.extend(flatten(value, f"{path}."))
        else:
            pairs.append((path, plain(value)))
    return pairs
