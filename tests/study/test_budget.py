"""Studies that are cut to what a budget of time holds."""

from __future__ import annotations

import itertools
import json
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from bakeoff.api.running import RunSettings, execute
from bakeoff.api.study import Study
from bakeoff.config import dump_yaml
from bakeoff.data.hygiene.order import stands_by_label
from bakeoff.engine import train
from bakeoff.errors import BaseModelError
from bakeoff.execution.saving import RunSaver
from bakeoff.execution.stopping import StopSignals
from bakeoff.measure.plan import make_plan
from bakeoff.runs.reading import read_results
from bakeoff.study import budget, runner
from bakeoff.study.budget import Fitted, Shape, filled, shapes
from tests.studies import small_study

pytestmark = pytest.mark.usefixtures("quick", "quick_plans")
Run = Callable[..., Any]
LONG: dict[str, Any] = {
    "methods": {"lora": {"rank": 2, "learning_rate": 1e-2}, "head": {"learning_rate": 1e-2}},
    "protocol": {"epochs": 8, "micro_batch_size": 4, "grad_accum_steps": 1, "seeds": 5},
}
WHOLE = Shape(epochs=10, seeds=5, trials=6, train=2000, validation=500, test=1000)


def slow(factor: float) -> Callable[..., Any]:
    """Plans as of a machine that is slower by this factor; the study itself runs as it does."""

    def planned(*arguments: Any, **options: Any) -> Any:
        plan = make_plan(*arguments, **options)
        assert plan.wall_seconds is not None
        for method in plan.methods.values():
            for part in ("train", "validation"):
                method.epoch_seconds[part] = factor  # type: ignore[index]
        return plan

    return planned


def test_shapes_only_ever_shrink_and_keep_three_seeds_long() -> None:
    found = list(shapes(WHOLE))
    assert found[0] == WHOLE
    for before, after in itertools.pairwise(found):
        fields = ("epochs", "seeds", "trials", "train", "validation", "test")
        changed = [f for f in fields if getattr(before, f) != getattr(after, f)]
        assert len(changed) == 1
        assert getattr(after, changed[0]) < getattr(before, changed[0])
    assert found[-1] == Shape(epochs=1, seeds=1, trials=1, train=16, validation=32, test=16)
    two_seeds = next(shape for shape in found if shape.seeds == 2)
    assert (two_seeds.epochs, two_seeds.train, two_seeds.trials) == (1, 64, 2)
    # What is small already is not made larger.
    assert list(shapes(Shape(epochs=1, seeds=1, trials=1, train=8, validation=4, test=4)))[1:] == []


def test_a_split_in_the_order_of_its_labels_is_never_cut() -> None:
    kept = [shape for shape in shapes(WHOLE, {"test"}) if shape.test != WHOLE.test]
    assert not kept and len(list(shapes(WHOLE, {"test"}))) > 20
    *_, least = shapes(WHOLE, {"test"})
    shape = filled(WHOLE, least, lambda one: one.train <= 16)
    assert (shape.test, shape.train, shape.epochs) == (WHOLE.test, 16, WHOLE.epochs)


def test_rows_in_the_order_of_their_labels_are_seen() -> None:
    assert stands_by_label(np.array([0] * 5 + [2] * 5)) and stands_by_label(np.arange(8) // 2)
    assert not stands_by_label(np.zeros(20))  # one label: no cut loses another
    assert not stands_by_label(np.array([0, 1] * 10))
    assert not stands_by_label(np.array([0, 1]))


def test_what_still_fits_is_given_back_and_what_was_cut_last_comes_first() -> None:
    def rows(shape: Shape) -> int:
        return shape.epochs * shape.seeds * shape.trials * (shape.train + shape.validation)

    def fits(room: int, shape: Shape) -> bool:
        return rows(shape) <= room

    for room in (60, 200, 777, 5_000, 40_000, 10**9):
        fitting = next(shape for shape in shapes(WHOLE) if rows(shape) <= room or shape.train == 16)
        if rows(fitting) > room:
            continue
        found = filled(WHOLE, fitting, partial(fits, room))
        assert rows(found) <= room
        for part in ("epochs", "seeds", "trials", "train", "validation", "test"):
            assert getattr(fitting, part) <= getattr(found, part) <= getattr(WHOLE, part)
        # Nothing is left that one more row would still have held.
        assert found == WHOLE or rows(replace(found, train=found.train + 1)) > room
    smallest = Shape(epochs=1, seeds=1, trials=1, train=16, validation=32, test=16)
    # Testing costs nothing here, so it comes back whole; of training what is cut last comes first.
    found = filled(WHOLE, smallest, lambda one: rows(one) <= 100)
    assert (found.test, found.train, found.seeds, found.epochs) == (1000, 64, 1, 1)


def test_a_study_that_fits_is_not_cut(run_small: Run, results: Run, place: Path) -> None:
    fitting = {**LONG, "protocol": {**LONG["protocol"], "epochs": 2, "seeds": 2}}
    outcome = run_small("--budget", "9h", **fitting)
    assert outcome.code == 0, outcome.err
    assert "holds the whole study" in outcome.out
    kept = json.loads((place / "out/budget.json").read_text())
    assert kept["overrides"] == []
    found = results()
    assert found["status"] == "complete"
    assert found["study"]["protocol"]["epochs"] == 2
    assert found["study"]["protocol"]["seeds"] == 2


def test_one_that_does_not_fit_is_cut_and_says_so(
    run_small: Run, results: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "make_plan", slow(20.0))
    outcome = run_small("--budget", "12m", **LONG)
    assert outcome.code == 0, outcome.err
    found = results()
    assert found["status"] == "complete"
    protocol = found["study"]["protocol"]
    assert protocol["epochs"] < 8 and len(protocol["seeds"]) < 5
    [said] = [note for note in found["notes"] if "for the budget of" in note]
    assert f"epochs 8 to {protocol['epochs']}" in said
    assert f"seeds 5 to {len(protocol['seeds'])}" in said
    assert said in " ".join(outcome.out.split())
    # As runs of before keep it, with one number.
    file = place / "out/budget.json"
    kept = json.loads(file.read_text())
    [kept["after_training"]] = kept["after_training"]
    file.write_text(json.dumps(kept))
    # The same command, with another budget or none, finds it complete.
    monkeypatch.setattr(train, "train_step", None)
    for arguments in (("--budget", "2h"), ()):
        again = run_small(*arguments, **LONG)
        assert again.code == 0, again.err
        assert "This study is complete" in again.out
        assert results()["study"]["protocol"] == protocol


def test_a_run_that_was_begun_without_a_budget_is_not_cut(
    run_small: Run, results: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = {**LONG, "protocol": {**LONG["protocol"], "epochs": 1, "seeds": 1}}
    assert run_small(**short).code == 0
    monkeypatch.setattr(budget, "make_plan", slow(1e6))
    assert run_small("--budget", "30m", **short).code == 0
    assert results()["study"]["protocol"]["epochs"] == 1


def test_a_run_that_is_stopped_before_it_begins_goes_on_in_the_same_shape(
    run_small: Run, results: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(budget, "make_plan", slow(20.0))
        patch.setattr(runner, "open_workbench", lambda *_: signal.raise_signal(signal.SIGINT))
        outcome = run_small("--budget", "12m", **LONG)
    assert outcome.code == 130
    assert [file.name for file in (place / "out").iterdir()] == ["budget.json"]
    # Planned again, the machine would be found fast, and the study whole.
    assert run_small("--budget", "12m", **LONG).code == 0
    found = results()
    assert len(found["study"]["protocol"]["seeds"]) < 5
    assert sum("for the budget of" in note for note in found["notes"]) == 1


def test_a_shape_that_was_never_begun_is_of_its_budget_alone(
    run_small: Run, results: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = {**LONG, "protocol": {**LONG["protocol"], "epochs": 2, "seeds": 2}}
    with monkeypatch.context() as patch:
        patch.setattr(budget, "make_plan", slow(400.0))
        patch.setattr(runner, "open_workbench", lambda *_: signal.raise_signal(signal.SIGINT))
        run_small("--budget", "30m", **short)
    assert json.loads((place / "out/budget.json").read_text())["overrides"]
    assert run_small(**short).code == 0
    assert results()["study"]["protocol"]["seeds"] == 2
    # Nor is it taken for that of the study which is there by now.
    outcome = run_small("--budget", "30m", **short)
    assert outcome.code == 0 and "This study is complete" in outcome.out, outcome.err


def test_a_refused_study_leaves_no_shape(
    run_small: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise BaseModelError("no such base; give another")

    monkeypatch.setattr(runner, "open_workbench", refused)
    assert run_small("--budget", "9h", **LONG).code == 2
    assert not list((place / "out").iterdir())


def test_a_budget_that_holds_no_baseline_is_refused_and_leaves_nothing(
    run_small: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def planned(*_: Any, **__: Any) -> Fitted:
        seconds = {"load": 50.0, "baselines": 30.0, "training": 60.0, "test": 9.0, "costs": 9.0}
        return Fitted(overrides=(), cuts=(), seconds=seconds, fits=False)

    monkeypatch.setattr(budget, "fit_to_budget", planned)
    outcome = run_small("--budget", "60s", **LONG)
    assert outcome.code == 2
    assert "--budget 60.0 s: " in outcome.message
    assert "does not hold the baselines of this study (80.0 s)" in outcome.message
    outcome = run_small("--budget", "1ms", **LONG)
    assert "nothing of it is left after planning" in outcome.message and "µs" not in outcome.message
    assert not (place / "out").exists()


def test_training_that_takes_too_long_ends_with_an_epoch_and_is_tested(
    run_small: Run, results: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock jumps in the second epoch: no one trains a fourth, and all is tested."""
    left = iter([1e6] * 2 + [0.0] * 100)
    monkeypatch.setattr(
        "bakeoff.execution.saving.RunSaver.ends_training",
        lambda *_: None if next(left) else "the time budget does not hold another epoch",
    )
    one = {**LONG, "methods": {"lora": LONG["methods"]["lora"]}}
    assert run_small(**one).code == 0
    found = results()
    assert found["status"] == "complete"
    ended = {c["state"]: c["reason"] for c in found["candidates"].values()}
    assert ended["STOPPED"] == "the time budget does not hold another epoch after epoch 3 of 8"
    assert found["methods"]["lora"]["test"]["nll"]


def test_a_first_epoch_that_takes_too_long_ends_early_and_is_tested(
    run_small: Run, results: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def cuts(_: Any, seconds: float) -> bool:
        asked.append(seconds)
        return True

    monkeypatch.setattr("bakeoff.execution.saving.RunSaver.cuts_epoch", cuts)
    monkeypatch.setattr(
        "bakeoff.execution.saving.RunSaver.ends_training", lambda *_: "the budget is spent"
    )
    one = {**LONG, "methods": {"lora": LONG["methods"]["lora"]}}
    assert run_small(**one).code == 0
    found = results()
    assert asked and all(seconds > 0.0 for seconds in asked)
    assert found["methods"]["lora"]["test"]["nll"]
    [said] = {note for note in found["notes"] if "ended the first epoch" in note}
    done, whole = said.split(" after ")[1].split(" updates")[0].split(" of ")
    assert 1 <= int(done) < int(whole)


def test_only_time_that_is_left_is_given_to_a_validation() -> None:
    stop = StopSignals(1000.0)
    nothing: Any = None
    saver = RunSaver(nothing, nothing, stop, nothing, 1.0)
    assert not saver.cuts_epoch(100.0)
    stop.keep(850.0)
    assert saver.cuts_epoch(100.0) and not saver.cuts_epoch(1.0)
    stop.keep(950.0)
    assert not saver.cuts_epoch(100.0), "nothing is left to validate in"


def test_a_budget_that_shapes_nothing_ends_no_training_before_its_last_update(
    place: Path, small: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A moment is always left: just when a training would be cut short, or end with an epoch."""
    monkeypatch.setattr(StopSignals, "training_seconds_left", property(lambda _: 1e-9))
    monkeypatch.setattr(StopSignals, "ask_in_training", lambda *_: None)
    study = small(protocol={"epochs": 2, "micro_batch_size": 2, "grad_accum_steps": 1})
    settings = RunSettings(device="cpu", budget=1e6, costs=False, shapes=False)
    execute(Study.from_mapping(study), place / "out", Console(quiet=True), settings)
    found = read_results(place / "out")
    assert {(c.state, len(c.epochs)) for c in found.candidates.values()} == {("COMPLETE", 2)}
    assert not any("budget" in note for note in found.notes)


def test_a_training_that_is_cut_short_is_no_end_of_the_study(
    run_small: Run, results: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second pass has no time: what the first trained is tested, and the rest comes later."""
    asked: list[int] = []

    def left(self: StopSignals) -> float | None:
        asked.append(1)
        return -1.0 if len(asked) > 12 else 1e6

    with monkeypatch.context() as patch:
        patch.setattr(StopSignals, "training_seconds_left", property(left))
        short = {**LONG, "protocol": {**LONG["protocol"], "epochs": 1, "seeds": 1}}
        outcome = run_small(**short)
    assert outcome.code == 0, outcome.err
    assert "The time budget ended the training early." in outcome.out
    found = results()
    assert found["status"] == "partial"
    states = [c["state"] for c in found["candidates"].values()]
    assert states.count("COMPLETE") == 1
    tested = [name for name, method in found["methods"].items() if method["test"]]
    assert len(tested) == 1
    assert run_small(**short).code == 0
    assert results()["status"] == "complete"


def test_the_seconds_after_training_are_kept() -> None:
    stop = StopSignals(1000.0)
    left = stop.training_seconds_left
    assert left is not None and 800 < left <= 900
    stop.keep(300.0)
    left = stop.training_seconds_left
    assert left is not None and 500 < left <= 600
    assert stop.ask_in_training(400.0) is None
    spent = stop.ask_in_training(650.0)
    assert spent is not None and spent.exit_code == 0
    assert stop.ask() is None, "the rest of the study goes on"


def test_bases_and_prompts_are_cut_alike(
    place: Path, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = small_study(**LONG, bases=["scratch:tiny-gpt-neo", "scratch:tiny-llama"])
    del study["base"]
    (place / "study.yaml").write_text(dump_yaml(study), encoding="utf-8")
    kept: list[float] = []
    monkeypatch.setattr(StopSignals, "keep", lambda _, seconds: kept.append(seconds))
    monkeypatch.setattr(budget, "make_plan", slow(20.0))
    outcome = cli("run", "study.yaml", "--out", "out", "--device", "cpu", "--budget", "16m")
    assert outcome.code == 0, outcome.err
    found = read_results(place / "out")
    assert found.status == "complete"
    said = next(note for note in found.notes if "for the budget of" in note)
    for cell in ("scratch-tiny-gpt-neo", "scratch-tiny-llama"):
        protocol = read_results(place / "out" / "cells" / cell).study["protocol"]
        assert f"epochs 8 to {protocol['epochs']}" in said
        assert f"seeds 5 to {len(protocol['seeds'])}" in said
    # While the first is trained, the second is kept as a whole; its training takes most of it.
    first, second = kept
    planned = json.loads((place / "out/budget.json").read_text())["after_training"]
    assert kept == planned and first > 2 * second > 0


def test_help_says_what_a_budget_does(cli: Run) -> None:
    assert "Cuts the study to what" in " ".join(cli("run", "--help").out.split())
