"""All training of a study: execution paths, their batch sources, and failures kept apart."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import torch
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
from bakeoff.execution.acceptance import Acceptance
from bakeoff.execution.archive import Archive
from bakeoff.execution.checkpoints import Checkpoints, Progress
from bakeoff.execution.observer import Follower, RunObserver
from bakeoff.execution.packing import pack_training
from bakeoff.execution.progress import ProgressView
from bakeoff.execution.queue import JobQueue, OneEpoch
from bakeoff.execution.saving import RunSaver
from bakeoff.execution.stopping import StopSignals
from bakeoff.methods.contract import ExecutionPath
from bakeoff.runs.events import CohortJob, EventLog, Narrowed
from bakeoff.search.groups import PassGroup, group_of
from bakeoff.search.schedule import StudySchedule

if TYPE_CHECKING:
    from bakeoff.search.storage import SearchStorage

_MEMORY_SHARE = 0.25
"""Hidden states larger than this share of the free memory go to a file."""


@dataclass
class TrainingStage:
    """All training of a study: one execution path after the other, until no candidate waits.

    An execution path trains in rounds. A round is over when each of its candidates has paused or
    ended; only then is decided who goes on, and who comes.

    Attributes:
        events: which jobs there are; new ones are added.
        storage: where the search is written for its dashboard, or None.
        checkpoint_minutes: the longest training inside an epoch that a crash can cost.
        followers: what else follows epochs and ends.
    """

    bench: Workbench
    schedule: StudySchedule
    archive: Archive
    view: ProgressView
    checkpoints: Checkpoints
    stop: StopSignals
    events: EventLog
    storage: SearchStorage | None = None
    checkpoint_minutes: float = 10.0
    followers: Sequence[Follower] = ()

    def __post_init__(self) -> None:
        self._sources = _Sources()
        self._older: Progress | None = None
        self._acceptance = Acceptance(self.events, self.schedule, self.storage)
        self._benches: dict[PassGroup, Workbench] = {}

    def run(self, start: Progress | None) -> None:
        """Trains all candidates.

        Args:
            start: where an earlier call stopped.

        Raises:
            Stopped: if the run was asked to; all is saved by then.
            StoreError: if the disk takes no more.
        """
        self._older = start if start and not self.events.jobs("train") else None
        position = start.position if start else None
        group = group_of(position.seated[0]) if position else None
        if start is not None and position is None:
            groups = map(group_of, self.schedule.candidates)
            group = next((one for one in groups if one.key == start.group), None)
        observer = RunObserver(
            self.archive, self.view, self.schedule, self.checkpoints, self.storage, self.followers
        )
        # What a checkpoint holds and a process that died did not come to accept.
        self._acceptance.accept()
        with self._sources:
            while True:
                if position is None:
                    group = self._next_group(group, observer)
                if group is None:
                    # Says that training is over, whatever is lost of the stages that follow.
                    self.checkpoints.save(self.schedule, Progress())
                    self._acceptance.accept()
                    return
                self._train_round(group, position, observer)
                position = None
                # The job's last events are accepted before any of its candidates gets another.
                self.checkpoints.save(self.schedule, Progress(group=group.key))
                self._acceptance.accept()

    def _next_group(self, before: PassGroup | None, observer: RunObserver) -> PassGroup | None:
        """Who trains next; once an execution path's round is over, decisions come first."""
        waiting = self.schedule.groups_waiting()
        if before is not None:
            same_path = [g for g in waiting if g.execution_path is before.execution_path]
            if same_path:
                return before if before in same_path else same_path[0]
        for settled in self.schedule.settle():
            observer.on_settled(settled, self.events)
        return next(iter(self.schedule.groups_waiting()), None)

    def _group(self, job: CohortJob) -> PassGroup:
        """Who may share the job's pass."""
        return next(group_of(c) for c in self.schedule.candidates if group_of(c).key == job.group)

    def _bench(self, group: PassGroup) -> Workbench:
        """The study under a group's protocol."""
        if group not in self._benches:
            protocol = self.bench.protocol.under(dict(group.overrides))
            is_same = protocol == self.bench.protocol
            self._benches[group] = self.bench if is_same else replace(self.bench, protocol=protocol)
        return self._benches[group]

    def _train_round(
        self, group: PassGroup, position: Position | None, observer: RunObserver
    ) -> None:
        """Trains the next job of a group; a failure stays with its candidate."""
        job = self._job(group, position)
        self.checkpoints.enter(job.cohort)
        queue = JobQueue(job, self.schedule, self.checkpoints, observer.on_note)
        failure = self._attempt(job, queue, position, observer)
        if failure is None:
            return
        suspects = self._set_back(failure, queue, observer)
        if len(suspects) == 1 and len(failure.present) <= 1:
            observer.fail(suspects[0], failure.error, "training")
        elif failure.is_short_of_memory or self.events.as_narrowed(job).width == 1:
            self._narrow(job, width=1)
            observer.on_note(
                f"memory is too small for {len(suspects)} candidates in one pass; each goes alone"
            )
        else:
            failure.error.__traceback__ = None
            self._find_culprit(suspects, job, observer)

    def _job(self, group: PassGroup, position: Position | None) -> CohortJob:
        """The job that goes on, or the next one of a group."""
        seated = [c for c in position.seated if not c.state.is_final] if position else []
        bench, older = self._bench(group), self._older

        def stop(candidate: Candidate) -> int:
            rungs = self.schedule.rungs if self.schedule.is_searched(candidate) else ()
            later = (rung for rung in rungs if rung > len(candidate.epochs))
            return min(later, default=bench.protocol.epochs)

        def num_slots(candidates: Sequence[Candidate]) -> int:
            # A checkpoint of before there were jobs says how wide its cohort is.
            known = older.slots.get(group.key) if older else None
            return known or bench.num_slots(candidates)

        rows = older.micro_batch_sizes.get(group.key) if older else None
        return pack_training(
            [*seated, *self.schedule.waiting(group)],
            self.events,
            group=group.key,
            stop=stop,
            num_slots=num_slots,
            micro_batch_size=rows or bench.protocol.micro_batch_size,
        )

    def _narrow(self, job: CohortJob, *, width: int | None = None, rows: int | None = None) -> None:
        """Writes down what memory has made of a job's passes, once."""
        held = self.events.as_narrowed(job)
        found = Narrowed(
            cohort=job.cohort,
            group=job.group,
            width=min(held.width, width or held.width),
            micro_batch_size=min(held.micro_batch_size, rows or held.micro_batch_size),
        )
        if (found.width, found.micro_batch_size) != (held.width, held.micro_batch_size):
            self.events.add(found)

    def _attempt(
        self,
        job: CohortJob,
        schedule: Schedule,
        position: Position | None,
        observer: RunObserver,
    ) -> _Failure | None:
        """Trains the candidates of a schedule; returns what went wrong, if anything did."""
        trainer: Trainer | None = None
        try:
            group, held = self._group(job), self.events.as_narrowed(job)
            bench = self._bench(group)
            plans = bench.plans
            saver = RunSaver(
                self.checkpoints,
                self.schedule,
                self.stop,
                Progress(),
                self.checkpoint_minutes,
                # What memory has halved is halved for good, also if this process is killed.
                before=lambda: self._narrow(job, rows=trainer.micro_batch_size if trainer else 0),
                after=self._acceptance.accept,
            )
            trainer = Trainer(
                bench.base,
                self._sources.of(bench, group),
                plans["train"],
                plans["validation"],
                bench.protocol,
                observer,
                held.width,
                saver,
                bench.engine,
            )
            trainer.micro_batch_size = held.micro_batch_size
            observer.trainer = trainer
            with self.stop.deferred(), threads(job.threads):
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
            if trainer is not None:
                self._narrow(job, rows=trainer.micro_batch_size)
        self._sources.close()
        self.view.clear()
        return found

    def _set_back(
        self, failure: _Failure, queue: JobQueue, observer: RunObserver
    ) -> list[Candidate]:
        """Sets the candidates that were in the failed pass back to their last whole epoch.

        Returns:
            Those that have not ended: one of them, or all together, failed.
        """
        present = failure.present or queue.waiting()[:1]
        suspects = [c for c in present if c.id not in observer.kept]
        if len(present) > 1:
            # The error's frames hold the cohort, and its memory with it.
            failure.error.__traceback__ = None
        release_memory()
        self.checkpoints.set_back(suspects)
        return suspects

    def _find_culprit(
        self, suspects: Sequence[Candidate], job: CohortJob, observer: RunObserver
    ) -> None:
        """Trains one epoch of each alone until one fails; the others go on together after it."""
        for candidate in suspects:
            single = OneEpoch(candidate, self.schedule, self.checkpoints, observer.on_note)
            failure = self._attempt(job, single, None, observer)
            if failure is not None:
                if candidate.id not in observer.kept:
                    observer.fail(candidate, failure.error, "training")
                return
            single.release()
        if len(suspects) > 1:
            # Each passes alone: what failed is the pass of all of them.
            self._narrow(job, width=1)
            observer.on_note(
                f"{len(suspects)} candidates failed in one pass and none of them alone; each goes "
                "alone"
            )


class _Sources:
    """The batch source of the group that trains, kept from round to round."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._open: tuple[PassGroup, BatchSource] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def of(self, bench: Workbench, group: PassGroup) -> BatchSource:
        """The batch source of a group; that of another one is closed."""
        if self._open is None or self._open[0] != group:
            self.close()
            plans = [bench.plans["train"], bench.plans["validation"]]
            source = open_batch_source(bench.base, group.execution_path, plans, self._stack)
            self._open = group, source
        return self._open[1]

    def close(self) -> None:
        """Lets go of what it holds."""
        self._open = None
        self._stack.close()


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Inside, PyTorch computes on so many threads: sums round by their number."""
    before = torch.get_num_threads()
    if number != before:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        if number != before:
            torch.set_num_threads(before)


@dataclass(frozen=True, kw_only=True)
class _Failure:
    """What ended a trainer.

    Attributes:
        present: the candidates that would lose training by it.
    """

    error: Exception
    present: Sequence[Candidate]
    is_short_of_memory: bool


def open_batch_source(
    base: Base, execution_path: ExecutionPath, plans: Sequence[BatchPlan], stack: ExitStack
) -> BatchSource:
    """The batch source of an execution path; hidden states of ``plans`` are computed here, once.

    Args:
        base: the base. execution_path: what the candidates train on.
        plans: the splits that will be fed.
        stack: closes what was opened, such as a temporary folder.
    """
    if not execution_path.reads_hidden_states:
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
