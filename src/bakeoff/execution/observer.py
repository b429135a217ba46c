"""What is kept and reported as training goes on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from bakeoff.engine.candidate import Candidate
from bakeoff.engine.train import Trainer
from bakeoff.errors import StoreError
from bakeoff.execution.archive import Archive
from bakeoff.execution.checkpoints import Checkpoints
from bakeoff.execution.failures import reason_of
from bakeoff.execution.last_states import keep_last
from bakeoff.execution.progress import ProgressView
from bakeoff.runs.events import EventLog
from bakeoff.search.method_search import record_of
from bakeoff.search.schedule import Settled, StudySchedule
from bakeoff.types import RunState

if TYPE_CHECKING:
    from bakeoff.search.storage import SearchStorage

_log = logging.getLogger(__name__)


class Follower(Protocol):
    """What follows how candidates come on; it may cost no training."""

    def epoch(self, candidate: Candidate) -> None:
        """A candidate's epoch has been validated: its last record."""

    def end(self, candidate: Candidate) -> None:
        """A candidate reached a final state."""


class RunObserver:
    """Keeps what ends, and reports it.

    Attributes:
        trainer: the present one, which knows the slots and the micro-batch.
    """

    def __init__(
        self,
        archive: Archive,
        view: ProgressView,
        schedule: StudySchedule,
        checkpoints: Checkpoints,
        storage: SearchStorage | None = None,
        followers: Sequence[Follower] = (),
    ) -> None:
        self.archive = archive
        self.view = view
        self.schedule = schedule
        self.checkpoints = checkpoints
        self.storage = storage
        self.followers = followers
        self.on_step = view.on_step
        self.trainer: Trainer | None = None

    def on_epoch(self, candidate: Candidate) -> None:
        """Reports the epoch; it is accepted with the checkpoint that will hold it."""
        record = candidate.epochs[-1]
        _log.debug(
            "%s: epoch %d, train %.4f, validation %.4f, %.1f s",
            candidate.id,
            record.epoch,
            record.train_nll,
            record.val_nll,
            record.seconds,
        )
        self.view.on_epoch(candidate)
        for follower in self.followers:
            follower.epoch(candidate)

    def on_pause(self, candidate: Candidate) -> None:
        """Moves the candidate's state to the disk."""
        self.checkpoints.pause(candidate)

    def on_end(self, candidate: Candidate) -> None:
        """Writes the candidate, then reports it; one that cannot be written fails alone."""
        trainer = self.trainer
        self._keep(
            candidate,
            trainer.num_seated if trainer else None,
            trainer.micro_batch_size if trainer else None,
        )
        # Of the search's own candidates none goes on once it has ended.
        if (
            candidate.snapshot is not None
            and self.archive.bench.protocol.under(candidate.options).may_go_on
            and not self.schedule.is_searched(candidate)
        ):
            keep_last(self.archive.folder.path, candidate)
        candidate.snapshot = None

    def _keep(self, candidate: Candidate, slots: int | None, rows: int | None) -> None:
        try:
            self.archive.keep_candidate(candidate, slots=slots, rows=rows)
        except StoreError:
            raise
        except Exception as error:
            self.fail(candidate, error, "saving")
            return
        self._ended(candidate)

    def fail(self, candidate: Candidate, error: BaseException, what: str) -> None:
        """Marks a candidate as failed and writes its traceback."""
        candidate.state = RunState.FAILED
        candidate.reason = f"{what} failed: {reason_of(error)}"
        candidate.tensors = candidate.snapshot = None
        self.archive.keep_failure(candidate, error)
        self._ended(candidate)

    def _ended(self, candidate: Candidate) -> None:
        level = logging.ERROR if candidate.state is RunState.FAILED else logging.INFO
        _log.log(level, "%s: %s %s", candidate.id, candidate.state, candidate.reason or "")
        self.view.on_end(candidate)
        for follower in self.followers:
            follower.end(candidate)

    def on_note(self, note: str) -> None:
        """Keeps the note for the report."""
        _log.warning("%s", note)
        self.archive.keep_note(note)
        self.view.on_note(note)

    def on_settled(self, settled: Settled, events: EventLog) -> None:
        """Reports a decision of the search, and keeps the candidates that it ended and named.

        Args:
            settled: the decision. events: which jobs there were.
        """
        if settled.text:
            self.view.on_search(settled.text)
        jobs = {job.cohort: events.as_narrowed(job) for job in events.jobs("train")}
        for candidate in settled.pruned:
            job = jobs.get(candidate.cohort or "")
            self._keep(candidate, job.width if job else None, job.micro_batch_size if job else None)
        for candidate in settled.new:
            self._store(candidate)

    def _store(self, candidate: Candidate) -> None:
        """Writes how far a candidate of the search has come, for who looks at it."""
        if self.storage is not None and self.schedule.is_searched(candidate):
            self.storage.write(record_of(candidate))
