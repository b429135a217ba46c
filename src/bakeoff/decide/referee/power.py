"""What a design can find, before anything is spent on it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from bakeoff.decide.referee.design import PairSpread
from bakeoff.decide.referee.distributions import (
    chi_square_quantile,
    noncentrality,
    normal_cdf,
    t_quantile,
)
from bakeoff.decide.referee.needs import needed
from bakeoff.decide.referee.pairs import MIN_DIFFERING_ROWS, MIN_SEEDS
from bakeoff.runs.decisions import Needs

_CHANCE = 0.8
_QUADRATURE = 400


@dataclass(frozen=True, kw_only=True)
class Power:
    """What a design of so many seeds and rows can say of a pair of methods.

    Attributes:
        detectable: the difference that is found with 80 % probability; infinite where the design
            says nothing of any.
        recognised: the share of pairs of equal methods that are called equivalent.
        limit: what prevents the margin: ``rows`` where no number of seeds would do,
            else ``seeds``; None where nothing does.
        needs: the least sizes that would do; None where these do, or none within reach does.
    """

    detectable: float
    recognised: float
    limit: Literal["rows", "seeds"] | None
    needs: Needs | None


def typical_spread(*, row: float, seed: float, residual: float = 0.0) -> PairSpread:
    """The variances of a pair from standard deviations, the same for both methods.

    Args:
        row: of the difference of two methods from row to row, with seeds averaged out.
        seed: of a method's statistic from seed to seed. residual: of a single score beside both.
    """
    return PairSpread(row=row**2, seeds=(seed**2,) * 2, residuals=(residual**2,) * 2)


def pair_power(
    spread: PairSpread, *, seeds: int, rows: int, num_methods: int, margin: float, alpha: float
) -> Power:
    """What may be expected of a design.

    Each pair is taken at alpha / K, as Holm's procedure begins; the other pairs' verdicts only make
    it easier.

    Args:
        spread: what two methods' scores vary by, from earlier studies or defaults.
        seeds: of each method. rows: of the test set (or groups).
        num_methods: baselines included. margin: what does not matter. alpha: 1 - level.
    """
    pairs = max(1, num_methods * (num_methods - 1) // 2)
    step = alpha / pairs
    varied = any(v > 0.0 for v in (*spread.seeds, *spread.residuals))
    if rows < MIN_DIFFERING_ROWS or (varied and seeds < MIN_SEEDS):
        detectable, recognised = math.inf, 0.0
    else:
        error = math.sqrt(float(spread.variance(seeds, rows)))
        freedom = float(spread.freedom(seeds, rows))
        detectable = error * _detectable_in_errors(freedom, step)
        recognised = _recognised(error, freedom, margin, step)
    needs = needed(spread, seeds=seeds, rows=rows, margin=margin, alpha=step)
    if needs is not None and needs.rows is None and rows < MIN_DIFFERING_ROWS:
        needs = replace(needs, rows=MIN_DIFFERING_ROWS)
    if needs is None:
        alone = PairSpread(row=spread.row, seeds=(), residuals=())
        by_rows = needed(alone, seeds=MIN_SEEDS, rows=rows, margin=margin, alpha=step)
        limit: Literal["rows", "seeds"] = "seeds"
        if by_rows is None or by_rows.rows is not None:
            limit = "rows"
        return Power(detectable=detectable, recognised=recognised, limit=limit, needs=None)
    if needs.seeds is None and needs.rows is None:
        if varied and seeds < MIN_SEEDS:
            needs = Needs(seeds=MIN_SEEDS, rows=None)
            return Power(detectable=detectable, recognised=recognised, limit="seeds", needs=needs)
        return Power(detectable=detectable, recognised=recognised, limit=None, needs=None)
    return Power(
        detectable=detectable,
        recognised=recognised,
        limit="seeds" if needs.rows is None else "rows",
        needs=needs,
    )


def _detectable_in_errors(freedom: float, alpha: float) -> float:
    """The difference, in standard errors, that a two-sided t-test finds with 80 %."""
    critical = float(t_quantile(freedom, 1.0 - alpha / 2.0))
    return float(noncentrality(freedom, 1.0 - _CHANCE, critical))


def _recognised(error: float, freedom: float, margin: float, alpha: float) -> float:
    """The chance that both one-sided tests reject where there is no difference.

    The estimate is normal and its variance a scaled chi-square, by which it is averaged.
    """
    if error == 0.0:
        return 1.0 if margin > 0.0 else 0.0
    critical = float(t_quantile(freedom, 1.0 - alpha))
    middles = (np.arange(_QUADRATURE) + 0.5) / _QUADRATURE
    estimated = error * np.sqrt(chi_square_quantile(freedom, middles) / freedom)
    room = (margin - critical * estimated) / error
    return float(np.maximum(2.0 * normal_cdf(room) - 1.0, 0.0).mean())
