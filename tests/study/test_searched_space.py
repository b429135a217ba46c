"""A study that searches more than the rate, from its file to its results."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest

from bakeoff.engine.train import Trainer
from bakeoff.study import costs
from tests.studies import measured_here

Run = Callable[..., Any]
Results = Callable[[], dict[str, Any]]
pytestmark = pytest.mark.usefixtures("quick")

METHODS = {"lora": {"kind": "lora"}, "head": {"kind": "head"}}
SPACE = {"rank": [1, 2], "micro_batch_size": [2, 4]}


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, set[int]]]:
    """For each epoch the rows of an update, and what its candidates' settings ask for."""
    found: list[tuple[int, set[int]]] = []
    epoch = Trainer._epoch

    def spy(self: Trainer, *arguments: Any) -> None:
        seated = [c for c in self._running if c is not None]
        wanted = {c.options.get("micro_batch_size", 4) for c in seated}
        found.append((self.train_plan.rows_per_step, wanted))
        epoch(self, *arguments)

    monkeypatch.setattr(Trainer, "_epoch", spy)
    return found


def test_settings_of_the_protocol_are_searched_in_passes_of_their_own(
    run_small: Run, results: Results, place: Path, passes: list[tuple[int, set[int]]]
) -> None:
    search = {"space": SPACE, "trials": 4, "growth": 0, "grid_factor": 30.0, "pruner": None}
    outcome = run_small(methods=METHODS, search=search, protocol={"seeds": [0, 1]})
    assert outcome.code == 0, outcome.err
    assert all(wanted == {rows // 2} for rows, wanted in passes)  # two of them an update
    assert {rows for rows, _ in passes} == {4, 8}
    found = results()
    for name in METHODS:
        method = found["methods"][name]
        assert len(method["search"]["curve"]) == 4
        chosen = found["candidates"][method["search"]["chosen"]]
        assert chosen["seed"] == 1000
        assert method["options"]["micro_batch_size"] == chosen["options"]["micro_batch_size"]
        finals = [found["candidates"][id] for id in method["candidates"]]
        assert [final["options"] for final in finals] == [chosen["options"]] * 2
        assert [final["seed"] for final in finals] == [0, 1]
        assert method["test"]["nll"]["mean"] > 0
    assert {id.split("-lr")[0] for id in found["candidates"]} == {
        "lora-rank1-micro_batch_size2",
        "lora-rank1-micro_batch_size4",
        "lora-rank2-micro_batch_size2",
        "lora-rank2-micro_batch_size4",
        "head-micro_batch_size2",
        "head-micro_batch_size4",
    }
    trials = optuna.load_study(study_name="small/lora", storage=f"sqlite:///{place}/out/study.db")
    assert {tuple(sorted(t.params)) for t in trials.trials} == {
        ("learning_rate", "micro_batch_size", "rank")
    }


def test_costs_are_measured_under_the_protocol_that_was_chosen(
    run_small: Run, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: dict[str, int] = {}

    def spy(command: Sequence[str], job: Any, names: Sequence[str], folder: Path) -> Any:
        measured.update(dict.fromkeys(names, job["study"]["protocol"]["micro_batch_size"]))
        return measured_here(command, job, names, folder)

    monkeypatch.setattr(costs, "measure_costs", spy)
    search = {"space": SPACE, "trials": 4, "growth": 0}
    assert run_small(methods=METHODS, search=search).code == 0
    for name, method in results()["methods"].items():
        assert measured[name] == method["options"]["micro_batch_size"]
        assert method["cost"]["micro_batch_size"] == measured[name]


def test_epochs_are_searched_without_a_pruner(run_small: Run, results: Results) -> None:
    search = {"space": {"epochs": [1, 3]}, "trials": 4, "growth": 0, "pruner": None}
    assert run_small(methods=METHODS, search=search).code == 0
    found = results()
    for candidate in found["candidates"].values():
        assert len(candidate["epochs"]) == candidate["options"]["epochs"]
    searched = [c for c in found["candidates"].values() if c["seed"] == 1000]
    assert sorted(len(c["epochs"]) for c in searched) == [1] * 4 + [3] * 4
    trained = sum(len(c["epochs"]) for c in found["candidates"].values())
    assert found["search"]["epochs_trained"] == trained
    assert found["search"]["epochs_full_grid"] == 16


def test_an_interrupted_search_of_several_protocols_goes_on_to_the_same_results(
    run_small: Run, results: Results, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {
        "methods": METHODS,
        "search": {"space": SPACE, "trials": 4, "growth": 0},
        "protocol": {"epochs": 2},
        "checkpoint_minutes": 1e-9,
    }
    assert run_small(**changes).code == 0
    whole = results()["candidates"]
    (place / "out").rename(place / "whole")
    step, counted = Trainer._step, [0]

    def broken(self: Trainer, *arguments: Any) -> Any:
        counted[0] += 1
        if counted[0] % 11 == 0:
            raise KeyboardInterrupt
        return step(self, *arguments)

    monkeypatch.setattr(Trainer, "_step", broken)
    calls = 1
    while run_small(**changes).code == 130:
        calls += 1
        assert calls < 30
    assert calls > 3
    again = results()["candidates"]
    assert list(again) == list(whole)
    for id, candidate in whole.items():
        curves = [
            [(epoch["train_nll"], epoch["val_nll"]) for epoch in one["epochs"]]
            for one in (candidate, again[id])
        ]
        assert curves[0] == curves[1], json.dumps(curves)
        assert again[id]["state"] == candidate["state"]
