"""Whether rows stand in the order of their labels, so that the first ones speak for few of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_FEWEST_ROWS = 8
"""Fewer may stand so by chance."""


def stands_by_label(label_N: NDArray[Any]) -> bool:
    """Whether the rows of each label follow one another, of two labels or more.

    Args:
        label_N: [N] each row's label, in the rows' order.
    """
    labels = len(np.unique(label_N))
    changes = int(np.count_nonzero(label_N[1:] != label_N[:-1]))
    return len(label_N) >= _FEWEST_ROWS and 1 < labels == changes + 1
