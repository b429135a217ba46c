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

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import DataError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Value = Callable[[Floats], Floats]
"""A metric's function of sums, [..., C] to [...]."""

# Rows whose sums are held at once while each is left out: 16 MB a temporary array.
_CHUNK_ELEMENTS = 2**21
# With more columns, rows are told apart by two sums of theirs.
_MOST_COLUMNS = 16
_NO_VALUE = (
    "decide: the metric has no finite value once one row is left out, so its spread cannot be "
    "estimated; give more rows, or compare on another metric"
)


@dataclass(frozen=True, kw_only=True)
class Influence:
    """One method's scores as contributions to its statistic.

    Attributes:
        u: [..., S, N] in the metric's unit; its mean over N is the statistic of each seed.
        values: [..., S] the statistic of each seed.
        row_means: [..., N, C] the additive statistics as means over seeds, or two sums of them
            where there are many columns. Two methods differ on a row where these differ.
        identical: [...] whether there are two or more seeds and all their scores are the same.
    """

    u: Floats
    values: Floats
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
        values=scores.mean(axis=-1),
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
        values=ratio[..., 0],
        row_means=both.mean(axis=-3),
        identical=_all_same(both),
    )


def of_sums(statistics: Floats, value: Value) -> Influence:
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
        raise DataError(_NO_VALUE)
    pull = (num_rows - 1) * (whole - without)
    return Influence(
        u=whole + pull - pull.mean(axis=-1, keepdims=True),
        values=whole[..., 0],
        row_means=statistics.mean(axis=-3),
        identical=_all_same(statistics),
    )


def of_runs(
    runs: Sequence[NDArray[Any]],
    value: Value,
    *,
    is_ratio: bool = False,
    groups: NDArray[np.intp] | None = None,
) -> Influence:
    """``of_sums`` of a method's runs, a seed at a time and its rows in chunks.

    So statistics of thousands of small columns (macro-F1 of a thousand labels) need little more
    memory than they take themselves.

    Args:
        runs: for each seed [N, C] what each row adds, of any number type.
        value: of sums [..., C] the statistic [...].
        is_ratio: whether the statistic is column 0 over column 1, which has a closed form.
        groups: [N] the group of each row, from 0 on; rows of one group are summed first.

    Raises:
        DataError: if leaving one row or group out leaves no finite value.
    """
    pulled, values, totals = [], [], []
    for run in runs:
        added = run
        if groups is not None:
            added = sum_groups(run.T.astype(np.float64), groups, int(groups.max()) + 1).T
        if is_ratio:
            own = added.astype(np.float64, copy=False)
            with np.errstate(divide="ignore", invalid="ignore"):
                found = of_ratios(own[None, :, 0], own[None, :, 1])
            if not np.isfinite(found.u).all():
                raise DataError(_NO_VALUE)
            pulled.append(found.u[0])
            values.append(found.values[0])
        else:
            u, whole = _leaving_out(added, value)
            pulled.append(u)
            values.append(whole)
        totals.append(_told_apart(added))
    return Influence(
        u=np.stack(pulled),
        values=np.asarray(values),
        row_means=np.asarray(sum(totals) / len(totals)),
        identical=np.asarray(len(runs) > 1 and all(np.array_equal(r, runs[0]) for r in runs[1:])),
    )


def _leaving_out(added: NDArray[Any], value: Value) -> tuple[Floats, float]:
    """[N] what each row of [N, C] adds, and the statistic."""
    num_rows, width = added.shape
    sums = added.sum(axis=0, dtype=np.float64)
    whole = float(value(sums))
    without = np.empty(num_rows)
    step = max(1, _CHUNK_ELEMENTS // width)
    for start in range(0, num_rows, step):
        without[start : start + step] = value(sums - added[start : start + step])
    if not (np.isfinite(whole) and np.isfinite(without).all()):
        raise DataError(_NO_VALUE)
    pull = (num_rows - 1) * (whole - without)
    return whole + pull - pull.mean(), whole


def _told_apart(added: NDArray[Any]) -> Floats:
    """[N, C] as it is, or two sums of many columns by which rows that differ are told apart."""
    num_rows, width = added.shape
    if width <= _MOST_COLUMNS:
        return added.astype(np.float64)
    # All above zero, so that nothing cancels in sums of counts.
    weights = np.random.default_rng(0).uniform(0.5, 1.5, (width, 2))
    found = np.empty((num_rows, 2))
    step = max(1, _CHUNK_ELEMENTS // width)
    for start in range(0, num_rows, step):
        found[start : start + step] = added[start : start + step].astype(np.float64) @ weights
    return found


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
