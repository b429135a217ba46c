"""Distributions, loaded where they are first needed: scipy takes a sixth of a second to import."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bakeoff.decide.referee.influence import Floats


def t_cdf(freedom: ArrayLike, t: ArrayLike) -> Floats:
    """The chance of at most ``t`` with so many degrees of freedom, elementwise."""
    from scipy.special import stdtr

    return np.asarray(stdtr(freedom, t), dtype=np.float64)


def t_quantile(freedom: ArrayLike, p: ArrayLike) -> Floats:
    """The value that t stays below with probability ``p``, elementwise."""
    from scipy.special import stdtrit

    return np.asarray(stdtrit(freedom, p), dtype=np.float64)


def noncentrality(freedom: ArrayLike, p: ArrayLike, t: ArrayLike) -> Floats:
    """The shift at which a noncentral t stays below ``t`` with probability ``p``."""
    from scipy.special import nctdtrinc

    return np.asarray(nctdtrinc(freedom, p, t), dtype=np.float64)


def noncentral_t_cdf(freedom: ArrayLike, shift: ArrayLike, t: ArrayLike) -> Floats:
    """The chance that a noncentral t with this shift is at most ``t``, elementwise."""
    from scipy.special import nctdtr

    chance = np.asarray(nctdtr(freedom, shift, t), dtype=np.float64)
    # Of shifts so far off that next to no chance is left SciPy has NaN.
    is_known = np.isfinite(np.add(np.add(freedom, shift), t)) & (np.asarray(freedom) > 0.0)
    is_far = np.isnan(chance) & is_known
    return np.where(is_far, np.where(np.less(shift, t), 1.0, 0.0), chance)


def chi_square_quantile(freedom: ArrayLike, p: ArrayLike) -> Floats:
    """The value that a chi-square stays below with probability ``p``, elementwise."""
    from scipy.special import gammaincinv

    half = np.asarray(freedom, dtype=np.float64) / 2.0
    return np.asarray(2.0 * gammaincinv(half, p), dtype=np.float64)


def normal_cdf(z: ArrayLike) -> Floats:
    """The chance of at most ``z``, elementwise."""
    from scipy.special import ndtr

    return np.asarray(ndtr(z), dtype=np.float64)
