"""Tests of every pair of methods, and what may be said of them.

Axis letters: N rows, M methods, K pairs. Arrays may have axes before these, one entry for each of
several studies that are judged at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.decide.referee.components import Components, SeedVariance, raised_variances
from bakeoff.decide.referee.distributions import t_cdf, t_quantile
from bakeoff.decide.referee.holm import holm
from bakeoff.decide.referee.influence import Bools, Floats

# With fewer seeds nothing is said of a method that varies with them.
MIN_SEEDS = 3
# On fewer rows a mean of differences is too far from normal.
MIN_DIFFERING_ROWS = 10
# What is smaller than this share of the scores comes from the order of additions.
_ROUNDING = 1e-12
_HALVINGS = 30


@dataclass(frozen=True, kw_only=True)
class PairTests:
    """All pairs (i, j) of methods; entry [..., i, j] is of i against j.

    Attributes:
        difference: [..., M, M] the statistic of i minus that of j; zero where it is rounding.
        variance: [..., M, M] of the difference; "V". Zero where it is rounding.
        freedom: [..., M, M] degrees of freedom of ``variance``.
        differing_rows: [..., M, M] on how many rows the means over seeds differ.
        has_seeds: [..., M, M] whether both are fixed or have three seeds; on the diagonal, i alone.
        tested: [..., M, M] whether anything may be said: ``has_seeds``, and enough differing rows.
    """

    difference: Floats
    variance: Floats
    freedom: Floats
    differing_rows: NDArray[np.intp]
    has_seeds: Bools
    tested: Bools

    def p_above(self, bound: float, sign: float = 1.0) -> Floats:
        """One-sided p of "sign * difference is at most ``bound``"; 1 where nothing may be said."""
        gap = sign * self.difference - bound
        error = np.sqrt(self.variance)
        sure = error == 0.0
        p = t_cdf(self.freedom, -gap / np.where(sure, 1.0, error))
        p = np.where(sure, np.where(gap > 0.0, 0.0, 1.0), p)
        return np.where(self.tested, p, 1.0)

    def p_different(self) -> Floats:
        """Two-sided p of "the difference is zero"."""
        return np.minimum(1.0, 2.0 * np.minimum(self.p_above(0.0), self.p_above(0.0, -1.0)))

    def p_equivalent(self, margin: float) -> Floats:
        """p of "the difference is the margin or more, in either direction".

        Source: Schuirmann 1987, "A comparison of the two one-sided tests procedure".
        """
        return np.maximum(self.p_above(-margin), self.p_above(-margin, -1.0))

    def half_width(self, alpha: float) -> Floats:
        """Of the two-sided interval of level 1 - alpha; infinite where nothing may be said."""
        width = t_quantile(self.freedom, 1.0 - alpha / 2.0) * np.sqrt(self.variance)
        return np.where(self.tested, width, np.inf)


@dataclass(frozen=True, kw_only=True)
class RowTests(PairTests):
    """Tests of pairs whose rows are at hand.

    Attributes:
        row_variance: [..., M, M] the part of the variance that the rows make, residuals included;
            "R".
        skewness: [..., M, M] of the differences from row to row, without its sign.
    """

    row_variance: Floats
    skewness: Floats


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """What is said of each pair, in the order of ``pair_indices``.

    Attributes:
        p_different: [..., K] after Holm's correction over the pairs.
        p_equivalent: [..., K] likewise, a family of its own.
        equivalent: [..., K]. different: [..., K] and not equivalent.
    """

    p_different: Floats
    p_equivalent: Floats
    equivalent: Bools
    different: Bools


def pair_indices(num_methods: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """i [K] and j [K] of every pair i < j, in the order of ``itertools.combinations``."""
    pairs = np.array(list(itertools.combinations(range(num_methods), 2)), dtype=np.intp)
    pairs = pairs.reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def judge(tests: PairTests, margin: float, alpha: float, counted: Bools | None = None) -> Verdicts:
    """The verdict of every pair, with at most ``alpha`` of studies wrong in any of them.

    Args:
        tests: of all pairs. margin: what does not matter. alpha: 1 - level.
        counted: [..., K] the pairs that are judged now; None for all.
    """
    i, j = pair_indices(tests.difference.shape[-1])
    p_different = holm(tests.p_different()[..., i, j], counted)
    p_equivalent = holm(tests.p_equivalent(margin)[..., i, j], counted)
    equivalent = p_equivalent <= alpha
    return Verdicts(
        p_different=p_different,
        p_equivalent=p_equivalent,
        equivalent=equivalent,
        different=(p_different <= alpha) & ~equivalent,
    )


def least_margins(tests: PairTests, alpha: float) -> Floats:
    """The margin from which on each pair of one study is called equivalent.

    A larger margin makes no pair less equivalent, so a verdict at any margin follows from this and
    from the test of the difference.

    Args:
        tests: of all pairs, without leading axes. alpha: 1 - level.

    Returns:
        [K] in the order of ``pair_indices``; infinite where nothing may be said.
    """
    i, j = pair_indices(tests.difference.shape[-1])
    gap, error = np.abs(tests.difference[i, j]), np.sqrt(tests.variance[i, j])
    freedom, tested = tests.freedom[i, j], tests.tested[i, j]
    if not len(i):
        return np.zeros(0)
    # Holm's last step asks no more than alpha of a pair, and its first alpha / K of all.
    low = gap + t_quantile(freedom, 1.0 - alpha) * error
    high = gap + t_quantile(freedom, 1.0 - alpha / len(i)) * error
    sure = error == 0.0
    own = np.arange(len(i))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        # [K, K]: all pairs' p at the margin of each.
        shift = gap - middle[:, None]
        p = t_cdf(freedom, shift / np.where(sure, 1.0, error))
        p = np.where(sure, np.where(shift < 0.0, 0.0, 1.0), p)
        p = np.where(tested, p, 1.0)
        enough = holm(p)[own, own] <= alpha
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(tested, high, np.inf)


def pair_tests(methods: Sequence[Components], seeds: SeedVariance | None = None) -> RowTests:
    """Variances and degrees of freedom of all differences.

    V = R + the sum of max(E - C, 0): R holds the residuals already. Degrees of freedom by
    Satterthwaite 1946, less a half, as his are too many with few seeds; at least the smallest of
    those that go into it.

    Args:
        methods: M of them, over the same N rows.
        seeds: variances of their means over seeds; None raises low ones (``raised_variances``).
    """
    seeds = seeds or raised_variances(methods)
    size = len(methods)
    shape = (*methods[0].mean.shape, size, size)
    difference, variance, row_variance, skewness = (np.zeros(shape) for _ in range(4))
    freedom, differing = np.ones(shape), np.zeros(shape, dtype=np.intp)
    has_seeds = np.ones(shape, dtype=np.bool_)
    num_rows = methods[0].rows.shape[-1]
    ready = [m.fixed | (m.num_seeds >= MIN_SEEDS) for m in methods]
    for i in range(size):
        has_seeds[..., i, i] = ready[i]
    for i, j in itertools.combinations(range(size), 2):
        a, b = methods[i], methods[j]
        rounding = _ROUNDING * np.maximum(a.scale, b.scale)
        gap = a.mean - b.mean
        apart = a.rows - b.rows
        apart -= apart.mean(axis=-1, keepdims=True)
        squares_of_rows = np.einsum("...n,...n->...", apart, apart)
        by_rows = squares_of_rows / (num_rows - 1) / num_rows
        # Summed so that the order of the two methods makes no difference.
        parts = [seed_part(methods[k], seeds, k) for k in (i, j)]
        total = by_rows + (parts[0].extra + parts[1].extra)
        squares = by_rows**2 / (num_rows - 1) + (parts[0].squares + parts[1].squares)
        floor = np.minimum(num_rows - 1.0, np.minimum(parts[0].floor, parts[1].floor))
        sure = total <= rounding**2
        satterthwaite = total**2 / np.where(squares > 0.0, squares, 1.0) - 0.5
        difference[..., i, j] = np.where(np.abs(gap) <= rounding, 0.0, gap)
        difference[..., j, i] = -difference[..., i, j]
        _fill(variance, i, j, np.where(sure, 0.0, total))
        _fill(row_variance, i, j, by_rows)
        cubes = np.einsum("...n,...n,...n->...", apart, apart, apart)
        flat = by_rows <= rounding**2
        spread = np.where(flat, 1.0, squares_of_rows / num_rows) ** 1.5
        _fill(skewness, i, j, np.where(flat, 0.0, np.abs(cubes) / num_rows / spread))
        _fill(freedom, i, j, np.maximum(satterthwaite, floor))
        gaps = np.abs(a.row_means - b.row_means)
        scales = np.maximum(np.abs(a.row_means), np.abs(b.row_means))
        _fill(differing, i, j, (gaps > _ROUNDING * scales).any(axis=-1).sum(axis=-1))
        _fill(has_seeds, i, j, ready[i] & ready[j])
    return RowTests(
        difference=difference,
        variance=variance,
        row_variance=row_variance,
        skewness=skewness,
        freedom=freedom,
        differing_rows=differing,
        has_seeds=has_seeds,
        tested=has_seeds & (differing >= MIN_DIFFERING_ROWS),
    )


@dataclass(frozen=True, kw_only=True)
class SeedPart:
    """What one method's seeds add to a variance and to its degrees of freedom.

    Attributes:
        extra: [...] beyond the rows. squares: [...] of Satterthwaite's sum.
        floor: [...] the fewest degrees of freedom; infinite where it is fixed.
    """

    extra: Floats
    squares: Floats
    floor: Floats


def seed_part(method: Components, seeds: SeedVariance, position: int) -> SeedPart:
    """Args: method: one of a study. seeds: variances of all. position: of the method in them."""
    e, nu = seeds.variance[..., position], np.maximum(seeds.freedom[..., position], 1.0)
    return SeedPart(
        extra=np.maximum(e - method.residual, 0.0),
        squares=np.maximum(e, method.residual) ** 2 / nu,
        floor=np.where(method.fixed, np.inf, max(method.num_seeds - 1.0, 1.0)),
    )


def _fill(square: NDArray[Any], i: int, j: int, value: NDArray[Any]) -> None:
    square[..., i, j] = value
    square[..., j, i] = value
