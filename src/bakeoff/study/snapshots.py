"""The results as far as they are, written while the study runs, for `--live`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from bakeoff.engine.candidate import Candidate

LEAST_SECONDS: Final = 4.0
MOST_SHARE: Final = 0.02
"""Of the run's time that writing may take."""


class Snapshots:
    """Writes partial results when something has happened, but not too often.

    Args:
        write: writes the results as they are. notify: called when they are new.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        write: Callable[[], None],
        notify: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write, self._notify, self._clock = write, notify, clock
        self._next = 0.0

    def epoch(self, candidate: Candidate) -> None:
        """See ``observer.Follower``."""
        self.take()

    def end(self, candidate: Candidate) -> None:
        """See ``observer.Follower``."""
        self.take()

    def take(self) -> None:
        """Writes the results if it is time."""
        started = self._clock()
        if started < self._next:
            return
        self._write()
        ended = self._clock()
        self._next = ended + max(LEAST_SECONDS, (ended - started) / MOST_SHARE)
        self._notify()
