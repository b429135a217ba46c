"""Who takes the next free slot: candidates that may share a pass, in the study's order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bakeoff.engine.candidate import Candidate
from bakeoff.errors import CheckpointError
from bakeoff.execution.checkpoints import Checkpoints
from bakeoff.search.groups import PassGroup
from bakeoff.search.schedule import StudySchedule
from bakeoff.types import RunState

Note = Callable[[str], None]


@dataclass(frozen=True)
class RoundQueue:
    """The candidates of one group in one round, for one trainer.

    Attributes:
        schedule: the study's. group: whose candidates are handed out.
        checkpoints: where the states of paused ones are. note: called with what a reader must know.
    """

    schedule: StudySchedule
    group: PassGroup
    checkpoints: Checkpoints
    note: Note

    def waiting(self) -> list[Candidate]:
        """The candidates that could be seated now."""
        return self.schedule.waiting(self.group)

    def next(self) -> Candidate | None:
        """The next that waits; one that has trained already comes first."""
        found = min(self.waiting(), key=lambda c: not c.epochs, default=None)
        if found is not None:
            take_seat(found, self.checkpoints, self.note)
        return found

    def pauses(self, candidate: Candidate) -> bool:
        """See ``engine.schedule.Schedule``."""
        return self.schedule.pauses(candidate)


class OneEpoch:
    """The schedule of one candidate for one epoch.

    Args:
        candidate: who trains. schedule: the study's.
        checkpoints, note: see ``RoundQueue``.
    """

    def __init__(
        self, candidate: Candidate, schedule: StudySchedule, checkpoints: Checkpoints, note: Note
    ) -> None:
        self._candidate: Candidate | None = candidate
        self._trained, self._schedule = candidate, schedule
        self._checkpoints, self._note = checkpoints, note

    def next(self) -> Candidate | None:
        """See ``engine.schedule.Schedule``."""
        found, self._candidate = self._candidate, None
        if found is not None:
            take_seat(found, self._checkpoints, self._note)
        return found

    def pauses(self, candidate: Candidate) -> bool:
        """See ``engine.schedule.Schedule``."""
        return True

    def release(self) -> None:
        """Lets the candidate wait for its next slot, unless a rung of its search holds it."""
        if self._trained.state is RunState.PAUSED and not self._schedule.pauses(self._trained):
            self._trained.state = RunState.WAITING


def take_seat(candidate: Candidate, checkpoints: Checkpoints, note: Note) -> None:
    """Makes a waiting candidate ready for its slot; one whose paused state is lost starts again."""
    if candidate.epochs and candidate.snapshot is None:
        try:
            checkpoints.fetch(candidate)
        except CheckpointError as error:
            candidate.start_again()
            note(str(error))
    candidate.state = RunState.RUNNING
