"""Candidates that wait for their rung: out of memory onto the disk, and back, or started anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bakeoff.base.choice import THE_BASE
from bakeoff.engine import train
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.schedule import Position
from bakeoff.errors import CheckpointError
from bakeoff.execution.checkpoints import Checkpoints, Progress
from bakeoff.methods.contract import ExecutionPath
from bakeoff.runs.records import EpochRecord
from bakeoff.search.schedule import MethodSearch, StudySchedule
from bakeoff.types import RunState

Run = Callable[..., Any]
STUDY: dict[str, Any] = {
    "methods": {"lora": {"rank": 2, "learning_rate": [1e-2, 1e-9, 1e-8]}},
    "search": {"seeds": 1, "growth": 0, "reduction_factor": 3},
    "protocol": {"epochs": 2, "micro_batch_size": 4, "grad_accum_steps": 1},
    "slots": 1,
}
STEPS = 4
"""Of an epoch: 16 rows, 4 in each."""
FIRST = "lora-lr0.01-s1000"
FRESH = 2 * STEPS
"""Of the chosen rate, trained afresh with another seed."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def schedule_of(*rates: float) -> StudySchedule:
    nothing: Any = SimpleNamespace(
        execution_path=ExecutionPath.BASE, base=SimpleNamespace(choice=THE_BASE)
    )
    method = MethodSearch(name="m", variants={"": nothing}, rates=rates)
    return StudySchedule([method], (0,), 4, None)


def pause(places: Checkpoints, candidate: Candidate, value: float) -> None:
    number = len(candidate.epochs) + 1
    candidate.epochs.append(EpochRecord(epoch=number, train_nll=1.0, val_nll=1.0, seconds=0.0))
    candidate.state = RunState.PAUSED
    candidate.snapshot = {"values/a": torch.full((3,), value), "counters": torch.ones(4).double()}
    candidate.tensors = {"a": torch.full((3,), -value)}
    places.pause(candidate)


def paused(places: Checkpoints) -> set[str]:
    found = places.path.parent.glob("*/paused/*")
    return {file.name.rpartition("-")[0] for file in found}


def test_a_paused_state_leaves_memory_and_comes_back_to_the_bit(tmp_path: Path) -> None:
    places = Checkpoints(tmp_path)
    one, other = schedule_of(1.0, 2.0).candidates
    pause(places, one, 0.1)
    pause(places, other, 0.2)
    assert (one.snapshot, one.tensors) == (None, None)
    places.fetch(one)
    assert one.snapshot is not None and one.tensors is not None
    assert torch.equal(one.snapshot["values/a"], torch.full((3,), 0.1))
    assert one.snapshot["counters"].dtype == torch.float64
    assert torch.equal(one.tensors["a"], torch.full((3,), -0.1))


@pytest.mark.parametrize("content", [None, b"", b"garbage"])
def test_a_paused_state_that_is_missing_or_torn_is_an_error(
    tmp_path: Path, content: bytes | None
) -> None:
    places = Checkpoints(tmp_path)
    [one] = schedule_of(1.0).candidates
    pause(places, one, 0.1)
    [file] = places.path.glob("paused/*")
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CheckpointError, match="m-lr1-s0 after epoch 1 is missing or torn"):
        places.fetch(one)


def test_paused_states_stay_as_long_as_a_kept_checkpoint_needs_them(tmp_path: Path) -> None:
    places, schedule = Checkpoints(tmp_path), schedule_of(1.0, 10.0)
    one, other = schedule.candidates
    nowhere = Progress()
    pause(places, one, 0.1)
    pause(places, other, 0.2)
    for _ in range(3):
        places.save(schedule, nowhere)
        assert paused(places) == {"m-lr1-s0-1", "m-lr10-s0-1"}
    one.state, other.state = RunState.WAITING, RunState.PRUNED  # promoted, but not seated yet
    places.save(schedule, nowhere)
    assert paused(places) == {"m-lr1-s0-1", "m-lr10-s0-1"}  # the older one names both
    places.save(schedule, nowhere)
    assert paused(places) == {"m-lr1-s0-1"}
    one.state = RunState.RUNNING
    places.save(schedule, nowhere)
    assert paused(places) == {"m-lr1-s0-1"}
    pause(places, one, 0.3)
    places.save(schedule, nowhere)
    assert paused(places) == {"m-lr1-s0-2"}


def test_a_new_process_forgets_no_paused_state_that_an_older_checkpoint_needs(
    tmp_path: Path,
) -> None:
    before, schedule = Checkpoints(tmp_path), schedule_of(1.0)
    [one] = schedule.candidates
    pause(before, one, 0.1)
    for _ in range(2):
        before.save(schedule, Progress())
    after = Checkpoints(tmp_path)
    after.load(again := schedule_of(1.0))
    again.candidates[0].state = RunState.COMPLETE
    after.save(again, Progress())
    assert paused(after) == {"m-lr1-s0-1"}
    newest = sorted(after.path.glob("*.safetensors"))[-1]
    newest.write_bytes(b"torn")
    after.load(recalled := schedule_of(1.0))
    assert recalled.candidates[0].state is RunState.PAUSED
    after.fetch(recalled.candidates[0])


def test_one_whose_pass_fails_before_its_first_checkpoint_keeps_the_epochs_of_its_rung(
    tmp_path: Path,
) -> None:
    places, schedule = Checkpoints(tmp_path), schedule_of(1.0, 2.0)
    one, lost = schedule.candidates
    # The newest checkpoint between two epochs is of the pass before the rung.
    start: Any = {"step": 0, "train_nll": [], "train_tokens": [], "seconds": 0.0}
    seated = Position(seated=[one], snapshots=[{}], micro_batch_size=4, **start)
    places.save(schedule, Progress(position=seated))
    for candidate in (one, lost):
        pause(places, candidate, 0.1)
        candidate.state = RunState.RUNNING
        places.fetch(candidate)
    for file in places.path.glob(f"paused/{lost.id}-*"):
        file.write_bytes(b"torn")
    places.set_back([one, lost])
    assert (one.state, len(one.epochs)) == (RunState.WAITING, 1)
    assert (one.snapshot, one.tensors) == (None, None)
    places.fetch(one)
    assert one.snapshot is not None and torch.equal(one.snapshot["values/a"], torch.full((3,), 0.1))
    assert (lost.state, lost.epochs) == (RunState.WAITING, [])


@contextmanager
def interrupted_at(step: int) -> Iterator[list[int]]:
    """Ctrl-C that nobody waited for, in the training step of this number."""
    train_step, counted = train.train_step, list[int]()

    def watched(*arguments: Any) -> Any:
        counted.append(step)
        if len(counted) == step:
            raise KeyboardInterrupt
        return train_step(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "train_step", watched)
        yield counted


def curves(results: dict[str, Any]) -> Any:
    return {
        name: (c["state"], [(e["train_nll"], e["val_nll"]) for e in c["epochs"]])
        for name, c in results["candidates"].items()
    }


@pytest.fixture
def undisturbed(finished: Run, place: Path, results: Run) -> Any:
    finished(**STUDY)
    found = curves(results())
    assert [state for state, _ in found.values()] == ["COMPLETE", "PRUNED", "PRUNED", "COMPLETE"]
    assert not (place / "out/cohorts").exists()  # the study is complete
    (place / "out").rename(place / "undisturbed")
    return found


@pytest.mark.usefixtures("quick")
def test_paused_candidates_go_on_in_the_next_call(
    run_small: Run, place: Path, results: Run, undisturbed: Any
) -> None:
    with interrupted_at(2 * STEPS + 2):
        assert run_small(**STUDY).code == 130
    assert paused(Checkpoints(place / "out")) == {f"{FIRST}-1", "lora-lr1e-09-s1000-1"}
    with interrupted_at(0) as counted:
        assert run_small(**STUDY).code == 0
    assert len(counted) == 2 * STEPS + FRESH  # the third's first epoch, and the first's second
    assert curves(results()) == undisturbed
    assert not [note for note in results()["notes"] if "missing or torn" in note]
    assert not (place / "out/cohorts").exists()


@pytest.mark.usefixtures("quick")
def test_paused_candidates_go_on_to_the_end_where_nothing_prunes_any_more(
    run_small: Run, place: Path, results: Run
) -> None:
    unpruned = {**STUDY, "search": {**STUDY["search"], "pruner": None}}
    with interrupted_at(2 * STEPS + 2):
        assert run_small(**STUDY).code == 130
    outcome = run_small(**unpruned)
    assert outcome.code == 0, outcome.err
    assert results()["status"] == "complete"
    found = curves(results())
    assert {(state, len(epochs)) for state, epochs in found.values()} == {("COMPLETE", 2)}
    (place / "out").rename(place / "interrupted")
    assert run_small(**unpruned).code == 0
    assert curves(results()) == found


@pytest.mark.usefixtures("quick")
def test_who_has_lost_its_paused_state_starts_anew_with_a_note(
    run_small: Run, place: Path, results: Run, undisturbed: Any
) -> None:
    with interrupted_at(2 * STEPS + 2):
        run_small(**STUDY)
    [file] = (place / "out/cohorts").glob(f"*/paused/{FIRST}-*")
    file.unlink()
    with interrupted_at(0) as counted:
        outcome = run_small(**STUDY)
    assert outcome.code == 0
    assert outcome.err == ""
    assert len(counted) == 3 * STEPS + FRESH
    lost = f"the state of {FIRST} after epoch 1 is missing or torn; it is trained from the start"
    assert len([note for note in results()["notes"] if lost in note]) == 1
    assert curves(results()) == undisturbed


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("num_torn", [pytest.param(1, marks=pytest.mark.soak), 2])
def test_a_study_goes_on_from_whatever_is_whole(
    run_small: Run, place: Path, results: Run, undisturbed: Any, num_torn: int
) -> None:
    with interrupted_at(2 * STEPS + 2):
        run_small(**STUDY)
    files = sorted((place / "out/cohorts").glob("*/*.safetensors"))
    for file in files[-num_torn:]:
        file.write_bytes(file.read_bytes()[:-1])
    with interrupted_at(0) as counted:
        outcome = run_small(**STUDY)
    assert outcome.code == 0, outcome.err
    # Two checkpoints are kept: the last epoch, and the one that closes its cohort.
    assert len(counted) == {1: 2 * STEPS, 2: 4 * STEPS}[num_torn] + FRESH
    assert curves(results()) == undisturbed


@pytest.mark.usefixtures("quick")
def test_a_step_inside_an_epoch_is_kept_after_its_minutes(
    run_small: Run, results: Run, undisturbed: Any
) -> None:
    study = {**STUDY, "checkpoint_minutes": 1e-9}
    with interrupted_at(2 * STEPS + 4):
        run_small(**study)
    with interrupted_at(0) as counted:
        assert run_small(**STUDY).code == 0
    assert len(counted) == STEPS + 1 + FRESH
    assert curves(results()) == undisturbed
