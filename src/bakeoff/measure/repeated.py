"""What repeated measurements say of a cost: their median, and an interval for it."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from statistics import median

LEVEL = 0.95
FEWEST = 6
"""Repeats from which on the interval has the level: of five, all of them cover 93.75 %."""


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The median of repeats, with bounds for the median of all there might be.

    The bounds are two of the values, the innermost ones that hold it with 95 % probability whatever
    the distribution is: times have a long tail, of other work on the machine. Fewer than six
    repeats give all that they span.
    Source: Conover 1999, "Practical nonparametric statistics", section 3.2.

    Args:
        values: at least one.

    Returns:
        (median, low, high).
    """
    ordered, count = sorted(values), len(values)
    outside, k = 0.0, 0
    while 2.0 * (outside + comb(count, k) / 2.0**count) <= 1.0 - LEVEL:
        outside += comb(count, k) / 2.0**count
        k += 1
    first = max(k - 1, 0)
    return float(median(ordered)), ordered[first], ordered[count - 1 - first]
