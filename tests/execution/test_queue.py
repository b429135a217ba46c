"""Who takes the next free slot."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bakeoff.base.choice import THE_BASE
from bakeoff.engine.candidate import Candidate
from bakeoff.execution.checkpoints import Checkpoints
from bakeoff.execution.queue import JobQueue, OneEpoch
from bakeoff.methods.contract import ExecutionPath
from bakeoff.runs.events import CohortJob, Seat
from bakeoff.runs.records import EpochRecord
from bakeoff.search.groups import PassGroup
from bakeoff.search.method_search import record_of, spec_of
from bakeoff.search.schedule import MethodSearch, StudySchedule
from bakeoff.types import RunState

BASE = PassGroup(execution_path=ExecutionPath.BASE, kind="lora")
PATHS = {"a": ExecutionPath.BASE, "b": ExecutionPath.BASE, "c": ExecutionPath.HIDDEN_STATES}


@pytest.fixture
def schedule() -> StudySchedule:
    methods = []
    for name, path in PATHS.items():
        method: Any = SimpleNamespace(
            execution_path=path,
            kind="lora",
            base=SimpleNamespace(choice=THE_BASE, device=torch.device("cpu")),
        )
        methods.append(MethodSearch(name=name, variants={"": method}, rates=(1.0, 2.0)))
    return StudySchedule(methods, (0,), 4, None)


@pytest.fixture
def places(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path)


def job_of(schedule: StudySchedule, *, stop: int = 4) -> CohortJob:
    """All candidates that train on the shared base, from their start."""
    return CohortJob(
        cohort="train-0",
        kind="train",
        group=BASE.key,
        seats=tuple(Seat(spec=spec_of(record_of(c)), stop=stop) for c in schedule.waiting(BASE)),
        width=2,
        micro_batch_size=1,
        threads=1,
    )


def trained(candidate: Candidate, places: Checkpoints) -> None:
    """One epoch, after which it went out of memory and waits for its next slot."""
    candidate.epochs.append(EpochRecord(epoch=1, train_nll=1.0, val_nll=1.0, seconds=0.0))
    candidate.snapshot, candidate.tensors = {"values/a": torch.ones(2)}, {"a": torch.zeros(2)}
    places.pause(candidate)
    candidate.state = RunState.WAITING


def test_those_that_have_trained_already_sit_down_first(
    schedule: StudySchedule, places: Checkpoints
) -> None:
    queue = JobQueue(job_of(schedule), schedule, places, pytest.fail)
    trained(schedule.methods["b"].finals[0], places)
    first, second = queue.next(), queue.next()
    assert first is not None and second is not None
    assert (first.id, first.state, second.id) == ("b-lr1-s0", RunState.RUNNING, "a-lr1-s0")
    assert first.snapshot is not None and first.tensors is not None
    assert [c.id for c in queue.waiting()] == ["a-lr2-s0", "b-lr2-s0"]
    while queue.next() is not None:
        pass
    waiting = schedule.waiting(PassGroup(execution_path=ExecutionPath.HIDDEN_STATES))
    assert [c.id for c in waiting] == ["c-lr1-s0", "c-lr2-s0"]


def test_one_whose_paused_state_is_lost_starts_again_with_a_note(
    schedule: StudySchedule, places: Checkpoints
) -> None:
    notes: list[str] = []
    candidate = schedule.methods["a"].finals[0]
    trained(candidate, places)
    for file in places.path.glob("paused/*"):
        file.unlink()
    for queue in (
        JobQueue(job_of(schedule), schedule, places, notes.append),
        OneEpoch(candidate, schedule, places, notes.append),
    ):
        assert queue.next() is candidate
        assert (candidate.state, candidate.epochs) == (RunState.RUNNING, [])
        candidate.state = RunState.WAITING
    [note] = notes
    assert "a-lr1-s0 after epoch 1 is missing or torn; it is trained from the start" in note


def test_a_job_hands_out_its_own_candidates_until_they_have_reached_its_stop(
    schedule: StudySchedule, places: Checkpoints
) -> None:
    job = job_of(schedule, stop=1)
    del schedule.methods["b"]  # as a study that grew without it
    queue = JobQueue(job, schedule, places, pytest.fail)
    first = queue.next()
    assert first is not None and (first.id, first.cohort) == ("a-lr1-s0", "train-0")
    assert not queue.pauses(first)
    trained(first, places)
    assert queue.pauses(first)
    second = queue.next()
    assert second is not None and second.id == "a-lr2-s0"
    assert queue.next() is None
