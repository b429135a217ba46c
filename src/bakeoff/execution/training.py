"""All training of a study: which job is next, and what is decided between two rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bakeoff.engine.candidate import Candidate
from bakeoff.engine.schedule import Position
from bakeoff.engine.workbench import Workbench
from bakeoff.execution.acceptance import Acceptance
from bakeoff.execution.archive import Archive
from bakeoff.execution.checkpoints import Checkpoints, Progress
from bakeoff.execution.executors import Executor, LocalExecutor
from bakeoff.execution.observer import Follower, RunObserver
from bakeoff.execution.packing import pack_training
from bakeoff.execution.progress import ProgressView
from bakeoff.execution.stopping import StopSignals
from bakeoff.execution.training_worker import Benches, TrainingWorker
from bakeoff.methods.contract import ExecutionPath
from bakeoff.runs.events import CohortJob, EventLog
from bakeoff.search.groups import PassGroup, group_of
from bakeoff.search.schedule import StudySchedule

if TYPE_CHECKING:
    from bakeoff.search.storage import SearchStorage


_SAVED_EVERY = 1.0
"""Seconds between two checkpoints of a driver whose jobs run apart: what came of them is kept."""


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
        executor: runs jobs somewhere else, several at once; None trains in this process.
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
    executor: Executor | None = None

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
        observer = RunObserver(
            self.archive, self.view, self.schedule, self.checkpoints, self.storage, self.followers
        )
        # What a checkpoint holds and a process that died did not come to accept.
        self._acceptance.accept()
        if self.executor is not None:
            if position is not None:  # elsewhere training goes on from whole epochs
                seated = [c for c in position.seated if not c.state.is_final]
                self.checkpoints.set_back(seated)
            self._run_regions(self.executor, observer)
            return
        group = group_of(position.seated[0]) if position else None
        if start is not None and position is None:
            groups = map(group_of, self.schedule.candidates)
            group = next((one for one in groups if one.key == start.group), None)
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
                    self.save(Progress())
                    return
                executor.run(self._jobs(worker.bench_of(group), group, position)[:1])
                position = None
                # The job's last events are accepted before any of its candidates gets another.
                self.save(Progress(group=group.key))

    def save(self, progress: Progress) -> None:
        """Saves what is there between two jobs, and accepts it."""
        self.checkpoints.save(self.schedule, progress)
        self._acceptance.accept()

    def _run_regions(self, executor: Executor, observer: RunObserver) -> None:
        """Trains all at once what does not wait for each other; each region has its own rounds."""
        regions = self.schedule.regions()
        benches = Benches(self.bench)
        under_way: list[set[str]] = [set() for _ in regions]

        def begin(number: int) -> list[CohortJob]:
            jobs: list[CohortJob] = []
            while True:
                for group in self.schedule.groups_waiting():
                    if group.execution_path in regions[number]:
                        jobs += self._jobs(benches.of(group), group, None)
                if jobs or not self._settle(regions[number], observer):
                    break
            under_way[number] = {job.cohort for job in jobs}
            return jobs

        def then(job: CohortJob) -> list[CohortJob]:
            number = next(n for n, names in enumerate(under_way) if job.cohort in names)
            under_way[number].discard(job.cohort)
            is_over = not under_way[number]
            # A round's last events are accepted before any of its candidates gets another job.
            if is_over or time.monotonic() - self.checkpoints.saved_at >= _SAVED_EVERY:
                self.save(Progress())
            return begin(number) if is_over else []

        executor.run([job for number in range(len(regions)) for job in begin(number)], then)
        self.save(Progress())

    def _settle(self, region: Collection[ExecutionPath], observer: RunObserver) -> bool:
        """Decides on a region's methods; returns whether anything followed.

        Where others score the candidates that a choice waits for, nothing follows here.
        """
        names = [
            method.name
            for method in self.schedule.methods.values()
            if {variant.execution_path for variant in method.variants.values()} <= set(region)
        ]
        followed, before = False, list[Candidate]()
        while True:
            unscored: list[Candidate] = []
            for settled in self.schedule.settle(names):
                followed |= not settled.unscored
                observer.on_settled(settled, self.events)
                unscored += settled.unscored
            if not unscored or unscored == before:
                return followed
            assert self.score is not None, "a search with a selection needs scores"
            self.score(unscored)
            before = unscored

    def _next_group(self, before: PassGroup | None, observer: RunObserver) -> PassGroup | None:
        """Who trains next; once an execution path's round is over, decisions come first."""
        waiting = self.schedule.groups_waiting()
        regions = self.schedule.regions()
        if before is not None:
            region = next((r for r in regions if before.execution_path in r), frozenset())
            same = [group for group in waiting if group.execution_path in region]
            if same:
                return before if before in same else same[0]
        self._settle(list(ExecutionPath), observer)
        return next(iter(self.schedule.groups_waiting()), None)

    def _jobs(
        self, bench: Workbench, group: PassGroup, position: Position | None
    ) -> list[CohortJob]:
        """All jobs of those of a group that wait; first the one that goes on, if one does.

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
        if rows is None:
            everyone = [c for c in self.schedule.candidates if group.holds(c)]
            rows = bench.rows_of_pass(everyone, bench.num_slots(everyone))
        return pack_training(
            [*seated, *self.schedule.waiting(group)],
            self.events,
            group=group.key,
            stop=stop,
            num_slots=num_slots,
            micro_batch_size=rows,
        )
