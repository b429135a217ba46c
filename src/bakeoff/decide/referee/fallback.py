"""The method with the least expected regret, for where nothing is decided."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bakeoff.decide.referee.distributions import t_quantile
from bakeoff.decide.referee.evidence import Evidence
from bakeoff.decide.referee.influence import Floats
from bakeoff.runs.decisions import Fallback

_DRAWS = 4096
_SEED = 0


def least_regret(
    evidence: Evidence,
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
        evidence: of all methods. considered: the candidates and baselines among which to choose.
        costs: of all methods, where means are equal. sign: 1 where higher is better, else -1.
        alpha: 1 - level.
    """
    names, tests = evidence.names, evidence.tests
    # By name, so that the draws do not depend on the order of the methods.
    order = sorted(considered, key=lambda k: names[k])
    means = {k: sign * evidence.means[k] for k in order}
    chosen = min(order, key=lambda k: (-means[k], costs[k], names[k]))
    others = [k for k in order if k != chosen]
    variance = tests.variance[np.ix_(order, order)]
    is_known = bool(np.isfinite(variance).all())
    if not is_known or not all(tests.has_seeds[k, k] for k in order):
        return Fallback(method=names[chosen], regret=None, bound=None)
    regret = _expected_gain(
        np.array([means[k] - means[chosen] for k in others]), _covariance(evidence, chosen, others)
    )
    step = alpha / max(1, len(others))
    bound = 0.0
    for k in others:
        if not tests.tested[k, chosen]:
            return Fallback(method=names[chosen], regret=regret, bound=None)
        reach = float(t_quantile(tests.freedom[k, chosen], 1.0 - step))
        gap = means[k] - means[chosen]
        bound = max(bound, gap + reach * float(np.sqrt(tests.variance[k, chosen])))
    return Fallback(method=names[chosen], regret=regret, bound=bound)


def _covariance(evidence: Evidence, chosen: int, others: Sequence[int]) -> Floats:
    """Of the differences from the chosen one, which the variances of all differences hold."""
    variance = evidence.tests.variance
    own = variance[others, chosen]
    return np.asarray((own[:, None] + own[None, :] - variance[np.ix_(others, others)]) / 2.0)


def _expected_gain(gaps: Floats, covariance: Floats) -> float:
    """How much better the best is expected to be than the chosen one, whose gap is zero."""
    if not len(gaps):
        return 0.0
    factor = np.linalg.eigh(covariance)
    spread = factor.eigenvectors * np.sqrt(np.maximum(factor.eigenvalues, 0.0))
    normal = np.random.default_rng(_SEED).standard_normal((_DRAWS, len(gaps)))
    # Both signs of each draw, so that their mean is exact.
    errors = normal @ spread.T
    best = [np.maximum(np.max(gaps + e, axis=1), 0.0) for e in (errors, -errors)]
    return float(np.mean(best))
