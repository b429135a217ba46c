"""How long rows are, and what ``task.max_length`` cuts of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

ROW, ANSWER, NEEDED, ASKED = range(4)
"""Columns of lengths: tokens of the whole row, of what is supervised in it, the least
``max_length`` at which nothing of it is cut, and the tokens that stand before its last answer, in
the row or in its prompt, whichever are more."""
SHARE_CUT: Final = 0.01


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Tokens: half, 95 % and 99 % of the rows have so many or fewer."""

    median: int
    p95: int
    p99: int


def spread(lengths: NDArray[np.int64]) -> Spread:
    """Of lengths, of which there is at least one; each figure is one of them."""
    median, p95, p99 = (_quantile(lengths, share) for share in (0.5, 0.95, 0.99))
    return Spread(median=median, p95=p95, p99=p99)


def share_over(lengths: NDArray[np.int64], most: int) -> float:
    """The share of lengths above ``most``; 0 where there are none."""
    return float(np.mean(lengths > most)) if len(lengths) else 0.0


def least_length(
    row: NDArray[np.int64], asked: NDArray[np.int64], answer: int
) -> NDArray[np.int64]:
    """[rows] the least ``max_length`` of each at which neither it nor its prompt is cut.

    Args:
        row, asked: [rows] as the columns of these names. answer: tokens that are kept free for the
            last answer.
    """
    return np.maximum(row, asked + answer)


def cutting(needed: NDArray[np.int64], share: float = SHARE_CUT) -> int:
    """The least ``max_length`` that cuts at most a share of the rows.

    Args:
        needed: [rows] what each needs; at least one.
    """
    return _quantile(needed, 1.0 - share)


def _quantile(lengths: NDArray[np.int64], share: float) -> int:
    place = math.ceil(share * len(lengths) - 1e-9) - 1
    return int(np.sort(lengths)[max(0, place)])
