"""When training is saved, and when it stops."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bakeoff.engine.schedule import Position
from bakeoff.execution.checkpoints import Checkpoints, Progress
from bakeoff.execution.stopping import StopSignals
from bakeoff.ranks import first_says
from bakeoff.search.schedule import StudySchedule

_NEXT_EPOCH = 1.1
"""An epoch may take so many times what the one before it took."""


@dataclass
class RunSaver:
    """Saves at epoch ends and by the clock, and stops between two steps when asked to.

    Attributes:
        progress: what is saved besides the position.
        minutes: the longest training inside an epoch that may be lost.
        before: called before anything is saved. after: called once it is.
    """

    checkpoints: Checkpoints
    schedule: StudySchedule
    stop: StopSignals
    progress: Progress
    minutes: float
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None
    _longest: float = 0.0
    _last: float = field(default_factory=time.monotonic)

    def between_steps(self, position: Callable[[], Position]) -> None:
        """See ``engine.schedule.Saver``."""
        now = time.monotonic()
        self._longest, self._last = max(self._longest, now - self._last), now
        stop = self.stop.ask_in_training(self._longest)
        is_due = now - self.checkpoints.saved_at >= 60.0 * self.minutes
        # All processes of a run save after the same step, as they gather what is sharded.
        if stop is not None or first_says(is_due):
            self._save(position)
        if stop is not None:
            raise stop

    def between_epochs(self, position: Callable[[], Position]) -> None:
        """See ``engine.schedule.Saver``."""
        self._save(position)
        stop = self.stop.ask_in_training()
        if stop is not None:
            raise stop

    def cuts_epoch(self, seconds: float) -> bool:
        """See ``engine.schedule.Saver``."""
        left = self.stop.training_seconds_left if self.stop.shortens else None
        # Where nothing is left, validation would take what is kept for the tests.
        return left is not None and 0.0 < left <= seconds

    def ends_training(self, epoch_seconds: float) -> str | None:
        """See ``engine.schedule.Saver``."""
        left = self.stop.training_seconds_left if self.stop.shortens else None
        if left is None or left >= _NEXT_EPOCH * epoch_seconds:
            return None
        return "the time budget does not hold another epoch"

    def _save(self, position: Callable[[], Position]) -> None:
        self.before()
        self.checkpoints.save(self.schedule, replace(self.progress, position=position()))
        self.after()
        self._last = time.monotonic()
