"""How far forecasts of memory have been off on this machine, and the margin that follows.

A study that is forecast to take 21.8 GB and takes 24.3 is killed by the system on a machine of 23.
So some of what is free is left as a margin: a tenth, or as much as the forecasts of earlier studies
of this machine were too low. Each study that was traced keeps its own.
"""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Final

from bakeoff.files import cache_folder, write_bytes
from bakeoff.memory import resident_bytes

LEAST_MARGIN: Final = 0.1
MOST_MARGIN: Final = 0.4
_FILE: Final = "memory-forecasts.json"
_KEPT: Final = 20
_SMALL: Final = 256 << 20
"""Forecasts below this are not kept: what libraries allocate once would outweigh the study."""


def margin() -> float:
    """The share of free memory that no study is planned into."""
    factors = [measured / forecast for forecast, measured in _read()]
    return min(MOST_MARGIN, max([LEAST_MARGIN, *(1.0 - 1.0 / max(1.0, f) for f in factors)]))


def keep(forecast: int, measured: int) -> None:
    """Keeps what a study was forecast to take and what it took, in bytes; the last ones of each.

    A cache that cannot be written is no reason to stop.
    """
    if forecast < _SMALL or measured <= 0:
        return
    found = [*_read(), (float(forecast), float(measured))][-_KEPT:]
    with contextlib.suppress(OSError):
        write_bytes(_path(), json.dumps(found).encode("ascii"))


class Watch:
    """What this process takes from here on, beside the forecast of it.

    The system knows the most that a process has held since it began, which an earlier study or the
    loading of this one may have been. It says something of what was forecast only where it has
    risen since.

    Args:
        forecast: bytes that the study is to take, its bases included.
        held: bytes of its bases, which are there already.
    """

    def __init__(self, forecast: int, held: int) -> None:
        self._forecast = forecast
        self._highest = resident_bytes(highest=True)
        self._beside = resident_bytes() - held

    def keep(self) -> None:
        """Keeps the forecast and what it came to, if that is known."""
        highest = resident_bytes(highest=True)
        if highest > self._highest:
            keep(self._forecast, highest - self._beside)


def _path() -> Path:
    return cache_folder() / _FILE


def _read() -> list[tuple[float, float]]:
    """Pairs of forecast and measured; none where the file is missing or torn."""
    try:
        found = json.loads(_path().read_text(encoding="ascii"))
        pairs = [(float(forecast), float(measured)) for forecast, measured in found]
    except (OSError, ValueError, TypeError):
        return []
    return [p for p in pairs if all(math.isfinite(value) and value > 0 for value in p)]
