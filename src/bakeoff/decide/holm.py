"""Correction of p-values for their number."""

from __future__ import annotations

import numpy as np

from bakeoff.decide.influence import Floats


def holm(p_values: Floats) -> Floats:
    """Adjusted p-values: the smallest times K, the next times K - 1, none below an earlier one.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".

    Args:
        p_values: [..., K] one family in the last axis.

    Returns:
        [..., K] at most 1. A hypothesis is rejected at level alpha where this is <= alpha.
    """
    size = p_values.shape[-1]
    if size == 0:
        return p_values.copy()
    order = np.argsort(p_values, axis=-1, kind="stable")
    steps = np.take_along_axis(p_values, order, axis=-1) * np.arange(size, 0, -1)
    steps = np.minimum(np.maximum.accumulate(steps, axis=-1), 1.0)
    adjusted = np.empty_like(steps)
    np.put_along_axis(adjusted, order, steps, axis=-1)
    return adjusted
