"""The interval of one method's statistic, over other rows and other seeds."""

from __future__ import annotations

import math

import numpy as np

from bakeoff.decide.referee.components import Components, SeedVariance
from bakeoff.decide.referee.distributions import t_quantile
from bakeoff.decide.referee.influence import Floats
from bakeoff.decide.referee.pairs import seed_part

# Beyond it a share is a bound, and an exponential near its limit.
_MOST_LOG_ODDS = 300.0


def half_width(method: Components, seeds: SeedVariance, position: int, alpha: float) -> Floats:
    """Half of the interval around ``method.mean``, not corrected for the number of methods.

    V = R + max(E - C, 0), with the degrees of freedom of ``pair_tests``. With one seed, or where
    the method is fixed, it knows of other rows only.

    Args:
        method: one of a study, with two or more rows.
        seeds: variances of all its methods. position: of the method in them.
        alpha: 1 - coverage.

    Returns:
        [...] in the metric's unit.
    """
    num_rows = method.rows.shape[-1]
    by_rows = method.rows.var(axis=-1, ddof=1) / num_rows
    part = seed_part(method, seeds, position)
    total = by_rows + part.extra
    squares = by_rows**2 / (num_rows - 1) + part.squares
    floor = np.minimum(num_rows - 1.0, part.floor) if method.num_seeds > 1 else num_rows - 1.0
    freedom = np.maximum(total**2 / np.where(squares > 0.0, squares, 1.0) - 0.5, floor)
    return np.asarray(t_quantile(freedom, 1.0 - alpha / 2.0) * np.sqrt(total))


def within_bounds(
    mean: float,
    width: float,
    bounds: tuple[float | None, float | None],
    num_rows: int,
    alpha: float,
) -> tuple[float, float]:
    """An interval that stays where the statistic can be.

    Between two bounds it is taken on the scale of log odds and brought back: near a bound, as of an
    accuracy of 0.95 over 50 rows, ``mean`` ± ``width`` holds the truth in 88 % only, and this in
    96 %. At a bound itself the rows show no spread; then it reaches as far as a share may that is
    not seen in so many rows (Clopper and Pearson 1934). With one bound, or none, it is cut there.

    Args:
        mean: the statistic. width: half of its interval (``half_width``).
        bounds: the least and the largest value that it can have, None where there is none.
        num_rows: of the test set, or groups. alpha: 1 - coverage.
    """
    least, most = bounds
    if least is None or most is None or not least <= mean <= most:
        low = mean - width if least is None else max(mean - width, least)
        high = mean + width if most is None else min(mean + width, most)
        return min(low, mean), max(high, mean)
    span = most - least
    unseen = span * (1.0 - (alpha / 2.0) ** (1.0 / num_rows))
    if mean in (least, most):
        return max(least, mean - unseen), min(most, mean + unseen)
    share = (mean - least) / span
    odds = math.log(share / (1.0 - share))
    reach = min(width / span / (share * (1.0 - share)), _MOST_LOG_ODDS)
    low, high = (least + span / (1.0 + math.exp(-(odds + d))) for d in (-reach, reach))
    return min(low, mean), max(high, mean)
