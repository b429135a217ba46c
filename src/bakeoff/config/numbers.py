"""Numbers that no setting can mean: infinite ones, and whole ones that no machine counts to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from bakeoff.config.plain import join, shown
from bakeoff.errors import ConfigError

_MOST: Final = 2**63 - 1
_LARGEST: Final = 1e30
"""Far beyond what any setting means, and near the end of float32."""


def check_numbers(value: Any, path: str = "") -> None:
    """Looks through a study's plain values, before anything counts to one of them.

    Args:
        value: mappings, lists and scalars. path: its place.

    Raises:
        ConfigError: a number that is not finite or beyond 1e30, or a whole one of 2^63 or more.
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            check_numbers(item, join(path, str(key)))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            check_numbers(item, f"{path}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(
            f"{path}: {shown(value)} is not a finite number; give one, or leave the setting out"
        )
    elif isinstance(value, float) and abs(value) > _LARGEST:
        raise ConfigError(
            f"{path}: {shown(value)} is out of range; it must be at most {_LARGEST:g}, and most "
            "settings want far less"
        )
    elif isinstance(value, int) and abs(value) > _MOST:
        raise ConfigError(
            f"{path}: a whole number of {_digits(value)} digits is out of range; it must be below "
            "2^63, and most settings want far less"
        )


def _digits(value: int) -> int:
    bits = abs(value).bit_length()
    # Python refuses to write numbers of more than 4,300 digits.
    return len(str(abs(value))) if bits < 10_000 else int(bits * math.log10(2)) + 1
