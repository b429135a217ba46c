"""Runs a job that trains: its trainer, its batch source, and failures kept apart."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from bakeoff.base.model import Base
from bakeoff.data.batches import BatchPlan, EpochOrder
from bakeoff.data.subsets import SubsetOrder
from bakeoff.engine.backends.memory import free_bytes, is_out_of_memory, release_memory
from bakeoff.engine.batch_source import (
    BatchSource,
    HiddenStateSource,
    TokenSource,
    keep_hidden_states,
)
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.compiling import NOT_COMPILED, as_written, is_compiler_failure
from bakeoff.engine.schedule import Position, Schedule
from bakeoff.engine.score import EVALUATION_ROWS
from bakeoff.engine.train import Trainer
from bakeoff.engine.workbench import Workbench
from bakeoff.errors import StoreError
from bakeoff.execution.checkpoints import Checkpoints, Progress
from bakeoff.execution.observer import RunObserver
from bakeoff.execution.progress import ProgressView
from bakeoff.execution.queue import JobQueue, OneEpoch
from bakeoff.execution.saving import RunSaver
from bakeoff.execution.shared_runs import end_if_alone
from bakeoff.execution.stopping import StopSignals
from bakeoff.methods.contract import ExecutionPath
from bakeoff.ranks import hearing, leave_word, ranks
from bakeoff.runs.events import CohortJob, EventLog, Narrowed
from bakeoff.search.groups import PassGroup, group_of
from bakeoff.search.schedule import StudySchedule
from bakeoff.types import RunState

_log = logging.getLogger(__name__)
_MEMORY_SHARE = 0.25
"""Hidden states larger than this share of the free memory go to a file."""


@dataclass
class TrainingWorker:
    """Trains the candidates of one job after the other; a failure stays with its candidate.

    Attributes:
        bench, schedule: the study's. observer: follows what is trained.
        view, checkpoints, stop, events: the run's.
        accept: called once a checkpoint holds what was trained.
        checkpoint_minutes: the longest training inside an epoch that a crash can cost.
        position: the moment inside a job's training where an earlier call stopped; the next job
            goes on from there.
        sources: benches and batch sources that outlive this worker; without, it has its own.
    """

    bench: Workbench
    schedule: StudySchedule
    observer: RunObserver
    view: ProgressView
    checkpoints: Checkpoints
    stop: StopSignals
    events: EventLog
    accept: Callable[[], None]
    checkpoint_minutes: float = 10.0
    position: Position | None = None
    sources: Sources | None = None

    def __post_init__(self) -> None:
        self._sources = self.sources or Sources(Benches(self.bench))
        self._benches = self._sources.benches

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.sources is None:
            self._sources.close()

    def bench_of(self, group: PassGroup) -> Workbench:
        """The study under a group's protocol, on the base that it trains on."""
        return self._benches.of(group)

    def run(self, job: CohortJob) -> None:
        """Trains a job's candidates until each has paused or ended, or one has failed."""
        position, self.position = self.position, None
        self.checkpoints.enter(job.cohort)
        queue = JobQueue(job, self.schedule, self.checkpoints, self.observer.on_note)
        failure = self._attempt(job, queue, position)
        if failure is not None and self._benches.gives_up_compiling(failure.error):
            _log.warning("%s", NOT_COMPILED, exc_info=failure.error)
            self.observer.on_note(NOT_COMPILED)
            self._set_back(failure, queue)
            queue = JobQueue(job, self.schedule, self.checkpoints, self.observer.on_note)
            failure = self._attempt(job, queue, None)
        if failure is None:
            return
        suspects = self._set_back(failure, queue)
        if not suspects:
            _log.warning("a pass failed once all of it had ended", exc_info=failure.error)
        elif len(suspects) == 1 and len(failure.present) <= 1:
            self._fail(suspects[0], failure, job)
        elif failure.is_short_of_memory or self.events.as_narrowed(job).width == 1:
            self._narrow(job, width=1)
            self.observer.on_note(
                f"memory is too small for {len(suspects)} candidates in one pass; each goes alone"
            )
        else:
            failure.error.__traceback__ = None
            self._find_culprit(suspects, job)

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
    ) -> _Failure | None:
        """Trains the candidates of a schedule; returns what went wrong, if anything did."""
        trainer: Trainer | None = None
        try:
            saver = RunSaver(
                self.checkpoints,
                self.schedule,
                self.stop,
                Progress(),
                self.checkpoint_minutes,
                # What memory has halved is halved for good, also if this process is killed.
                before=lambda: self._narrow(job, rows=trainer.micro_batch_size if trainer else 0),
                after=self.accept,
            )
            # Hidden states too are computed on the job's own threads.
            with threads(job.threads):
                self.observer.trainer = trainer = self._trainer_of(job, saver)
                with (
                    self.stop.deferred(),
                    hearing(lambda word: self._narrow(job, rows=int(word))),
                ):
                    trainer.run(schedule, position)
            return None
        except StoreError:
            raise
        except Exception as error:  # whatever it is, the others go on
            if self.stop.requested is not None:
                # The signal reaches a compiler that runs for this process too, and fails it.
                raise self.stop.requested from error
            if trainer is not None and ranks().count > 1 and is_out_of_memory(error):
                trainer.micro_batch_size = max(1, trainer.micro_batch_size // 2)
                leave_word(str(trainer.micro_batch_size))
            end_if_alone(error)
            present = trainer.present if trainer and trainer.present else None
            found = _Failure(
                error=error,
                present=present or (position.seated if position else []),
                is_short_of_memory=is_out_of_memory(error),
            )
        finally:
            self.observer.trainer = None
            if trainer is not None:
                self._narrow(job, rows=trainer.micro_batch_size)
        self._sources.close()
        self.view.clear()
        return found

    def _trainer_of(self, job: CohortJob, saver: RunSaver) -> Trainer:
        """What trains a job, as wide as memory has left it."""
        group, held = self._group(job), self.events.as_narrowed(job)
        bench = self.bench_of(group)
        plans = bench.plans
        trainer = Trainer(
            bench.base,
            self._sources.of(group),
            plans["train"],
            plans["validation"],
            bench.protocol,
            self.observer,
            held.width,
            saver,
            bench.engine,
            _order_of(job, group, plans["train"]),
        )
        trainer.micro_batch_size = held.micro_batch_size
        return trainer

    def _group(self, job: CohortJob) -> PassGroup:
        """Who may share the job's pass."""
        found = [group_of(c) for c in self.schedule.candidates if group_of(c).key == job.group]
        if found:
            return found[0]
        # A job of a version that seated them otherwise.
        seated = {seat.id for seat in job.seats}
        return next(group_of(c) for c in self.schedule.candidates if c.id in seated)

    def _set_back(self, failure: _Failure, queue: JobQueue) -> list[Candidate]:
        """Sets the candidates that were in the failed pass back to their last whole epoch.

        Returns:
            Those that have not ended: one of them, or all together, failed.
        """
        present = failure.present or queue.waiting()[:1]
        # What an earlier call ended is final too, and has a place in the pass that it left; what
        # paused in this one is kept as it is, and waits for the decision at its rung.
        suspects = [c for c in present if not (c.state.is_final or c.state is RunState.PAUSED)]
        if len(present) > 1:
            # The error's frames hold the cohort, and its memory with it.
            failure.error.__traceback__ = None
        release_memory()
        self.checkpoints.set_back(suspects)
        return suspects

    def _fail(self, candidate: Candidate, failure: _Failure, job: CohortJob) -> None:
        """Marks a candidate as failed in a job; it may have had no seat in it yet."""
        candidate.cohort = job.cohort  # by which its end is accepted
        self.observer.fail(candidate, failure.error, "training")

    def _find_culprit(self, suspects: Sequence[Candidate], job: CohortJob) -> None:
        """Trains one epoch of each alone until one fails; the others go on together after it."""
        for candidate in suspects:
            single = OneEpoch(candidate, self.schedule, self.checkpoints, self.observer.on_note)
            failure = self._attempt(job, single, None)
            if failure is not None:
                if not candidate.state.is_final:
                    self._fail(candidate, failure, job)
                return
            single.release()
        if len(suspects) > 1:
            # Each passes alone: what failed is the pass of all of them.
            self._narrow(job, width=1)
            self.observer.on_note(
                f"{len(suspects)} candidates failed in one pass and none of them alone; each goes "
                "alone"
            )


class Benches:
    """A study under the protocols of its groups, each on the base that it trains on.

    Args:
        bench: under its own.
    """

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._known: dict[PassGroup, Workbench] = {}

    def gives_up_compiling(self, error: BaseException) -> bool:
        """Whether an error is the compiler's; layers run as they are written from then on."""
        if self._bench.engine.compile is False or not is_compiler_failure(error):
            return False
        self._bench = as_written(self._bench)
        self._known.clear()
        return True

    def of(self, group: PassGroup) -> Workbench:
        """The study under a group's protocol, on the base that it trains on."""
        group = group.on_all_rows
        if group not in self._known:
            whole = self._bench
            protocol = whole.protocol.under(dict(group.overrides))
            base = whole.base_of(group.choice)
            is_same = protocol == whole.protocol and base is whole.base
            bench = whole if is_same else replace(whole, protocol=protocol, base=base)
            self._known[group] = bench
        return self._known[group]


def _order_of(job: CohortJob, group: PassGroup, plan: BatchPlan) -> EpochOrder:
    """Which rows a job's steps see: of a subset, as all of its seats together decide."""
    if group.rows is None:
        return plan
    return SubsetOrder(plan, group.rows, dict.fromkeys(seat.spec.seed for seat in job.seats))


class Sources:
    """The batch source of the group that trains, kept from round to round.

    Args:
        benches: whose plans it is fed. Hidden states are those of a plan's rows, so that it lives
            no longer than they do.
    """

    def __init__(self, benches: Benches) -> None:
        self.benches = benches
        self._stack = ExitStack()
        self._open: tuple[PassGroup, BatchSource] | None = None

    def of(self, group: PassGroup) -> BatchSource:
        """The batch source of a group; that of another one is closed.

        Subsets of any size are rows of one split, so they share it.
        """
        group = group.on_all_rows
        if self._open is None or self._open[0] != group:
            self.close()
            bench = self.benches.of(group)
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
