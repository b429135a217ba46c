"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Sequence

_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")
_COUNTS = ("", "k", "M", "G")
_SECONDS = (
    (1e-3, 1e-6, "µs"),
    (1.0, 1e-3, "ms"),
    (120.0, 1.0, "s"),
    (7200.0, 60.0, "min"),
    (172800.0, 3600.0, "h"),
)
"""Below so many seconds, the unit, in seconds, and its name."""


def shown_bytes(value: float | None) -> str:
    """Such as ``19.1 KiB``; a dash for None."""
    return scaled(value, 1024, _BYTES)


def shown_count(value: float | None) -> str:
    """Such as ``4.10 k``; a dash for None."""
    return scaled(value, 1000, _COUNTS)


def scaled(value: float | None, step: int, units: Sequence[str]) -> str:
    """Three digits and a unit: ``512``, ``4.10 k``, ``294 k``, ``19.1 KiB``."""
    if value is None:
        return "–"
    power = 0
    while value >= 999.5 and power < len(units) - 1:
        value, power = value / step, power + 1
    digits = 0 if power == 0 or value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f} {units[power]}".rstrip()


def shown_seconds(value: float | None) -> str:
    """Two or three digits and a unit: ``1.9 ms``, ``12 s``, ``4.5 min``, ``2.0 h``, ``3.1 d``."""
    if value is None:
        return "–"
    size, unit = next(((s, u) for limit, s, u in _SECONDS if value < limit), (86400.0, "d"))
    number = value / size
    return f"{number:.{0 if number >= 99.5 else 1}f} {unit}"
