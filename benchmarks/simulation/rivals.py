"""Tests of all pairs as textbooks have them, over the seeds' means alone.

They take the test rows as all rows that there are, so they speak of other seeds and not of other
rows.

Axis letters: B studies, M methods, S seeds, K pairs.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy.stats import studentized_range

from bakeoff.decide.referee.distributions import t_cdf
from bakeoff.decide.referee.holm import holm
from bakeoff.decide.referee.influence import Bools, Floats
from bakeoff.decide.referee.pairs import pair_indices

_GRID = 9


def welch(means: Floats) -> tuple[Floats, Floats]:
    """t and its degrees of freedom of every pair. Welch 1947.

    Args:
        means: [B, S, M] the statistic of each seed.

    Returns:
        [B, K] each.
    """
    seeds = means.shape[1]
    mean, variance = means.mean(axis=1), means.var(axis=1, ddof=1) / seeds
    i, j = pair_indices(means.shape[2])
    total = variance[:, i] + variance[:, j]
    squares = variance[:, i] ** 2 + variance[:, j] ** 2
    gap, sure = mean[:, i] - mean[:, j], squares == 0.0
    freedom = (seeds - 1.0) * np.where(sure, 1.0, total**2 / np.where(sure, 1.0, squares))
    t = np.where(sure, np.where(gap == 0.0, 0.0, np.inf), gap / np.sqrt(np.where(sure, 1.0, total)))
    return t, freedom


def holm_welch(means: Floats, alpha: float) -> Bools:
    """[B, K] which pairs are called different by Welch's tests and Holm's correction."""
    t, freedom = welch(means)
    return np.asarray(holm(2.0 * t_cdf(freedom, -np.abs(t))) <= alpha)


def games_howell(means: Floats, alpha: float) -> Bools:
    """[B, K] which pairs are called different; the studentised range over Welch's statistics.

    Source: Games and Howell 1976, "Pairwise multiple comparison procedures with unequal n's".
    """
    t, freedom = welch(means)
    low = means.shape[1] - 1.0
    # The quantile is nearly linear in one over the degrees of freedom, and slow to compute.
    grid = np.linspace(0.5 / low, 1.0 / low, _GRID)
    critical = np.array([_range_quantile(alpha, means.shape[2], 1.0 / x) for x in grid.tolist()])
    return np.asarray(np.abs(t) * 2.0**0.5 > np.interp(1.0 / freedom, grid, critical))


def pooled_tukey(means: Floats, alpha: float) -> Bools:
    """[B, K] which pairs are called different with one variance for all methods. Tukey 1953."""
    _, seeds, methods = means.shape
    mean, variance = means.mean(axis=1), means.var(axis=1, ddof=1).mean(axis=1, keepdims=True)
    i, j = pair_indices(methods)
    q = np.abs(mean[:, i] - mean[:, j]) / np.sqrt(variance / seeds)
    return np.asarray(q > _range_quantile(alpha, methods, methods * (seeds - 1.0)))


@functools.cache
def _range_quantile(alpha: float, methods: int, freedom: float) -> float:
    return float(studentized_range.ppf(1.0 - alpha, methods, freedom))
