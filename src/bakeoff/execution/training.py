"""All training of a study: which job is next, and what is decided between two rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bakeoff.engine.candidate import Candidate
from bakeoff.engine.schedule import Position
from bakeoff.engine.workbench import Workbench
from bakeoff.execution.acceptance import Acceptance
from bakeoff.execution.archive import Archive
from bakeoff.execution.checkpoints import Checkpoints, Progress
from bakeoff.execution.executors import LocalExecutor
from bakeoff.execution.observer import Follower, RunObserver
from bakeoff.execution.packing import pack_training
from bakeoff.execution.progress import ProgressView
from bakeoff.execution.stopping import StopSignals
from bakeoff.execution.training_worker import TrainingWorker
from bakeoff.runs.events import CohortJob, EventLog
from bakeoff.search.groups import PassGroup, group_of
from bakeoff.search.schedule import StudySchedule

if TYPE_CHECKING:
    from bakeoff.search.storage import SearchStorage


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
        score: gives candidates the values that settings are chosen by; needed where the search
            has a selection.
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
    score: Callable[[Sequence[Candidate]], None] | None = None

    def __post_init__(self) -> None:
        self._older: Progress | None = None
        self._acceptance = Acceptance(self.events, self.schedule, self.storage)

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
        with TrainingWorker(
            self.bench,
            self.schedule,
            observer,
            self.view,
            self.checkpoints,
            self.stop,
            self.events,
            self._acceptance.accept,
            self.checkpoint_minutes,
            position,
        ) as worker:
            executor = LocalExecutor({"train": worker})
            while True:
                if position is None:
                    group = self._next_group(group, observer)
                if group is None:
                    # Says that training is over, whatever is lost of the stages that follow.
                    self.checkpoints.save(self.schedule, Progress())
                    self._acceptance.accept()
                    return
                executor.run([self._job(worker.bench_of(group), group, position)])
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
        while True:
            unscored: list[Candidate] = []
            for settled in self.schedule.settle():
                observer.on_settled(settled, self.events)
                unscored += settled.unscored
            if not unscored:
                break
            assert self.score is not None, "a search with a selection needs scores"
            self.score(unscored)
        return next(iter(self.schedule.groups_waiting()), None)

    def _job(self, bench: Workbench, group: PassGroup, position: Position | None) -> CohortJob:
        """The job that goes on, or the next one of a group.

        Args:
            bench: the study under the group's protocol.
        """
        seated = [c for c in position.seated if not c.state.is_final] if position else []
        older = self._older

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
