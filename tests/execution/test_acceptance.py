"""What a run's driver accepts: what a checkpoint holds, in order, and each thing once."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from bakeoff.engine import train
from bakeoff.execution.acceptance import Acceptance
from bakeoff.execution.checkpoints import Checkpoints
from bakeoff.runs.events import Ended, EventLog, Kept, Packed, Trained
from bakeoff.types import RunState

Run = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("quick")

STUDY: dict[str, Any] = {
    "methods": {"lora": {"rank": 2, "alpha": None, "learning_rate": [1e-3, 1e-2]}},
    "search": {"growth": 0},
    "protocol": {"epochs": 3, "seeds": [0]},
}


def in_short(folder: Path) -> list[tuple[str, ...]]:
    """The events in short."""
    found: list[tuple[str, ...]] = []
    for event in EventLog(folder).events:
        if isinstance(event, Packed):
            found.append(("packed", event.job.cohort, *event.job.candidates, *event.job.baselines))
        elif isinstance(event, Trained):
            found.append(("trained", event.cohort, event.candidate, str(event.epoch.epoch)))
        elif isinstance(event, Ended):
            found.append(("ended", event.cohort, event.candidate, event.state.value))
        elif isinstance(event, Kept):
            found.append(("kept", event.cohort, event.part))
    return found


def test_the_log_holds_the_search_in_order(run_small: Run, place: Path) -> None:
    assert run_small(**STUDY).code == 0
    weak, good, final = "lora-lr0.001-s1000", "lora-lr0.01-s1000", "lora-lr0.01-s0"
    assert in_short(place / "out") == [
        ("packed", "baseline-0", "lead", "zero_shot"),
        ("kept", "baseline-0", "lead"),
        ("kept", "baseline-0", "zero_shot"),
        ("packed", "train-base-0", weak, good),
        ("trained", "train-base-0", weak, "1"),
        ("trained", "train-base-0", good, "1"),
        ("packed", "train-base-1", good),
        # The decision is in the first checkpoint after it.
        ("ended", "train-base-0", weak, "PRUNED"),
        ("trained", "train-base-1", good, "2"),
        ("packed", "train-base-2", good),
        ("trained", "train-base-2", good, "3"),
        ("ended", "train-base-2", good, "COMPLETE"),
        ("packed", "train-base-3", final),
        ("trained", "train-base-3", final, "1"),
        ("trained", "train-base-3", final, "2"),
        ("trained", "train-base-3", final, "3"),
        ("ended", "train-base-3", final, "COMPLETE"),
        ("packed", "test-0", final),
        ("kept", "test-0", final),
        # The candidate that was chosen stands for its method.
        ("packed", "measure-0", good),
        ("kept", "measure-0", good),
    ]


class KilledError(BaseException):
    """As a process that is killed."""


@contextmanager
def killed(number: int, *, is_saved: bool) -> Iterator[list[int]]:
    """Inside, the run dies at its checkpoint of some number.

    Args:
        number: from 1. is_saved: dies once it is on the disk, before anything of it is accepted.

    Yields:
        How many were saved until then, in a list.
    """
    save, accept = Checkpoints.save, Acceptance.accept
    saved = [0]

    def counted(self: Checkpoints, *arguments: Any) -> None:
        saved[0] += 1
        if saved[0] == number and not is_saved:
            raise KilledError
        save(self, *arguments)

    def accepted(self: Acceptance) -> None:
        if saved[0] == number:
            raise KilledError
        accept(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "save", counted)
        patch.setattr(Acceptance, "accept", accepted)
        yield saved


@pytest.mark.parametrize("step", [6, pytest.param(1, marks=pytest.mark.soak)])
def test_nothing_is_accepted_before_its_checkpoint_and_nothing_twice(
    run_small: Run, place: Path, step: int
) -> None:
    assert run_small(**STUDY).code == 0
    undisturbed = in_short(place / "out")
    for number in itertools.count(1, step):
        (place / "out").rename(place / f"out{number}")
        with killed(number, is_saved=number // step % 2 == 0) as saved, suppress(KilledError):
            run_small(**STUDY)
        if saved[0] < number:
            break
        assert not Counter(in_short(place / "out")) - Counter(undisturbed)
        assert run_small(**STUDY).code == 0
        assert in_short(place / "out") == undisturbed, number
    assert number > 8


def test_a_candidate_that_starts_again_in_another_call_is_logged_again(
    run_small: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> Any:
        raise ArithmeticError("no such number")

    with monkeypatch.context() as patch:
        patch.setattr(train, "train_step", broken)
        assert run_small().code == 0
    assert run_small().code == 0
    states = [e.state for e in EventLog(place / "out").events if isinstance(e, Ended)]
    assert states == [RunState.FAILED, RunState.COMPLETE]
