"""The interval of one method's statistic, over other rows and other seeds."""

from __future__ import annotations

import numpy as np

from bakeoff.decide.referee.components import Components, SeedVariance
from bakeoff.decide.referee.distributions import t_quantile
from bakeoff.decide.referee.influence import Floats
from bakeoff.decide.referee.pairs import seed_part


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
