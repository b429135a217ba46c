"""How much a method's statistic moves with its seeds and with the rows.

Axis letters: S seeds, N rows, M methods. Arrays may have axes before these, one entry for each of
several studies that are judged at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bakeoff.decide.referee.influence import Bools, Floats, Influence

# With fewer seeds, the other methods' variance counts as much as four more of them ...
FEW_SEEDS = 5
_WEIGHT_OF_POOL = 4.0
# ... and from there on as much as one: enough where seeds' effects are skewed, so that a method
# with a low variance is often one that is far off as well, and little enough where methods vary
# very differently.
_WEIGHT_WITH_MORE_SEEDS = 1.0
# Fewer methods than this say too little of how seeds vary in general.
MIN_POOLED_METHODS = 4


@dataclass(frozen=True, kw_only=True)
class Components:
    """One method's statistic and the variances that its seeds show.

    Attributes:
        num_seeds: S.
        mean: [...] the mean of the seeds' statistics.
        values: [..., S] the statistics of the seeds.
        rows: [..., N] what each row adds to ``mean``.
        row_means: [..., N, C] see ``Influence``.
        seed_variance: [...] of ``mean``, from the seeds' spread; "A". Zero for one seed.
        residual: [...] the part of it that single scores make, after seeds and rows; "C".
        fixed: [...] whether another seed would change nothing.
        scale: [...] the largest score in absolute value, for what counts as rounding.
    """

    num_seeds: int
    mean: Floats
    values: Floats
    rows: Floats
    row_means: Floats
    seed_variance: Floats
    residual: Floats
    fixed: Bools
    scale: Floats


def components_of(influence: Influence, *, one_run_is_fixed: bool = False) -> Components:
    """The variance components of one method.

    Args:
        influence: of its scores, with at least two rows.
        one_run_is_fixed: whether a single run is all there is, as of a baseline without training.
    """
    u, seeds = influence.u, influence.num_seeds
    seed_means = influence.values
    rows = u.mean(axis=-2)
    mean = seed_means.mean(axis=-1)
    fixed = influence.identical | (one_run_is_fixed and seeds == 1)
    variance, residual = np.zeros_like(mean), np.zeros_like(mean)
    if seeds > 1:
        variance = seed_means.var(axis=-1, ddof=1) / seeds
        rest = u - rows[..., None, :] - seed_means[..., None]
        rest += mean[..., None, None]
        freedom = (seeds - 1) * (influence.num_rows - 1)
        squares = np.einsum("...sn,...sn->...", rest, rest)
        residual = squares / freedom / (seeds * influence.num_rows)
        variance, residual = np.where(fixed, 0.0, variance), np.where(fixed, 0.0, residual)
    return Components(
        num_seeds=seeds,
        mean=mean,
        values=seed_means,
        rows=rows,
        row_means=influence.row_means,
        seed_variance=variance,
        residual=residual,
        fixed=np.asarray(fixed, dtype=np.bool_),
        scale=np.abs(u).max(axis=(-2, -1)),
    )


@dataclass(frozen=True, kw_only=True)
class SeedVariance:
    """What is used as the variance of each method's mean over seeds.

    Attributes:
        variance: [..., M] "E". freedom: [..., M] its degrees of freedom; zero for a single seed.
    """

    variance: Floats
    freedom: Floats


def own_variances(methods: Sequence[Components]) -> SeedVariance:
    """Each method's own variance with S - 1 degrees of freedom."""
    variance = np.stack([m.seed_variance for m in methods], axis=-1)
    freedom = np.array([m.num_seeds - 1.0 for m in methods])
    return SeedVariance(variance=variance, freedom=np.broadcast_to(freedom, variance.shape))


def raised_variances(
    methods: Sequence[Components], *, with_more_seeds: float = _WEIGHT_WITH_MORE_SEEDS
) -> SeedVariance:
    """Own variances, of which low ones are raised towards those of the other methods.

    Three seeds often show too little of their spread by chance, and with many methods some always
    do. So a low variance is raised towards the mean of the others, the largest left out; none is
    lowered, as plain pooling would hide the method that varies most. Only with four methods or
    more that vary with their seeds.
    Source: Smyth 2004, "Linear models and empirical Bayes methods", here in one direction.

    Args:
        methods: all that take part.
        with_more_seeds: the degrees of freedom that the others count for from five seeds on.
    """
    own = own_variances(methods)
    seeds = own.freedom + 1.0
    fixed = np.stack([m.fixed for m in methods], axis=-1)
    counted = ~fixed & (own.freedom > 0.0)
    per_seed = seeds * own.variance
    largest = np.argmax(np.where(counted, per_seed, -1.0), axis=-1)
    pooled = counted & (np.arange(len(methods)) != largest[..., None])
    weights = np.where(pooled, own.freedom, 0.0)
    pool_freedom = weights.sum(axis=-1, keepdims=True)
    pool = (weights * per_seed).sum(axis=-1, keepdims=True) / np.maximum(pool_freedom, 1.0)
    enough = counted.sum(axis=-1, keepdims=True) >= MIN_POOLED_METHODS
    weight = np.where(seeds < FEW_SEEDS, _WEIGHT_OF_POOL, with_more_seeds)
    low = enough & counted & (per_seed < pool)
    raised = (weight * pool + own.freedom * per_seed) / (weight + own.freedom) / seeds
    return SeedVariance(
        variance=np.where(low, raised, own.variance),
        freedom=np.where(low, np.minimum(own.freedom + weight, pool_freedom), own.freedom),
    )
