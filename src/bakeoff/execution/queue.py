"""Who takes the next free slot: candidates that may share a pass, in the study's order."""

from __future__ import annotations

from collections.abc import Callable

from bakeoff.engine.candidate import Candidate
from bakeoff.errors import CheckpointError
from bakeoff.execution.checkpoints import Checkpoints
from bakeoff.runs.events import CohortJob
from bakeoff.search.schedule import StudySchedule
from bakeoff.types import RunState

Note = Callable[[str], None]


class JobQueue:
    """The candidates of one job, for one trainer.

    Args:
        job: whose candidates are handed out; those that the study has no more are passed over.
        schedule: the study's.
        checkpoints: where the states of paused ones are. note: called with what a reader must know.
    """

    def __init__(
        self, job: CohortJob, schedule: StudySchedule, checkpoints: Checkpoints, note: Note
    ) -> None:
        self.job = job
        self._checkpoints, self._note = checkpoints, note
        by_id = {candidate.id: candidate for candidate in schedule.candidates}
        self._seats = [(by_id[seat.id], seat) for seat in job.seats if seat.id in by_id]

    def waiting(self) -> list[Candidate]:
        """The candidates that could be seated now."""
        return [
            candidate
            for candidate, seat in self._seats
            if candidate.state is RunState.WAITING
            and seat.start <= len(candidate.epochs) < seat.stop
        ]

    def next(self) -> Candidate | None:
        """The next that waits; one that has trained already comes first."""
        found = min(self.waiting(), key=lambda c: not c.epochs, default=None)
        if found is not None:
            take_seat(found, self._checkpoints, self._note)
            found.cohort = self.job.cohort
        return found

    def pauses(self, candidate: Candidate) -> bool:
        """See ``engine.schedule.Schedule``."""
        return any(c is candidate and len(c.epochs) >= seat.stop for c, seat in self._seats)


class OneEpoch:
    """The schedule of one candidate for one epoch.

    Args:
        candidate: who trains. schedule: the study's.
        checkpoints, note: see ``JobQueue``.
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
