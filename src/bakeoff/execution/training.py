"""All training of a study: execution paths, their batch sources, and failures kept apart."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

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
from bakeoff.execution.observer import Follower, RunObserver
from bakeoff.execution.progress import ProgressView
from bakeoff.execution.queue import OneEpoch, RoundQueue
from bakeoff.execution.saving import RunSaver
from bakeoff.execution.stopping import StopSignals
from bakeoff.methods.contract import ExecutionPath
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
        slots: candidates in one pass, by group; decided once, as rounding depends on it.
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
    slots: dict[str, int]
    storage: SearchStorage | None = None
    checkpoint_minutes: float = 10.0
    followers: Sequence[Follower] = ()

    def __post_init__(self) -> None:
        self._sources = _Sources()
        self._micro_batch_sizes: dict[str, int] = {}
        self._benches: dict[PassGroup, Workbench] = {}

    def run(self, start: Progress | None) -> None:
        """Trains all candidates.

        Args:
            start: where an earlier call stopped.

        Raises:
            Stopped: if the run was asked to; all is saved by then.
            StoreError: if the disk takes no more.
        """
        if start is not None:
            self._micro_batch_sizes = dict(start.micro_batch_sizes)
        position = start.position if start else None
        group = group_of(position.seated[0]) if position else None
        observer = RunObserver(
            self.archive, self.view, self.schedule, self.checkpoints, self.storage, self.followers
        )
        with self._sources:
            while True:
                if position is None:
                    group = self._next_group(group, observer)
                if group is None:
                    # Says that training is over, whatever is lost of the stages that follow.
                    self.checkpoints.save(self.schedule, self._progress())
                    return
                self._train_round(group, position, observer)
                position = None

    def _next_group(self, before: PassGroup | None, observer: RunObserver) -> PassGroup | None:
        """Who trains next; once an execution path's round is over, decisions come first."""
        waiting = self.schedule.groups_waiting()
        if before is not None:
            same_path = [g for g in waiting if g.execution_path is before.execution_path]
            if same_path:
                return before if before in same_path else same_path[0]
        for settled in self.schedule.settle():
            observer.on_settled(settled, self.slots, self._micro_batch_sizes)
        return next(iter(self.schedule.groups_waiting()), None)

    def _progress(self) -> Progress:
        return Progress(slots=self.slots, micro_batch_sizes=self._micro_batch_sizes)

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
        """Trains what waits in one group; a failure stays with its candidate."""
        queue = RoundQueue(self.schedule, group, self.checkpoints, observer.on_note)
        if group.key not in self.slots:
            self.slots[group.key] = self._bench(group).num_slots(queue.waiting())
        failure = self._attempt(group, queue, position, observer)
        if failure is None:
            return
        suspects = self._set_back(failure, queue, observer)
        if len(suspects) == 1 and len(failure.present) <= 1:
            observer.fail(suspects[0], failure.error, "training")
        elif failure.is_short_of_memory or self.slots[group.key] == 1:
            self.slots[group.key] = 1
            observer.on_note(
                f"memory is too small for {len(suspects)} candidates in one pass; each goes alone"
            )
        else:
            failure.error.__traceback__ = None
            self._find_culprit(suspects, group, observer)

    def _attempt(
        self,
        group: PassGroup,
        schedule: Schedule,
        position: Position | None,
        observer: RunObserver,
    ) -> _Failure | None:
        """Trains the candidates of a schedule; returns what went wrong, if anything did."""
        trainer: Trainer | None = None
        try:
            bench = self._bench(group)
            plans = bench.plans
            saver = RunSaver(
                self.checkpoints,
                self.schedule,
                self.stop,
                self._progress(),
                self.checkpoint_minutes,
            )
            trainer = Trainer(
                bench.base,
                self._sources.of(bench, group),
                plans["train"],
                plans["validation"],
                bench.protocol,
                observer,
                self.slots[group.key],
                saver,
                bench.engine,
            )
            # What memory has halved stays halved, in this round and those that follow.
            rows = self._micro_batch_sizes.get(group.key, trainer.micro_batch_size)
            trainer.micro_batch_size = rows
            observer.trainer = trainer
            with self.stop.deferred():
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
                self._micro_batch_sizes[group.key] = trainer.micro_batch_size
        self._sources.close()
        self.view.clear()
        return found

    def _set_back(
        self, failure: _Failure, queue: RoundQueue, observer: RunObserver
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
        self, suspects: Sequence[Candidate], group: PassGroup, observer: RunObserver
    ) -> None:
        """Trains one epoch of each alone until one fails; the others go on together after it."""
        for candidate in suspects:
            single = OneEpoch(candidate, self.schedule, self.checkpoints, observer.on_note)
            failure = self._attempt(group, single, None, observer)
            if failure is not None:
                if candidate.id not in observer.kept:
                    observer.fail(candidate, failure.error, "training")
                return
            single.release()
        if len(suspects) > 1:
            # Each passes alone: what failed is the pass of all of them.
            self.slots[group.key] = 1
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
