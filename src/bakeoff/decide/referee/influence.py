"""What each score adds to its method's statistic.

Axis letters: S seeds, N rows (or groups of rows), C columns of additive statistics. Every array may
have axes before these, one entry for each of several studies that are judged at once.

What a row adds is found by leaving it out (Efron and Stein 1981, "The jackknife estimate of
variance"), around the value of each seed, so that the mean over rows of a seed's ``u`` is that
seed's value. For a mean it is the score itself. For a ratio of sums it is ``(score - statistic *
weight) / mean weight``, times ``(N - 1) / N / (1 - weight's share)``: without that factor, heavy
rows hide some of their own noise, as they pull the statistic towards themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import DataError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Influence:
    """One method's scores as contributions to its statistic.

    Attributes:
        u: [..., S, N] in the metric's unit; its mean over N is the statistic of each seed.
        row_means: [..., N, C] the additive statistics as means over seeds. Two methods differ on a
            row where these differ.
        identical: [...] whether there are two or more seeds and all their scores are the same.
    """

    u: Floats
    row_means: Floats
    identical: Bools

    @property
    def num_seeds(self) -> int:
        return int(self.u.shape[-2])

    @property
    def num_rows(self) -> int:
        return int(self.u.shape[-1])


def of_means(scores: Floats) -> Influence:
    """The statistic is the mean over rows.

    Args:
        scores: [..., S, N].
    """
    return Influence(
        u=scores,
        row_means=scores.mean(axis=-2)[..., None],
        identical=_all_same(scores[..., None]),
    )


def of_ratios(scores: Floats, weights: Floats) -> Influence:
    """The statistic is the sum of scores over the sum of weights, as nats over tokens.

    Args:
        scores: [..., S, N] sums over what a row's weight counts.
        weights: [..., S, N], above zero.
    """
    whole = weights.sum(axis=-1, keepdims=True)
    ratio = scores.sum(axis=-1, keepdims=True) / whole
    pull = (scores.shape[-1] - 1) * (scores - ratio * weights) / (whole - weights)
    both = np.stack([scores, weights], axis=-1)
    return Influence(
        u=ratio + pull - pull.mean(axis=-1, keepdims=True),
        row_means=both.mean(axis=-3),
        identical=_all_same(both),
    )


def of_sums(statistics: Floats, value: Callable[[Floats], Floats]) -> Influence:
    """The statistic is any smooth function of sums over rows, as macro-F1 or BLEU.

    Args:
        statistics: [..., S, N, C] what each row adds.
        value: of sums [..., C] the statistic [...].

    Raises:
        DataError: if leaving one row out leaves no finite value.
    """
    num_rows = statistics.shape[-2]
    sums = statistics.sum(axis=-2)
    whole = np.asarray(value(sums), dtype=np.float64)[..., None]
    without = np.asarray(value(sums[..., None, :] - statistics), dtype=np.float64)
    if not (np.isfinite(whole).all() and np.isfinite(without).all()):
        raise DataError(
            "decide: the metric has no finite value once one row is left out, so its spread cannot "
            "be estimated; give more rows, or compare on another metric"
        )
    pull = (num_rows - 1) * (whole - without)
    return Influence(
        u=whole + pull - pull.mean(axis=-1, keepdims=True),
        row_means=statistics.mean(axis=-3),
        identical=_all_same(statistics),
    )


def sum_groups(values: Floats, groups: NDArray[np.intp], num_groups: int) -> Floats:
    """Sums rows of one group, before anything else is computed of them.

    Args:
        values: [..., N]. groups: [N] from 0 to ``num_groups`` - 1.

    Returns:
        [..., num_groups].
    """
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(num_groups))
    return np.asarray(np.add.reduceat(values[..., order], starts, axis=-1))


def _all_same(values: Floats) -> Bools:
    """Whether all seeds of [..., S, N, C] are equal to the first, where there are two or more."""
    if values.shape[-3] < 2:
        return np.zeros(values.shape[:-3], dtype=np.bool_)
    return np.asarray((values == values[..., :1, :, :]).all(axis=(-3, -2, -1)))
