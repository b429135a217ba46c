"""What the page calls states, phases and settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STATE_WORDS = {
    "WAITING": "not started",
    "RUNNING": "not finished",
    "PAUSED": "not finished",
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
    "costs": "costs",
    "footprint": "costs",  # as the first edition called them
}


def state(value: str) -> str:
    """A run state in plain words."""
    return STATE_WORDS.get(value, value)


def plain(value: object) -> str:
    """Any setting as the study's YAML would write it."""
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
