"""How figures are written for people, and how sizes and durations that people write are read."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bakeoff.errors import ConfigError

MISSING: Final = "–"
"""Stands for a figure that is not known."""
TIMES_100: Final = "× 100"
"""The unit of shares that are read as points: ROUGE."""

_BYTES: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_COUNTS: Final = ("", "k", "M", "G")
_SECONDS: Final = (
    (1e-3, 1e-6, "µs"),
    (1.0, 1e-3, "ms"),
    (120.0, 1.0, "s"),
    (7200.0, 60.0, "min"),
    (172800.0, 3600.0, "h"),
)
"""Below so many seconds, the unit, in seconds, and its name."""
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b", re.IGNORECASE)
_UNITS: Final = (
    (86400.0, "d|days?"),
    (3600.0, "h|hrs?|hours?"),
    (60.0, "m|mins?|minutes?"),
    (1.0, "s|secs?|seconds?"),
    (0.001, "ms|milliseconds?"),
)
"""Seconds of a unit, and how it is written."""
_NUMBER: Final = r"(\d+(?:\.\d+)?)"
_DURATION: Final = re.compile("".join(f"(?:{_NUMBER}(?:{unit}))?" for _, unit in _UNITS))
_ISO_DURATION: Final = re.compile(
    f"p(?:{_NUMBER}d)?(?:t(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?)?"
)
"""Of ISO 8601 what has one length: no years, months or weeks."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How the values of a metric are written: times ``factor``, with so many decimals."""

    factor: float = 1.0
    digits: int = 3

    def write(self, value: float | None) -> str:
        """The value, zero without a minus; a dash for None."""
        return MISSING if value is None else f"{self.factor * value:z.{self.digits}f}"

    def signed(self, value: float) -> str:
        """A difference with its sign."""
        return signed(self.factor * value, self.digits)


def scale_of(unit: str) -> Scale:
    """How values of a unit are written: points with one decimal, all else with three."""
    return Scale(factor=100.0, digits=1) if unit == TIMES_100 else Scale()


def shown_bytes(value: float | None) -> str:
    """Such as ``19.1 KiB``; a dash for None."""
    return scaled(value, 1024, _BYTES)


def shown_count(value: float | None) -> str:
    """Such as ``4.10 k``; a dash for None."""
    return scaled(value, 1000, _COUNTS)


def scaled(value: float | None, step: int, units: Sequence[str]) -> str:
    """Three digits and a unit: ``512``, ``4.10 k``, ``294 k``, ``19.1 KiB``."""
    if value is None:
        return MISSING
    power = 0
    while value >= 999.5 and power < len(units) - 1:
        value, power = value / step, power + 1
    digits = 0 if power == 0 or value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f} {units[power]}".rstrip()


def shown_seconds(value: float | None) -> str:
    """Two or three digits and a unit: ``1.9 ms``, ``12 s``, ``4.5 min``, ``2.0 h``, ``3.1 d``."""
    if value is None:
        return MISSING
    if value == 0.0:
        return "0 s"
    size, unit = next(((s, u) for limit, s, u in _SECONDS if value < limit), (86400.0, "d"))
    number = value / size
    return f"{number:.{0 if number >= 99.5 else 1}f} {unit}"


def time_left(seconds: float) -> str:
    """An estimate in round words: ``about 12 minutes left``, ``a few seconds left``."""
    if seconds < 10:
        return "a few seconds left"
    if seconds < 55:
        return f"about {10 * round(seconds / 10)} seconds left"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"about {minutes} minute{'' if minutes == 1 else 's'} left"
    hours = seconds / 3600
    if hours < 48:
        return f"about {hours:.{0 if hours >= 10 else 1}f} hours left"
    return f"about {hours / 24:.0f} days left"


def shown_share(value: float | None) -> str:
    """A share as a percentage: ``12.5 %``; a dash where it is missing."""
    return MISSING if value is None else f"{100 * value:.3g} %"


def shown_money(amount: float, currency: str = "$") -> str:
    """An amount with its currency, to two digits of it: ``$0.0042``, ``EUR 13.00``, ``$1,300``."""
    space = " " if currency[-1:].isalpha() else ""
    if amount >= 100.0:
        return f"{currency}{space}{amount:,.0f}"
    if amount >= 1.0:
        return f"{currency}{space}{amount:.2f}"
    return f"{currency}{space}{amount:.2g}"


def shown_amount(amount: float | None) -> str:
    """An amount without its currency: ``0.0042``; a dash for None."""
    return MISSING if amount is None else shown_money(amount, "")


def shown_whole(value: float | None) -> str:
    """A whole number with thousands apart: ``294,912``; a dash for None."""
    return MISSING if value is None else f"{value:,.0f}"


def shown_rate(value: float | None) -> str:
    """A learning rate, as short as it is exact: ``5e-3``; a dash for None."""
    if value is None:
        return MISSING
    mantissa, _, exponent = f"{value:.3e}".partition("e")
    short = mantissa.rstrip("0").rstrip(".")
    return f"{short}e{int(exponent)}"


def shown_p_value(value: float | None) -> str:
    """A p-value after a relation sign: ``= 0.030``, ``< 0.001``; a dash for None."""
    if value is None:
        return MISSING
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def signed(value: float, digits: int = 3) -> str:
    """A difference with its sign, the minus as long as the plus; what rounds to zero has a plus."""
    return f"{value:+z.{digits}f}".replace("-", "\u2212")


def counted(number: int, one: str, many: str) -> str:
    """A number and what there are so many of: ``1 row of test has``, ``1,200 rows of test have``.

    Args:
        number: how many. one: what follows it where it is 1. many: what follows any other.
    """
    return f"{number:,} {one if number == 1 else many}"


def join(names: Sequence[str], word: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {word} {names[-1]}"


def size_of(text: str, option: str) -> float:
    """Bytes of a size such as ``8GiB`` (1,024s) or ``10MB`` (1,000s).

    Args:
        text: the size.
        option: what it was given for, to name in errors.

    Raises:
        ConfigError: for any other text.
    """
    found = _SIZE.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise ConfigError(
            f"{option} {text!r}: is not a size; give a number and its unit, such as 8GiB, 500MiB "
            "or 10MB"
        )
    value, prefix, binary = found.groups()
    unit = 1024.0 if binary else 1000.0
    size = float(value) * math.pow(unit, " kmgt".index(prefix.lower() or " "))
    if size <= 0:
        raise ConfigError(f"{option} {text!r}: must be above zero; give some room, such as 10MB")
    return size


def seconds_of(text: str, option: str = "--budget") -> float:
    """Seconds of a duration such as ``2h``, ``90m``, ``1h30m``, ``9hours``, ``20ms`` or ``PT9H``.

    Args:
        text: the duration: numbers with their units, the largest unit first, or ISO 8601.
        option: what it was given for, to name in errors.

    Raises:
        ConfigError: for any other text.
    """
    given = text.strip().lower() if isinstance(text, str) else ""
    found = _DURATION.fullmatch(given) or _ISO_DURATION.fullmatch(given)
    if found is None or not any(found.groups()) or given.endswith("t"):
        raise ConfigError(
            f"{option} {text!r}: is not a duration; give days, hours, minutes, seconds or "
            "milliseconds, the largest first, such as 2h, 90m, 1h30m, 9hours, 20ms or PT9H"
        )
    seconds = sum(
        float(number) * unit
        for number, (unit, _) in zip(found.groups(), _UNITS, strict=False)
        if number is not None
    )
    if seconds <= 0:
        raise ConfigError(f"{option} {text!r}: must be above zero; give some time, such as 2h")
    return seconds
