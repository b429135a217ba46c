"""Student's t, loaded where it is first needed: scipy takes a sixth of a second to import."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bakeoff.decide.influence import Floats


def t_cdf(freedom: ArrayLike, t: ArrayLike) -> Floats:
    """The chance of at most ``t`` with so many degrees of freedom, elementwise."""
    from scipy.special import stdtr

    return np.asarray(stdtr(freedom, t), dtype=np.float64)


def t_quantile(freedom: ArrayLike, p: ArrayLike) -> Floats:
    """The value that t stays below with probability ``p``, elementwise."""
    from scipy.special import stdtrit

    return np.asarray(stdtrit(freedom, p), dtype=np.float64)
