"""Sizes as people write them, and differences as they are read."""

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


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign, the minus as long as the plus."""
    return f"{value:+.{digits}f}".replace("-", "\u2212")
