"""What the driver accepts of its jobs: what a checkpoint holds, and each thing once.

Whatever a job reports is provisional, since a process that dies before its next checkpoint makes it
again. Once a checkpoint is on the disk, what is new in it goes into ``events.jsonl`` and into the
search's storage; a process that dies in between finds it there when it goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bakeoff.engine.candidate import Candidate
from bakeoff.runs.events import Ended, EventLog, Trained
from bakeoff.search.method_search import record_of
from bakeoff.search.schedule import StudySchedule

if TYPE_CHECKING:
    from bakeoff.search.storage import SearchStorage


class Acceptance:
    """Accepts what the schedule's candidates have come to.

    Args:
        events: the run's. schedule: the study's.
        storage: where the search is written for its dashboard, or None.
    """

    def __init__(
        self, events: EventLog, schedule: StudySchedule, storage: SearchStorage | None
    ) -> None:
        self._events, self._schedule, self._storage = events, schedule, storage
        self._known = {_key(e) for e in events.events if isinstance(e, Trained | Ended)}

    def accept(self) -> None:
        """Accepts what is new; called when a checkpoint holds it."""
        starts = {
            (job.cohort, seat.id): seat.start
            for job in self._events.jobs("train")
            for seat in job.seats
        }
        found: list[Trained | Ended] = []
        changed: list[Candidate] = []
        for candidate in self._schedule.candidates:
            start = starts.get((candidate.cohort or "", candidate.id))
            known = [] if start is None else _events_of(candidate, start)
            new = [event for event in known if _key(event) not in self._known]
            if new:
                found += new
                changed.append(candidate)
        self._events.add(*found)
        self._known |= set(map(_key, found))
        if self._storage is not None:
            for candidate in changed:
                if self._schedule.is_searched(candidate):
                    self._storage.write(record_of(candidate))


def _events_of(candidate: Candidate, start: int) -> list[Trained | Ended]:
    """All that a candidate came to in its present cohort.

    Args:
        candidate: which. start: epochs that it had been trained before.
    """
    assert candidate.cohort is not None
    found: list[Trained | Ended] = [
        Trained(cohort=candidate.cohort, candidate=candidate.id, epoch=epoch)
        for epoch in candidate.epochs[start:]
    ]
    if candidate.state.is_final:
        found.append(
            Ended(
                cohort=candidate.cohort,
                candidate=candidate.id,
                state=candidate.state,
                epochs=len(candidate.epochs),
                best_epoch=candidate.best_epoch,
                reason=candidate.reason,
            )
        )
    return found


def _key(event: Trained | Ended) -> tuple[object, ...]:
    """By what an event that comes again is known."""
    if isinstance(event, Trained):
        return event.cohort, event.candidate, event.epoch.epoch
    return event.cohort, event.candidate, event.state, event.epochs
