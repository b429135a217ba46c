"""Correction of p-values for their number."""

from __future__ import annotations

import numpy as np

from bakeoff.decide.referee.influence import Bools, Floats


def holm(p_values: Floats, counted: Bools | None = None) -> Floats:
    """Adjusted p-values: the smallest times K, the next times K - 1, none below an earlier one.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".

    Args:
        p_values: [..., K] one family in the last axis.
        counted: [..., K] which of them belong to the family; None for all.

    Returns:
        [..., K] at most 1; 1 outside the family. A hypothesis is rejected at level alpha where
        this is <= alpha.
    """
    if p_values.shape[-1] == 0:
        return p_values.copy()
    # Those that do not count are sorted behind all others, so that they change no step.
    p = p_values if counted is None else np.where(counted, p_values, 2.0)
    size = (p <= 1.0).sum(axis=-1, keepdims=True)
    order = np.argsort(p, axis=-1, kind="stable")
    steps = np.take_along_axis(p, order, axis=-1) * np.maximum(size - np.arange(p.shape[-1]), 1)
    steps = np.minimum(np.maximum.accumulate(steps, axis=-1), 1.0)
    adjusted = np.empty_like(steps)
    np.put_along_axis(adjusted, order, steps, axis=-1)
    return adjusted
