"""How many rows a published share was taken over, where the file does not say."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

_MOST_ROWS = 20_000
# A share in double precision is this close to hits / rows; other numbers seldom are.
_EXACT = 1e-12


def rows_of_shares(values: Iterable[float]) -> int | None:
    """The least number of rows of which every value is a whole number of hits.

    Only from values that were written in full: one that was rounded to some decimals is a whole
    number of hits of a power of ten as well, which says nothing of the rows. The true number may be
    a multiple, so intervals from this one are rather too wide than too narrow.

    Args:
        values: shares in 0..1 that were all taken over the same number of rows.

    Returns:
        None where the values do not say.
    """
    found = 1
    for value in values:
        near = Fraction(value).limit_denominator(_MOST_ROWS)
        if abs(float(near) - value) > _EXACT:
            return None
        found = math.lcm(found, near.denominator)
        if found > _MOST_ROWS:
            return None
    return None if _is_decimal(found) else found


def _is_decimal(number: int) -> bool:
    """Whether it divides a power of ten, as the denominators of rounded decimals do."""
    for factor in (2, 5):
        while number % factor == 0:
            number //= factor
    return number == 1
