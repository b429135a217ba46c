"""Sizes and durations as people write and read them."""

from __future__ import annotations

import math
import re
from typing import Final

from bakeoff.errors import ConfigError

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b", re.IGNORECASE)


def size_of(text: str, option: str) -> float:
    """Bytes of a size such as ``8GiB`` (1,024s) or ``10MB`` (1,000s).

    Args:
        text: the size.
        option: what it was given for, to name in errors.

    Raises:
        ConfigError: for any other text.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ConfigError(
            f"{option} {text!r}: is no size; give a number and its unit, such as 8GiB, 500MiB or "
            "10MB"
        )
    value, prefix, binary = found.groups()
    unit = 1024.0 if binary else 1000.0
    size = float(value) * math.pow(unit, " kmgt".index(prefix.lower() or " "))
    if size <= 0:
        raise ConfigError(f"{option} {text!r}: is no room at all; give some, such as 10MB")
    return size


def written_size(size: float) -> str:
    """Bytes in the binary unit that leaves one to four digits."""
    for unit in ("B", "KiB", "MiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def written_seconds(seconds: float) -> str:
    """A duration in milliseconds, seconds, minutes or hours."""
    if 0 < seconds < 0.1:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 180:
        return f"{seconds:.1f} s" if seconds < 20 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign, the minus as long as the plus."""
    return f"{value:+.{digits}f}".replace("-", "\u2212")
