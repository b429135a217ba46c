"""Waiting for what another thread or process does, with an end."""

from __future__ import annotations

import time
from collections.abc import Callable

LONGEST = 120.0
"""Seconds: far more than it takes on any machine, so that a test which waits in vain fails."""


def until(holds: Callable[[], object]) -> None:
    """Waits until it holds.

    Raises:
        AssertionError: it never did.
    """
    end = time.monotonic() + LONGEST
    while not holds():
        assert time.monotonic() < end, f"still not so after {LONGEST:g} seconds"
        time.sleep(0.001)
