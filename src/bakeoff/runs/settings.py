"""Settings of a study as its results keep them: the user's own YAML, with every default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def setting(study: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path such as ``protocol.epochs``; None where the study has none."""
    found: Any = study
    for key in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(key)
    return found


def bases_of(study: Mapping[str, Any]) -> Any:
    """The study's base, or the names of all that it is crossed with, with commas between."""
    found = study.get("bases")
    return ", ".join(map(str, found)) if isinstance(found, Mapping) else study.get("base")
