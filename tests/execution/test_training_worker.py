"""One job that trains: on what it computes, and what a failure in it leaves of the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from bakeoff.data.batches import BatchPlan
from bakeoff.engine import batch_source
from bakeoff.engine.schedule import Position
from bakeoff.engine.train import Trainer
from bakeoff.engine.workbench import Workbench
from bakeoff.execution import training_worker
from bakeoff.execution.apart.news import NewsView
from bakeoff.execution.apart.places import JobFolder
from bakeoff.execution.archive import Archive
from bakeoff.execution.checkpoints import Checkpoints
from bakeoff.execution.findings import Findings
from bakeoff.execution.observer import RunObserver
from bakeoff.execution.queue import JobQueue
from bakeoff.execution.stopping import StopSignals
from bakeoff.execution.training_worker import TrainingWorker
from bakeoff.runs.events import CohortJob, EventLog, Seat
from bakeoff.runs.records import Provenance
from bakeoff.search.groups import group_of
from bakeoff.search.method_search import record_of, spec_of
from bakeoff.search.schedule import StudySchedule
from bakeoff.study.loading import study_from_mapping
from bakeoff.study.opening import open_workbench, schedule_of
from bakeoff.study.study import Study
from bakeoff.types import RunState

THREE = {name: {"kind": "head"} for name in ("a", "b", "c")}


@dataclass
class Call:
    """One call of a study, up to its first job."""

    study: Study
    bench: Workbench
    folder: Path
    schedule: StudySchedule = field(init=False)

    def __post_init__(self) -> None:
        self.schedule = schedule_of(self.study, self.bench)
        self.checkpoints = Checkpoints(self.folder)

    def job(self, threads: int | None = None) -> CohortJob:
        candidates = self.schedule.candidates
        epochs = self.bench.protocol.epochs
        return CohortJob(
            cohort="train-0",
            kind="train",
            group=group_of(candidates[0]).key,
            seats=tuple(Seat(spec=spec_of(record_of(c)), stop=epochs) for c in candidates),
            width=len(candidates),
            micro_batch_size=4,
            threads=threads or torch.get_num_threads(),
        )

    def run(self, job: CohortJob, position: Position | None = None) -> dict[str, RunState]:
        """The states that the job leaves; whatever can be saved between two steps is."""
        with self.worker(position) as worker:
            worker.run(job)
        return {c.method_name: c.state for c in self.schedule.candidates}

    def worker(self, position: Position | None = None) -> TrainingWorker:
        view = NewsView(lambda _: None)
        archive = Archive(
            JobFolder(self.folder),
            self.bench,
            Findings(schedule=self.schedule),
            Provenance(bakeoff=""),
        )
        observer = RunObserver(archive, view, self.schedule, self.checkpoints)
        return TrainingWorker(
            self.bench,
            self.schedule,
            observer,
            view,
            self.checkpoints,
            StopSignals(),
            EventLog(self.folder),
            lambda: None,
            0.0,
            position,
        )


def opened(place: Path, content: dict[str, Any]) -> Call:
    study = study_from_mapping(content, folder=place)
    return Call(study, open_workbench(study, "cpu"), place / "run")


def test_hidden_states_are_computed_on_the_threads_of_their_job(
    place: Path, small: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, threads = torch.get_num_threads(), list[int]()

    def spy(cohort: Any, plan: BatchPlan, **options: Any) -> Any:
        threads.append(torch.get_num_threads())
        return batch_source.keep_hidden_states(cohort, plan, **options)

    monkeypatch.setattr(training_worker, "keep_hidden_states", spy)
    call = opened(place, small(methods={"head": {}}))
    assert call.run(call.job(threads=before + 1)) == {"head": RunState.COMPLETE}
    assert threads == [before + 1] * 2
    assert torch.get_num_threads() == before


def test_what_has_paused_at_its_rung_is_no_suspect_of_what_fails_after_it(
    place: Path, small: Callable[..., dict[str, Any]]
) -> None:
    """Set back to be trained it would pass its rung before the decision there."""
    call = opened(place, small(methods=THREE))
    paused, running, ended = call.schedule.candidates
    for candidate, state in ((paused, RunState.PAUSED), (ended, RunState.DIVERGED)):
        candidate.state = state
    running.state = RunState.RUNNING
    failure = training_worker._Failure(
        error=ArithmeticError("no such number"),
        present=(paused, running),
        is_short_of_memory=False,
    )
    with call.worker() as worker:
        queue = JobQueue(call.job(), call.schedule, call.checkpoints, lambda _: None)
        assert worker._set_back(failure, queue) == [running]
    states = {c.method_name: c.state for c in call.schedule.candidates}
    assert states == {"a": RunState.PAUSED, "b": RunState.WAITING, "c": RunState.DIVERGED}


def test_what_had_diverged_stays_so_where_a_resumed_pass_fails(
    place: Path, small: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps its slot, of which a checkpoint inside the epoch holds nothing."""
    validate, step = Trainer._validate, Trainer._step

    def wild(self: Trainer, slot: int, *, alive: bool) -> tuple[float, float]:
        candidate = self._slots[slot]
        assert candidate is not None
        is_wild = candidate.method_name == "a" and len(candidate.epochs) == 1
        return (float("nan"), 0.0) if is_wild else validate(self, slot, alive=alive)

    third: list[int] = []

    def interrupted(self: Trainer, steps: Any, rates: Any) -> Any:
        third.extend(1 for c in self._running[1:2] if c is not None and len(c.epochs) == 2)
        if len(third) == 2:  # its second step
            raise KeyboardInterrupt
        return step(self, steps, rates)

    failed: list[Any] = []

    def broken_once(self: Trainer, steps: Any, rates: Any) -> Any:
        if not failed:
            failed.append(steps)
            raise ArithmeticError("no such number")
        return step(self, steps, rates)

    monkeypatch.setattr(Trainer, "_validate", wild)
    first = opened(place, small(methods=THREE, protocol={"epochs": 3}))
    job = first.job()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "_step", interrupted)
        first.run(job)
    second = Call(first.study, first.bench, first.folder)
    second.checkpoints.enter(job.cohort)
    progress = second.checkpoints.load(second.schedule)
    assert progress is not None and progress.position is not None and progress.position.step == 1
    monkeypatch.setattr(Trainer, "_step", broken_once)
    states = second.run(job, progress.position)
    assert failed[0][0] is None, "the seat that it left is still there"
    # Each of the others has been tried alone, and none of them is to blame.
    assert states["a"] is RunState.DIVERGED
    assert {states["b"], states["c"]} <= {RunState.WAITING, RunState.COMPLETE}
    assert [len(c.epochs) for c in second.schedule.candidates] == [1, 3, 3]
