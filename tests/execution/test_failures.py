"""A candidate that goes wrong takes no other with it and never ends a study."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.trial import TrialState

from bakeoff.engine import train
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.train import Trainer
from bakeoff.execution import training_worker
from bakeoff.execution.archive import Archive
from bakeoff.execution.progress import ProgressView
from bakeoff.execution.questions import Questions
from bakeoff.measure.costs import CostFailure
from bakeoff.methods.low_rank.lora import Lora
from bakeoff.report import write_report
from bakeoff.runs.events import Ended, EventLog
from bakeoff.runs.records import CostRecord
from tests.studies import telling

Run = Callable[..., Any]
Results = Callable[[], dict[str, Any]]
pytestmark = pytest.mark.usefixtures("quick")

TWO: dict[str, dict[str, Any]] = {
    "lora": {"rank": 2, "learning_rate": 1e-2},
    "wild": {"kind": "lora", "learning_rate": 1e30},
}


def states(results: dict[str, Any]) -> dict[str, str]:
    return {name: candidate["state"] for name, candidate in results["candidates"].items()}


def noted(results: dict[str, Any]) -> list[str]:
    """The notes, without those on candidates that one short epoch leaves improving."""
    return telling(results["notes"])


def test_a_candidate_that_diverges_has_no_figures_and_the_study_completes(
    run_small: Run, place: Path, monkeypatch: pytest.MonkeyPatch, results: Results
) -> None:
    monkeypatch.setattr("bakeoff.report.write_report", write_report)

    outcome = run_small(methods=TWO)

    assert outcome.code == 0, outcome.err
    assert results()["status"] == "complete"
    assert states(results()) == {"lora-lr0.01-s0": "COMPLETE", "wild-lr1e+30-s0": "DIVERGED"}
    wild = results()["methods"]["wild"]
    assert wild["state"] == "DIVERGED"
    assert "left the finite numbers in epoch 1 at learning rate 1e+30; lower it" in wild["reason"]
    assert wild["test"] == wild["validation"] == {} and wild["seeds"] == []
    assert wild["cost"]["adapter_bytes"] is None
    assert results()["methods"]["lora"]["test"]["nll"]["mean"] > 0
    compared = {(c["a"], c["b"]) for c in results()["comparisons"]}
    assert compared == {("lead", "zero_shot"), ("lead", "lora"), ("zero_shot", "lora")}
    # What is copied has no likelihood.
    assert [(c["a"], c["b"]) for c in results()["comparisons"] if c["metric"] == "nll"] == [
        ("zero_shot", "lora")
    ]
    assert "wild-lr1e+30-s0" in outcome.out and "diverged: the loss left" in outcome.out
    assert not (place / "out/candidates/wild-lr1e+30-s0/adapter").exists()
    for name in ("report.html", "report.md"):
        assert "wild" in (place / "out" / name).read_text(encoding="utf-8")


def test_a_neighbour_that_diverges_changes_nothing(run_small: Run, results: Results) -> None:
    run_small(methods=TWO)
    beside_wild = results()["candidates"]["lora-lr0.01-s0"]["epochs"]
    calm = {**TWO, "wild": {**TWO["wild"], "learning_rate": 1e-9}}
    run_small("--fresh", methods=calm)
    beside_calm = results()["candidates"]["lora-lr0.01-s0"]["epochs"]
    assert beside_wild[0]["train_nll"] == beside_calm[0]["train_nll"]
    assert beside_wild[0]["val_nll"] == beside_calm[0]["val_nll"]


def test_a_study_in_which_all_diverge_says_so(run_small: Run, results: Results) -> None:
    outcome = run_small(methods={"wild": TWO["wild"]})
    assert outcome.code == 0
    assert results()["recommendation"]["method"] is None
    assert "Nothing is recommended" in outcome.out


@pytest.mark.parametrize("error", [RuntimeError("[boom]"), KeyError("boom"), OSError("boom")])
def test_a_candidate_that_raises_fails_alone(
    run_small: Run, monkeypatch: pytest.MonkeyPatch, results: Results, error: Exception
) -> None:
    sit_down = Trainer._sit_down

    def broken(self: Trainer, slot: int, candidate: Any, snapshot: Any) -> None:
        if candidate.id == "lora-lr0.01-s1":
            raise error
        sit_down(self, slot, candidate, snapshot)

    monkeypatch.setattr(Trainer, "_sit_down", broken)

    outcome = run_small(protocol={"seeds": [0, 1, 2]})

    assert outcome.code == 0, outcome.err
    assert states(results()) == {
        "lora-lr0.01-s0": "COMPLETE",
        "lora-lr0.01-s1": "FAILED",
        "lora-lr0.01-s2": "COMPLETE",
    }
    reason = f"training failed: {type(error).__name__}: {error}"
    assert results()["candidates"]["lora-lr0.01-s1"]["reason"] == reason
    assert f"failed: {reason}" in outcome.out
    assert results()["methods"]["lora"]["state"] == "FAILED"
    assert results()["methods"]["lora"]["seeds"]  # those that ended well


@pytest.mark.parametrize("fails_together", [False, True])
def test_candidates_that_fail_before_they_have_a_seat_end_in_the_log_and_the_database(
    run_small: Run,
    cli: Run,
    place: Path,
    results: Results,
    monkeypatch: pytest.MonkeyPatch,
    fails_together: bool,
) -> None:
    """As hidden states do; where the pass of all failed first, while one by one is looked for."""
    opened = training_worker.open_batch_source
    passes = int(fails_together)

    def failing(*arguments: Any) -> Any:
        nonlocal passes
        passes -= 1
        if passes >= 0:
            return opened(*arguments)
        raise RuntimeError("no hidden states")

    def step(*_: Any) -> None:
        raise RuntimeError("no step")

    monkeypatch.setattr(training_worker, "open_batch_source", failing)
    monkeypatch.setattr(train, "train_step", step)
    search = {"learning_rates": 2, "growth": 0, "seeds": 1}
    assert run_small(methods={"head": {"learning_rate": None}}, search=search).code == 0
    names = set(results()["candidates"])
    assert len(names) == 2 and set(states(results()).values()) == {"FAILED"}
    reasons = {candidate["reason"] for candidate in results()["candidates"].values()}
    assert reasons == {"training failed: RuntimeError: no hidden states"}
    ended = [event for event in EventLog(place / "out").events if isinstance(event, Ended)]
    assert {event.candidate for event in ended} == names
    study = optuna.load_study(study_name="small/head", storage=f"sqlite:///{place}/out/study.db")
    assert [trial.state for trial in study.trials] == 2 * [TrialState.FAIL]
    assert "2 of 2 candidates have ended" in cli("status", "out").words


def test_who_has_ended_before_a_cohort_fails_is_not_trained_again(
    run_small: Run, monkeypatch: pytest.MonkeyPatch, trained: list[str], results: Results
) -> None:
    on_end = ProgressView.on_end
    failed: list[str] = []

    def broken(self: ProgressView, candidate: Any) -> None:
        on_end(self, candidate)
        if not failed:
            failed.append(candidate.id)
            raise RuntimeError("boom")

    monkeypatch.setattr(ProgressView, "on_end", broken)
    assert run_small(protocol={"seeds": [0, 1]}).code == 0
    assert set(states(results()).values()) == {"COMPLETE"}
    assert trained == ["lora-lr0.01-s0", "lora-lr0.01-s1", "lora-lr0.01-s1"]


def test_a_candidate_that_cannot_be_written_fails(
    run_small: Run, monkeypatch: pytest.MonkeyPatch, results: Results
) -> None:
    def broken(*arguments: Any) -> None:
        raise ValueError("a tensor that no file takes")

    monkeypatch.setattr(Lora, "save", broken)
    assert run_small(methods={"lora": TWO["lora"], "head": {"learning_rate": 1e-2}}).code == 0
    assert states(results()) == {"lora-lr0.01-s0": "FAILED", "head-lr0.01-s0": "COMPLETE"}
    assert results()["methods"]["lora"]["reason"] == (
        "saving failed: ValueError: a tensor that no file takes"
    )


def test_a_failed_candidate_is_tried_again_by_the_next_call(
    run_small: Run, place: Path, monkeypatch: pytest.MonkeyPatch, results: Results
) -> None:
    def broken(*arguments: Any) -> None:
        raise RuntimeError("boom")

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run", broken)
        assert run_small().code == 0
    assert states(results()) == {"lora-lr0.01-s0": "FAILED"}
    (place / "out/results.json").unlink()
    assert run_small().code == 0
    assert states(results()) == {"lora-lr0.01-s0": "COMPLETE"}


def test_memory_that_runs_out_is_noted_and_the_update_stays_the_same(
    run_small: Run, monkeypatch: pytest.MonkeyPatch, results: Results
) -> None:
    run_small(methods={"head": {"learning_rate": 1e-2}})
    before = results()["candidates"]["head-lr0.01-s0"]["epochs"]
    step, calls = train.train_step, []

    def short(*arguments: Any) -> Any:
        calls.append(arguments[5])
        if arguments[5] > 1:
            raise torch.OutOfMemoryError("out of memory")
        return step(*arguments)

    monkeypatch.setattr(train, "train_step", short)
    assert run_small("--fresh", methods={"head": {"learning_rate": 1e-2}}).code == 0

    assert calls[:3] == [4, 2, 1]
    note = noted(results())[-1]
    assert "memory ran out while training head" in note
    assert "1 rows and accumulated 8 times, so the update is the same" in note
    after = results()["candidates"]["head-lr0.01-s0"]["epochs"]
    assert after[0]["val_nll"] == pytest.approx(before[0]["val_nll"], rel=1e-5)


def test_memory_too_small_for_a_cohort_is_noted_and_each_goes_alone(
    run_small: Run, monkeypatch: pytest.MonkeyPatch, trained: list[str], results: Results
) -> None:
    cohort = Cohort

    def small_machine(base: Any, methods: Any, slots: int, *rest: Any) -> Any:
        if slots > 1:
            raise torch.OutOfMemoryError("out of memory")
        return cohort(base, methods, slots, *rest)

    monkeypatch.setattr("bakeoff.engine.train.Cohort", small_machine)
    assert run_small(protocol={"seeds": [0, 1]}).code == 0
    assert set(states(results()).values()) == {"COMPLETE"}
    assert trained == ["lora-lr0.01-s0", "lora-lr0.01-s1"]
    assert "memory is too small for 2 candidates in one pass" in noted(results())[-1]


def test_a_fault_of_generation_leaves_a_partial_result(
    run_small: Run, monkeypatch: pytest.MonkeyPatch, place: Path, results: Results
) -> None:
    def broken(*arguments: Any, **options: Any) -> None:
        raise LookupError("a fault of our own")

    monkeypatch.setattr("bakeoff.execution.outputs.generate", broken)
    outcome = run_small()
    assert outcome.code == 0, outcome.err
    assert results()["status"] == "partial"
    assert states(results()) == {"lora-lr0.01-s0": "FAILED"}
    for part in ("baselines/zero_shot", "candidates/lora-lr0.01-s0"):
        written = (place / "out" / part / "error.txt").read_text(encoding="utf-8")
        assert "LookupError: a fault of our own" in written


def test_a_method_that_cannot_be_measured_is_noted_with_its_error(
    run_small: Run, monkeypatch: pytest.MonkeyPatch, place: Path, results: Results
) -> None:
    failure = CostFailure(reason="RuntimeError: no room", traceback="Traceback ...\nno room")
    monkeypatch.setattr("bakeoff.study.costs.measure_costs", lambda *_: iter([("lora", failure)]))
    outcome = run_small()
    assert outcome.code == 0
    [note] = noted(results())
    assert note.startswith("the costs of lora could not be measured: RuntimeError: no room")
    assert note.split("in ")[-1].rstrip(")") == "candidates/lora-lr0.01-s0/error.txt"
    written = (place / "out/candidates/lora-lr0.01-s0/error.txt").read_text(encoding="utf-8")
    assert written == "Traceback ...\nno room\n"
    assert results()["methods"]["lora"]["cost"]["peak_memory_bytes"] is None
    assert results()["status"] == "complete"


def test_costs_from_smaller_batches_are_noted(
    run_small: Run, monkeypatch: pytest.MonkeyPatch, results: Results
) -> None:
    cost = CostRecord(peak_memory_bytes=7, micro_batch_size=2)
    monkeypatch.setattr("bakeoff.study.costs.measure_costs", lambda *_: iter([("lora", cost)]))
    assert run_small().code == 0
    assert noted(results()) == [
        "the costs of lora were measured with a micro-batch of 2 rows: memory ran out with the "
        "study's 4"
    ]
    found = results()["methods"]["lora"]["cost"]
    assert (found["peak_memory_bytes"], found["made_with"]["micro_batch_size"]) == (7, 2)


def small_test_memory(monkeypatch: pytest.MonkeyPatch, *, lost: Sequence[str] = ()) -> list[int]:
    """Testing holds one candidate at a time, and some not at all; returns the passes' sizes."""
    original, sizes = Questions.outcomes, []
    tensors_of = Archive.tensors_of

    def outcomes(self: Questions, cohort: Any, slots: Any, *rest: Any, **options: Any) -> Any:
        sizes.append(len(slots))
        if len(slots) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(self, cohort, slots, *rest, **options)

    def tensors(self: Archive, candidate: Any) -> Any:
        if candidate.id in lost and sizes[1:]:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`")
        return tensors_of(self, candidate)

    monkeypatch.setattr(Questions, "outcomes", outcomes)
    monkeypatch.setattr(Archive, "tensors_of", tensors)
    return sizes


def test_candidates_that_memory_does_not_hold_together_are_tested_alone(
    run_small: Run, monkeypatch: pytest.MonkeyPatch, results: Results
) -> None:
    sizes = small_test_memory(monkeypatch)
    assert run_small(protocol={"seeds": [0, 1]}).code == 0
    assert sizes == [1, 2, 1, 1]  # the first is the untuned base
    assert results()["status"] == "complete"
    assert len(results()["methods"]["lora"]["candidates"]) == 2
    assert "memory is too small to test 2 candidates in one pass" in noted(results())[-1]


def test_a_candidate_that_cannot_be_tested_fails_alone_and_is_only_tested_again(
    run_small: Run, monkeypatch: pytest.MonkeyPatch, trained: list[str], results: Results
) -> None:
    with monkeypatch.context() as patch:
        small_test_memory(patch, lost=["lora-lr0.01-s1"])
        outcome = run_small(protocol={"seeds": [0, 1, 2]})
    assert outcome.code == 0, outcome.err
    assert states(results()) == {
        "lora-lr0.01-s0": "COMPLETE",
        "lora-lr0.01-s1": "FAILED",
        "lora-lr0.01-s2": "COMPLETE",
    }
    assert (
        "testing failed: RuntimeError: CUDA" in results()["candidates"]["lora-lr0.01-s1"]["reason"]
    )
    assert results()["status"] == "partial"
    assert results()["methods"]["lora"]["seeds"] == [0, 2]
    assert len(trained) == 3
    assert run_small(protocol={"seeds": [0, 1, 2]}).code == 0
    assert results()["status"] == "complete"
    assert set(states(results()).values()) == {"COMPLETE"}
    assert len(trained) == 3, "its training had ended well"


def test_patience_stops_a_candidate_early_and_its_best_epoch_counts(
    run_small: Run, place: Path, results: Results
) -> None:
    methods = {"head": {"learning_rate": 3.0}}
    assert run_small(methods=methods, protocol={"epochs": 9, "patience": 1}).code == 0
    candidate = results()["candidates"]["head-lr3-s0"]
    losses = [epoch["val_nll"] for epoch in candidate["epochs"]]
    assert candidate["state"] == "STOPPED"
    assert len(losses) < 9
    assert losses[candidate["best_epoch"] - 1] == min(losses)
    assert candidate["best_epoch"] == len(losses) - 1
    assert "no better validation NLL" in candidate["reason"]
    assert results()["methods"]["head"]["validation"]["nll"]["mean"] == min(losses)
    kept = json.loads((place / "out/candidates/head-lr3-s0/record.json").read_text("utf-8"))
    assert kept["best_epoch"] == candidate["best_epoch"]
