"""What resuming needs: saved whole, found again whole, and the same bits follow from it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from bakeoff.base.model import Base
from bakeoff.base.weights.sources import load_source
from bakeoff.data.batches import BatchPlan
from bakeoff.data.ragged import Ragged
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.options import ProtocolOptions
from bakeoff.engine.schedule import Position
from bakeoff.engine.train import Trainer
from bakeoff.errors import StoreError
from bakeoff.execution import checkpoints, states
from bakeoff.execution.checkpoints import Checkpoints, Progress
from bakeoff.execution.packing import pack_training
from bakeoff.execution.queue import JobQueue
from bakeoff.execution.training_worker import open_batch_source
from bakeoff.methods.contract import Method, Tensors
from bakeoff.methods.registry import method_type
from bakeoff.runs.events import EventLog
from bakeoff.search.groups import PassGroup, kind_apart
from bakeoff.search.schedule import MethodSearch, StudySchedule
from bakeoff.types import RunState

Run = Callable[..., Any]
EPOCHS = 3
KINDS: dict[str, dict[str, Any]] = {
    "head": {},
    "lora": {"rank": 2, "dropout": 0.2},
    "soft_prompt": {"prompt_length": 3},
    "full": {},
    "peft": {"peft_type": "ADALORA", "total_step": 8, "tinit": 1, "tfinal": 2, "deltaT": 2},
}
LOW, WILD = 1e-14, 1e30
RATES = {
    "head": (LOW, 3.0, WILD),
    "lora": (LOW, 3.0, WILD),
    "soft_prompt": (LOW, 300.0, WILD),
    "full": (LOW, 0.1, WILD),
    "peft": (LOW, 0.3, WILD),
}
"""Too low to change anything, so that it stops early; too high to learn for long, what comes of
which depends on how a processor rounds; and so high that it diverges."""


class BreakError(Exception):
    """As a signal between two steps."""


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    cache = tmp_path_factory.mktemp("cache")
    source = load_source("scratch:tiny-gpt-neo", root=cache, cache_dir=cache)
    return Base(source, device=torch.device("cpu"), dtype=torch.float32)


def plan(num_examples: int) -> BatchPlan:
    draw = np.random.default_rng(43)

    def rows(low: int, high: int) -> Ragged:
        lengths = draw.integers(low, high, size=num_examples)
        return Ragged.from_rows([draw.integers(0, 200, size=n, dtype=np.int32) for n in lengths])

    return BatchPlan.of_pairs(rows(4, 20), rows(2, 9), rows_per_step=4, max_length=32, pad_id=256)


@dataclass
class Keep:
    """Saves at every chance, and interrupts at the last of ``chances``."""

    places: Checkpoints
    schedule: StudySchedule
    chances: int

    def between_steps(self, position: Callable[[], Position]) -> None:
        self.places.save(self.schedule, Progress(position=position()))
        self.chances -= 1
        if self.chances == 0:
            raise BreakError

    between_epochs = between_steps

    def cuts_epoch(self, seconds: float) -> bool:
        return False

    def ends_training(self, epoch_seconds: float) -> None:
        """It never does."""


@dataclass
class Ended:
    """An observer that keeps the tensors of those that ended, as the archive does."""

    tensors: dict[str, Tensors] = field(default_factory=dict)

    def on_step(self, *arguments: Any) -> None: ...

    def on_epoch(self, candidate: Candidate) -> None: ...

    def on_pause(self, candidate: Candidate) -> None: ...

    def on_end(self, candidate: Candidate) -> None:
        self.tensors[candidate.id] = candidate.tensors or {}

    def on_note(self, note: str) -> None: ...


@dataclass
class Case:
    """Candidates of one kind, two of which diverge, in three slots where they share a base."""

    base: Base
    kind: str
    folder: Path
    ended: Ended = field(default_factory=Ended)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        chosen = method_type(self.kind, where="methods.m")
        options = chosen.read_options(KINDS[self.kind])
        self.method: Method = chosen(options, self.base, where="methods.m")
        self.num_slots = 1 if self.kind in ("full", "peft") else 3
        self.group = PassGroup(
            execution_path=self.method.execution_path, kind=kind_apart(self.method)
        )
        self.places = Checkpoints(self.folder)

    def schedule(self) -> StudySchedule:
        method = MethodSearch(name="m", variants={"": self.method}, rates=RATES[self.kind])
        return StudySchedule([method], (0, 1), EPOCHS, None)

    def train(self, chances: int = 0, start: Position | None = None) -> StudySchedule:
        """One call: takes up what is there, and trains up to its interruption or its end."""
        schedule = self.schedule()
        progress = self.places.load(schedule)
        training, validation = plan(13), plan(5)
        protocol = ProtocolOptions(
            epochs=EPOCHS,
            micro_batch_size=2,
            grad_accum_steps=2,
            schedule="constant",
            warmup_ratio=0.0,
            weight_decay=0.01,
            patience=1,
            seeds=(0, 1),
        )
        position = progress.position if progress else None
        seated = [c for c in position.seated if not c.state.is_final] if position else []
        waiting = [*seated, *schedule.waiting(self.group)]
        if not waiting:
            return schedule
        [job] = pack_training(
            waiting,
            EventLog(self.folder),
            group=self.group.key,
            stop=lambda _: EPOCHS,
            num_slots=len,  # so that slots are refilled, as in a pass that memory has narrowed
            micro_batch_size=2,
        )
        with ExitStack() as stack:
            Trainer(
                self.base,
                open_batch_source(
                    self.base, self.method.execution_path, [training, validation], stack
                ),
                training,
                validation,
                protocol,
                self.ended,
                self.num_slots,
                Keep(self.places, schedule, chances),
            ).run(
                JobQueue(job, schedule, self.places, self.notes.append),
                position,
            )
        return schedule

    def interrupted(self, chances: int) -> None:
        with pytest.raises(BreakError):
            self.train(chances)

    def outcome(self, schedule: StudySchedule) -> Any:
        """All that training leaves, to the bit."""
        curves = [
            (c.id, c.state, c.reason, c.best_epoch, [(e.train_nll, e.val_nll) for e in c.epochs])
            for c in schedule.candidates
        ]
        tensors = {
            f"{name}/{key}": tensor.numpy().tobytes()
            for name, found in self.ended.tensors.items()
            for key, tensor in found.items()
        }
        return curves, tensors

    def files(self) -> list[Path]:
        return sorted(self.places.path.glob("*.safetensors"))


# Each kind by one rhythm of interruptions; by the other under ``make soak``.
@pytest.mark.parametrize(
    ("kind", "chances"),
    [
        pytest.param(kind, chances, marks=[pytest.mark.soak] if number % 2 == at else [])
        for number, kind in enumerate(KINDS)
        for at, chances in enumerate((8, 5))  # no fewer: a resumed epoch's end has four before it
    ],
)
def test_interrupted_at_any_moment_the_same_bits_follow(
    base: Base, tmp_path: Path, kind: str, chances: int
) -> None:
    """Inside an epoch, between validations and between epochs, with slots that refill."""
    whole = Case(base, kind, tmp_path / "whole")
    expected = whole.outcome(schedule := whole.train())
    states = {(c.learning_rate, c.state) for c in schedule.candidates}
    assert {state for rate, state in states if rate == WILD} == {RunState.DIVERGED}
    assert {state for rate, state in states if rate == LOW} == {RunState.STOPPED}
    case, calls = Case(base, kind, tmp_path / "often"), 0
    while True:
        calls += 1
        try:
            last = case.train(chances)
            break
        except BreakError:
            torch.manual_seed(calls)  # as another process would have it
    assert calls > 2
    assert case.outcome(last) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_saved_is_loaded_to_the_bit(base: Base, tmp_path: Path, kind: str) -> None:
    case = Case(base, kind, tmp_path)
    saved: list[tuple[StudySchedule, Position]] = []
    save = case.places.save

    def spy(schedule: StudySchedule, progress: Progress) -> None:
        assert progress.position is not None
        saved.append((schedule, progress.position))
        save(schedule, progress)

    case.places.save = spy  # type: ignore[method-assign]
    case.interrupted(case.num_slots + 8)  # within the second epoch
    schedule, position = saved[-1]
    random = torch.get_rng_state()
    torch.manual_seed(99)
    loaded = case.places.load(again := case.schedule())
    assert loaded is not None and loaded.position is not None
    assert torch.equal(torch.get_rng_state(), random)
    assert 0 < position.step == loaded.position.step
    for key in ("train_nll", "train_tokens", "seconds", "micro_batch_size"):
        # As text: what has diverged is NaN, which equals nothing.
        assert repr(getattr(loaded.position, key)) == repr(getattr(position, key))
    assert [c.id for c in loaded.position.seated] == [c.id for c in position.seated]
    assert_same(loaded.position.snapshots, position.snapshots)
    for mine, theirs in zip(again.candidates, schedule.candidates, strict=True):
        for key in ("id", "state", "reason", "best_epoch", "epochs"):
            assert getattr(mine, key) == getattr(theirs, key)
    best = [c.tensors or {} for c in loaded.position.seated]
    assert_same(best, [c.tensors or {} for c in position.seated])
    assert any(best)


def assert_same(found: Sequence[Tensors], expected: Sequence[Tensors]) -> None:
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.keys() == theirs.keys()
        assert all(mine[n].dtype == t.dtype and torch.equal(mine[n], t) for n, t in theirs.items())


def truncated(content: bytes) -> bytes:
    return content[:-9]


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def garbage(content: bytes) -> bytes:
    return b"\x07" * 100


@pytest.mark.parametrize("tear", [truncated, flipped, garbage, lambda content: b""])
def test_before_a_torn_checkpoint_the_one_before_counts(
    base: Base, tmp_path: Path, tear: Callable[[bytes], bytes]
) -> None:
    case = Case(base, "lora", tmp_path)
    case.interrupted(4)
    boundary, older, newest = case.files()
    newest.write_bytes(tear(newest.read_bytes()))
    found = case.places.load(case.schedule())
    assert found is not None and found.position is not None
    assert found.position.step == 2  # three steps were made: before the first, and after each

    for file in (older, boundary):
        file.write_bytes(tear(file.read_bytes()))
    assert case.places.load(anew := case.schedule()) is None
    assert {(c.state, len(c.epochs)) for c in anew.candidates} == {(RunState.WAITING, 0)}


def test_a_checkpoint_of_another_version_changes_nothing(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(base, "lora", tmp_path)
    record = checkpoints._record

    def odd(candidate: Candidate) -> dict[str, Any]:
        is_last = candidate.id == "m-lr1e+30-s1"
        return {**record(candidate), "state": "BAKED" if is_last else "COMPLETE"}

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "_record", odd)
        case.interrupted(4)
    assert case.places.load(schedule := case.schedule()) is None
    assert {c.state for c in schedule.candidates} == {RunState.WAITING}


def test_two_and_the_last_between_epochs_are_kept_and_their_numbers_rise(
    base: Base, tmp_path: Path
) -> None:
    case = Case(base, "lora", tmp_path)
    numbers = []
    for chances in (1, 4, 4):
        case.interrupted(chances)
        numbers.append([int(file.name[:6]) for file in case.files()])
    assert numbers == [[0], [1, 3, 4], [1, 7, 8]]
    assert {entry.name for entry in case.places.path.iterdir()} == {f.name for f in case.files()}


@pytest.mark.parametrize("chances", [5, pytest.param(8, marks=pytest.mark.soak)])
def test_a_folder_of_before_there_were_jobs_goes_on(
    base: Base, tmp_path: Path, chances: int
) -> None:
    expected = (whole := Case(base, "lora", tmp_path / "whole")).outcome(whole.train())
    case = Case(base, "lora", tmp_path / "older")
    case.interrupted(chances)
    (tmp_path / "older/events.jsonl").unlink()
    (tmp_path / "older/cohorts/train-0").rename(tmp_path / "older/checkpoints")
    (tmp_path / "older/cohorts").rmdir()
    case.interrupted(3)
    assert case.outcome(case.train()) == expected
    assert not (tmp_path / "older/checkpoints").exists()
    assert len(EventLog(tmp_path / "older").jobs("train")) == 1


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        SafetensorError("I/O error: No space left on device (os error 28)"),
    ],
)
@pytest.mark.parametrize("is_paused", [False, True])
def test_a_full_disk_leaves_the_checkpoints_that_were_there(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, is_paused: bool
) -> None:
    case = Case(base, "lora", tmp_path)
    case.interrupted(4)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}

    def full(tensors: Any, path: Path, **options: Any) -> None:
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(states, "save_file", full)
    candidate = case.schedule().candidates[0]
    candidate.snapshot = {"values/a": torch.zeros(1)}
    with pytest.raises(StoreError, match="the disk is full; free some space"):
        if is_paused:
            case.places.pause(candidate)
        else:
            case.places.save(case.schedule(), Progress())
    assert {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()} == before
    assert candidate.snapshot is not None
