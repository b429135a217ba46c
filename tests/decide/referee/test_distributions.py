"""What SciPy's functions say, and where they say nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bakeoff.decide.referee.distributions import noncentral_t_cdf


@pytest.mark.parametrize("freedom", [4.0, 23.9, 200.0])
def test_a_noncentral_t_has_a_chance_however_far_off_its_shift_is(freedom: float) -> None:
    """SciPy has NaN where next to no chance is left."""
    shifts = np.linspace(-100.0, 100.0, 401)
    found = noncentral_t_cdf(freedom, shifts, 3.3)
    assert np.isfinite(found).all() and (np.diff(found) <= 1e-12).all()
    assert found[0] == 1.0 and found[-1] == pytest.approx(0.0, abs=1e-12)
    near = np.abs(shifts - 3.3) < 8.0
    np.testing.assert_allclose(found[near], stats.nct.cdf(3.3, freedom, shifts[near]), atol=1e-9)


def test_what_is_not_known_stays_so() -> None:
    assert np.isnan(noncentral_t_cdf(np.nan, 1.0, 3.3))
    assert np.isnan(noncentral_t_cdf(5.0, np.nan, 3.3))
