"""Timing of short calls, one way after the other and round again."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence


def interleaved(ways: Sequence[Callable[[], object]], calls: int, repeats: int) -> list[float]:
    """Microseconds of a call of each way, the median of the repeats after one to warm up."""
    found: list[list[float]] = [[] for _ in ways]
    for repeat in range(repeats + 1):
        for seconds, way in zip(found, ways, strict=True):
            started = time.perf_counter()
            for _ in range(calls):
                way()
            if repeat:
                seconds.append((time.perf_counter() - started) / calls)
    return [1e6 * statistics.median(seconds) for seconds in found]
