"""A search trains in rounds: what it holds on to between them, and when it decides."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bakeoff.engine import train
from bakeoff.engine.candidate import Candidate
from bakeoff.execution import training_worker
from bakeoff.execution.training import TrainingStage
from bakeoff.search.schedule import Settled, StudySchedule
from bakeoff.types import RunState

Run = Callable[..., Any]
Results = Callable[[], dict[str, Any]]
pytestmark = pytest.mark.usefixtures("quick")
SEARCHED: dict[str, Any] = {
    "search": {"learning_rates": 3, "seeds": 2, "growth": 1},
    "protocol": {"epochs": 2, "micro_batch_size": 4, "grad_accum_steps": 1},
}


def test_hidden_states_are_computed_once_for_all_rounds(
    run_small: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    open_batch_source = training_worker.open_batch_source

    def spy(base: Any, execution_path: Any, *rest: Any) -> Any:
        opened.append(execution_path.value)
        return open_batch_source(base, execution_path, *rest)

    monkeypatch.setattr(training_worker, "open_batch_source", spy)
    assert run_small(methods={"head": {}, "lora": {"rank": 2}}, **SEARCHED).code == 0
    assert sorted(opened) == ["base", "hidden_states"]


def test_a_micro_batch_that_memory_halved_stays_halved_in_later_rounds(
    run_small: Run, monkeypatch: pytest.MonkeyPatch, results: Results, place: Path
) -> None:
    step = train.train_step
    refused: list[int] = []

    def short_of_memory(*arguments: Any) -> Any:
        if arguments[5] > 2:
            refused.append(arguments[5])
            raise MemoryError
        return step(*arguments)

    monkeypatch.setattr(train, "train_step", short_of_memory)
    assert run_small(methods={"lora": {"rank": 2}}, **SEARCHED).code == 0
    assert refused == [4]
    assert len([note for note in results()["notes"] if "was halved to 2 rows" in note]) == 1
    for record in place.glob("out/candidates/*/record.json"):
        assert json.loads(record.read_text())["made_with"]["micro_batch_size"] == 2


def test_nothing_is_decided_before_the_round_is_over(
    run_small: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also not of a method whose own candidates are all there, as its cohort would be another."""
    settle = StudySchedule.settle
    under_way: list[int] = []

    def spy(self: StudySchedule, *names: Any) -> Any:
        busy = [c for c in self.candidates if c.state in (RunState.WAITING, RunState.RUNNING)]
        under_way.append(len(busy))
        return settle(self, *names)

    monkeypatch.setattr(StudySchedule, "settle", spy)
    methods = {"one": {"kind": "lora", "rank": 1}, "two": {"kind": "lora", "rank": 2}}
    assert run_small(methods=methods, slots=2, **SEARCHED).code == 0
    assert under_way[1] == 6  # named, and none has trained
    assert set(under_way[2:]) == {0}


def test_a_choice_whose_scores_others_make_is_waited_for_and_not_asked_again() -> None:
    """A shard leaves the validation of its candidates to another one."""
    mine, other = (_candidate(name) for name in ("mine", "other"))
    decisions = [
        [Settled(text="a round is over"), Settled(text="", unscored=(mine, other))],
        [Settled(text="", unscored=(other,))],
    ]
    asked: list[list[Candidate]] = []
    settle = iter([*decisions, *decisions[1:] * 3])
    stage: Any = SimpleNamespace(
        schedule=SimpleNamespace(methods={}, settle=lambda _: next(settle)),
        events=None,
        score=lambda candidates: asked.append(candidates),
    )
    observer: Any = SimpleNamespace(on_settled=lambda *_: None)
    assert TrainingStage._settle(stage, (), observer)  # a round was over besides
    assert not TrainingStage._settle(stage, (), observer)
    assert asked == [[mine, other], [other], [other]]


def _candidate(id: str) -> Candidate:
    nothing: Any = None
    return Candidate(id=id, method_name="m", method=nothing, learning_rate=1.0, seed=0)
