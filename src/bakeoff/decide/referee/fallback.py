"""The method with the least expected regret, for where nothing is decided."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bakeoff.decide.referee.components import Components, SeedVariance
from bakeoff.decide.referee.distributions import t_quantile
from bakeoff.decide.referee.pairs import PairTests
from bakeoff.decide.referee.result import Fallback

_DRAWS = 4096
_SEED = 0


def least_regret(
    names: Sequence[str],
    methods: Sequence[Components],
    seeds: SeedVariance,
    tests: PairTests,
    *,
    considered: Sequence[int],
    costs: Sequence[float],
    sign: float,
    alpha: float,
) -> Fallback:
    """What to do all the same, and what it may cost.

    With no knowledge beyond the scores, the expected regret of a method is the expected best minus
    its own mean, so the best mean has the least. The bound is one-sided and allows for all others.

    Args:
        names: of all methods. methods: theirs, of one study. seeds: variances over seeds.
        tests: of all pairs. considered: the candidates and baselines among which to choose.
        costs: of all methods, where means are equal. sign: 1 where higher is better, else -1.
        alpha: 1 - level.
    """
    # By name, so that the draws do not depend on the order of the methods.
    order = sorted(considered, key=lambda k: names[k])
    means = {k: sign * float(methods[k].mean) for k in order}
    chosen = min(order, key=lambda k: (-means[k], costs[k], names[k]))
    others = [k for k in order if k != chosen]
    if not all(tests.has_seeds[k, k] for k in order):
        return Fallback(method=names[chosen], regret=None, bound=None)
    rows = np.stack([methods[k].rows for k in order])
    covariance = np.atleast_2d(np.cov(rows)) / rows.shape[-1]
    by_seeds = [max(float(seeds.variance[k]) - float(methods[k].residual), 0.0) for k in order]
    factor = np.linalg.eigh(covariance + np.diag(by_seeds))
    spread = factor.eigenvectors * np.sqrt(np.maximum(factor.eigenvalues, 0.0))
    normal = np.random.default_rng(_SEED).standard_normal((_DRAWS, len(order)))
    # Both signs of each draw, so that their mean is exact.
    errors = normal @ spread.T
    best = [np.max(np.array([means[k] for k in order]) + e, axis=1) for e in (errors, -errors)]
    regret = max(float(np.mean(best)) - means[chosen], 0.0)
    step = alpha / max(1, len(others))
    bound = 0.0
    for k in others:
        if not tests.tested[k, chosen]:
            return Fallback(method=names[chosen], regret=regret, bound=None)
        reach = float(t_quantile(tests.freedom[k, chosen], 1.0 - step))
        gap = means[k] - means[chosen]
        bound = max(bound, gap + reach * float(np.sqrt(tests.variance[k, chosen])))
    return Fallback(method=names[chosen], regret=regret, bound=bound)
