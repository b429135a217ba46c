"""All training of a study: execution paths, their batch sources, and failures kept apart."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from bakeoff.base.model import Base
from bakeoff.data.batches import BatchPlan
from bakeoff.engine.backends.memory import free_bytes, is_out_of_memory, release_memory
from bakeoff.engine.batch_source import (
    BatchSource,
    HiddenStateSource,
    TokenSource,
    keep_hidden_states,
)
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.schedule import Position, Schedule
from bakeoff.engine.score import EVALUATION_ROWS
from bakeoff.engine.train import Trainer
from bakeoff.engine.workbench import Workbench
from bakeoff.errors import StoreError
from bakeoff.execution.archive import Archive
from bakeoff.execution.checkpoints import Checkpoints, Progress
from bakeoff.execution.failures import reason_of
from bakeoff.execution.progress import ProgressView
from bakeoff.execution.saving import RunSaver
from bakeoff.execution.stopping import StopSignals
from bakeoff.methods.contract import ExecutionPath
from bakeoff.search.schedule import PathSchedule, StudySchedule
from bakeoff.types import RunState

_log = logging.getLogger(__name__)
_MEMORY_SHARE = 0.25
"""Hidden states larger than this share of the free memory go to a file."""


class Follower(Protocol):
    """What follows how candidates come on; it may cost no training."""

    def epoch(self, candidate: Candidate) -> None:
        """A candidate's epoch has been validated: its last record."""

    def end(self, candidate: Candidate) -> None:
        """A candidate reached a final state."""


class RunObserver:
    """Keeps what ends, and reports it.

    Attributes:
        kept: ids of the candidates that have ended and are written.
        trainer: the present one, which knows the slots and the micro-batch.
    """

    def __init__(
        self,
        archive: Archive,
        view: ProgressView,
        schedule: StudySchedule,
        checkpoints: Checkpoints,
        followers: Sequence[Follower] = (),
    ) -> None:
        self.kept: set[str] = set()
        self.archive = archive
        self.view = view
        self.schedule = schedule
        self.checkpoints = checkpoints
        self.followers = followers
        self.on_step = view.on_step
        self.trainer: Trainer | None = None

    def on_epoch(self, candidate: Candidate) -> None:
        """Writes the epoch into the search, then reports it."""
        record = candidate.epochs[-1]
        _log.debug(
            "%s: epoch %d, train %.4f, validation %.4f, %.1f s",
            candidate.id,
            record.epoch,
            record.train_nll,
            record.val_nll,
            record.seconds,
        )
        self.schedule.note(candidate)
        self.view.on_epoch(candidate)
        for follower in self.followers:
            follower.epoch(candidate)

    def on_pause(self, candidate: Candidate) -> None:
        """Moves the candidate's state to the disk."""
        self.checkpoints.pause(candidate)

    def on_end(self, candidate: Candidate) -> None:
        """Writes the candidate, then reports it; one that cannot be written fails alone."""
        trainer = self.trainer
        try:
            self.archive.keep_candidate(
                candidate,
                slots=trainer.num_seated if trainer else None,
                rows=trainer.micro_batch_size if trainer else None,
            )
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
        self.schedule.note(candidate)
        self.kept.add(candidate.id)
        self.view.on_end(candidate)
        for follower in self.followers:
            follower.end(candidate)

    def on_note(self, note: str) -> None:
        """Keeps the note for the report."""
        _log.warning("%s", note)
        self.archive.keep_note(note)
        self.view.on_note(note)


@dataclass
class TrainingStage:
    """All training of a study: one execution path after the other, until no candidate waits.

    Attributes:
        slots: candidates in one pass, by execution path; decided once, as rounding depends on it.
        checkpoint_minutes: the longest training inside an epoch that a crash can cost.
        followers: what else follows epochs and ends.
    """

    bench: Workbench
    schedule: StudySchedule
    archive: Archive
    view: ProgressView
    checkpoints: Checkpoints
    stop: StopSignals
    slots: dict[str, int]
    checkpoint_minutes: float = 10.0
    followers: Sequence[Follower] = ()

    def run(self, start: Progress | None) -> None:
        """Trains all candidates.

        Args:
            start: where an earlier call stopped.

        Raises:
            Stopped: if the run was asked to; all is saved by then.
            StoreError: if the disk takes no more.
        """
        position = start.position if start else None
        execution_path = ExecutionPath(start.execution_path) if start and position else None
        observer = RunObserver(
            self.archive, self.view, self.schedule, self.checkpoints, self.followers
        )
        self.schedule.on_pruned = observer.on_end
        while True:
            if position is None:
                execution_path = next(
                    (g for g in ExecutionPath if self.schedule.of(g).waiting()), None
                )
            if execution_path is None:
                # Says that training is over, whatever is lost of the stages that follow.
                self.checkpoints.save(self.schedule, Progress(slots=self.slots))
                return
            self._train_path(execution_path, position, observer)
            position = None

    def _train_path(
        self, execution_path: ExecutionPath, position: Position | None, observer: RunObserver
    ) -> None:
        """Trains what waits on one execution path; a failure stays with its candidate."""
        part = self.schedule.of(execution_path)
        if execution_path.value not in self.slots:
            self.slots[execution_path.value] = self.bench.num_slots(part.waiting())
        failure = self._attempt(execution_path, part, position, observer)
        if failure is None:
            return
        suspects = self._set_back(failure, part, observer)
        if len(suspects) == 1 and len(failure.present) <= 1:
            observer.fail(suspects[0], failure.error, "training")
        elif failure.is_short_of_memory or self.slots[execution_path.value] == 1:
            self.slots[execution_path.value] = 1
            observer.on_note(
                f"memory is too small for {len(suspects)} candidates in one pass; each goes alone"
            )
        else:
            failure.error.__traceback__ = None
            self._find_culprit(suspects, execution_path, observer)
        self.schedule.settle()

    def _attempt(
        self,
        execution_path: ExecutionPath,
        schedule: Schedule,
        position: Position | None,
        observer: RunObserver,
    ) -> _Failure | None:
        """Trains the candidates of a schedule; returns what went wrong, if anything did."""
        trainer: Trainer | None = None
        try:
            with ExitStack() as stack:
                plans = self.bench.plans
                batch_source = open_batch_source(
                    self.bench.base, execution_path, [plans["train"], plans["validation"]], stack
                )
                saver = RunSaver(
                    self.checkpoints,
                    self.schedule,
                    self.stop,
                    Progress(slots=self.slots, execution_path=execution_path.value),
                    self.checkpoint_minutes,
                )
                trainer = Trainer(
                    self.bench.base,
                    batch_source,
                    plans["train"],
                    plans["validation"],
                    self.bench.protocol,
                    observer,
                    self.slots[execution_path.value],
                    saver,
                    self.bench.engine,
                )
                observer.trainer = trainer
                stack.enter_context(self.stop.deferred())
                trainer.run(schedule, position)
            return None
        except StoreError:
            raise
        except Exception as error:  # whatever it is, the others go on
            present = trainer.present if trainer and trainer.present else None
            found = _Failure(
                error=error,
                present=present or (position.seated if position else []),
                is_short_of_memory=is_out_of_memory(error),
            )
        finally:
            observer.trainer = None
        self.view.clear()
        return found

    def _set_back(
        self, failure: _Failure, part: PathSchedule, observer: RunObserver
    ) -> list[Candidate]:
        """Sets the candidates that were in the failed pass back to their last whole epoch.

        Returns:
            Those that have not ended: one of them, or all together, failed.
        """
        present = failure.present or part.waiting()[:1]
        suspects = [c for c in present if c.id not in observer.kept]
        if len(present) > 1:
            # The error's frames hold the cohort, and its memory with it.
            failure.error.__traceback__ = None
        release_memory()
        self.checkpoints.set_back(suspects)
        return suspects

    def _find_culprit(
        self, suspects: Sequence[Candidate], execution_path: ExecutionPath, observer: RunObserver
    ) -> None:
        """Trains one epoch of each alone until one fails; the others go on together after it."""
        for candidate in suspects:
            single = _OneEpoch(candidate, self.schedule)
            failure = self._attempt(execution_path, single, None, observer)
            if failure is not None:
                if candidate.id not in observer.kept:
                    observer.fail(candidate, failure.error, "training")
                return
            single.release()
        if len(suspects) > 1:
            # Each passes alone: what failed is the pass of all of them.
            self.slots[execution_path.value] = 1
            observer.on_note(
                f"{len(suspects)} candidates failed in one pass and none of them alone; each goes "
                "alone"
            )


@dataclass(frozen=True, kw_only=True)
class _Failure:
    """What ended a trainer.

    Attributes:
        present: the candidates that would lose training by it.
    """

    error: Exception
    present: Sequence[Candidate]
    is_short_of_memory: bool


class _OneEpoch:
    """The schedule of one candidate for one epoch."""

    def __init__(self, candidate: Candidate, whole: StudySchedule) -> None:
        self._candidate: Candidate | None = candidate
        self._trained, self._whole = candidate, whole

    def next(self) -> Candidate | None:
        """See ``engine.schedule.Schedule``."""
        found, self._candidate = self._candidate, None
        if found is not None:
            if found.epochs and found.snapshot is None:
                self._whole.on_return(found)
            found.state = RunState.RUNNING
        return found

    def pauses(self, candidate: Candidate) -> bool:
        """See ``engine.schedule.Schedule``."""
        return True

    def settle(self) -> None:
        """See ``engine.schedule.Schedule``: decisions wait until the others are as far."""

    def release(self) -> None:
        """Lets the candidate wait for its next slot, unless a rung of its search holds it."""
        if self._trained.state is RunState.PAUSED and not self._whole.pauses(self._trained):
            self._trained.state = RunState.WAITING


def open_batch_source(
    base: Base, execution_path: ExecutionPath, plans: Sequence[BatchPlan], stack: ExitStack
) -> BatchSource:
    """The batch source of an execution path; hidden states of ``plans`` are computed here, once.

    Args:
        base: the base. execution_path: what the candidates train on.
        plans: the splits that will be fed.
        stack: closes what was opened, such as a temporary folder.
    """
    if execution_path is not ExecutionPath.HIDDEN_STATES:
        return TokenSource(base.device)
    kept: dict[BatchPlan, Tensor] = {}
    folder: Path | None = None
    with Cohort(base, [], 1) as empty:
        for plan in plans:
            num_bytes = plan.num_targets * base.width * base.compute_dtype.itemsize
            path = None
            if num_bytes > _MEMORY_SHARE * free_bytes(base.device):
                if folder is None:
                    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                path = str(folder / f"hidden{len(kept)}.bin")
            kept[plan] = keep_hidden_states(empty, plan, rows=EVALUATION_ROWS, path=path)
    return HiddenStateSource(kept, base.device)
