"""What the tests share holds whatever ran before."""

from __future__ import annotations

from hypothesis.internal.conjecture import providers

import bakeoff.limits


def test_cases_are_drawn_whatever_is_imported() -> None:
    """Hypothesis mixes the numbers and texts of all modules that are imported into its cases, so
    that those of a test depended on which tests its process had run."""
    assert bakeoff.limits.SECONDS  # a module with numbers of its own
    assert len(providers._get_local_constants()) == 0
