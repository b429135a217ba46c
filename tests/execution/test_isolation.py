"""A candidate that fails takes no other with it, and says where and why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.engine import score
from bakeoff.engine.generation.generate import generate
from bakeoff.engine.train import Trainer
from bakeoff.methods.low_rank.lora import Lora

Run = Callable[..., Any]
Results = Callable[[], dict[str, Any]]
pytestmark = pytest.mark.usefixtures("quick")

THREE = {
    name: {"kind": "lora", "rank": rank, "learning_rate": 1e-2}
    for name, rank in (("one", 1), ("two", 2), ("three", 3))
}


def states(results: dict[str, Any]) -> dict[str, str]:
    return {c["method"]: c["state"] for c in results["candidates"].values()}


def fail_in_epoch(monkeypatch: pytest.MonkeyPatch, method: str, epoch: int) -> list[list[str]]:
    """Every update of the method's candidate in that epoch raises; the ids of each pass."""
    step = Trainer._step
    passes: list[list[str]] = []

    def broken(self: Trainer, steps: Any, rates: Any) -> Any:
        running = [candidate for candidate in self._running if candidate is not None]
        ids = [f"{candidate.method_name}{len(candidate.epochs) + 1}" for candidate in running]
        if not passes or passes[-1] != ids:
            passes.append(ids)
        if f"{method}{epoch}" in ids:
            raise ArithmeticError("no such number")
        return step(self, steps, rates)

    monkeypatch.setattr(Trainer, "_step", broken)
    return passes


def test_neighbours_of_a_failed_candidate_go_on_from_their_last_epoch(
    run_small: Run, monkeypatch: pytest.MonkeyPatch, place: Path, results: Results
) -> None:
    protocol = {"epochs": 3}
    assert run_small(methods=THREE, protocol=protocol).code == 0
    undisturbed = results()
    passes = fail_in_epoch(monkeypatch, "two", 2)
    outcome = run_small("--fresh", methods=THREE, protocol=protocol)
    assert states(results()) == {"one": "COMPLETE", "two": "FAILED", "three": "COMPLETE"}
    # Each is tried alone until one fails; the others keep what they had and go on together.
    assert passes == [
        ["one1", "two1", "three1"],
        ["one2", "two2", "three2"],
        ["one2"],
        ["two2"],
        ["one3", "three2"],
        ["three3"],
    ]
    for name in ("one", "three"):
        now, before = (
            [e["val_nll"] for e in r["candidates"][f"{name}-lr0.01-s0"]["epochs"]]
            for r in (results(), undisturbed)
        )
        assert now == pytest.approx(before, rel=1e-4)
    failed = results()["candidates"]["two-lr0.01-s0"]
    assert len(failed["epochs"]) == 1
    assert failed["reason"] == "training failed: ArithmeticError: no such number"
    written = (place / "out/candidates/two-lr0.01-s0/error.txt").read_text(encoding="utf-8")
    assert written.startswith("Traceback") and "ArithmeticError: no such number" in written
    [line] = [
        line for line in outcome.out.splitlines() if "two-lr0.01-s0" in line and "failed" in line
    ]
    assert "no such number" in line
    assert results()["status"] == "partial"


def test_one_score_that_is_no_number_fails_its_candidate_alone(
    run_small: Run, monkeypatch: pytest.MonkeyPatch, place: Path, results: Results
) -> None:
    nlls = score.example_nlls

    def broken(cohort: Any, slot: int, batch_source: Any, plan: Any) -> Any:
        found = nlls(cohort, slot, batch_source, plan)
        method = cohort.seated[slot]
        if method is not None and method.options.rank == 2 and len(found) == plan.num_rows == 4:
            found[3] = np.nan
        return found

    monkeypatch.setattr("bakeoff.execution.outputs.example_nlls", broken)
    outcome = run_small(methods=THREE, protocol={"seeds": [0, 5]})
    assert outcome.code == 0
    assert states(results())["two"] == "FAILED"
    assert results()["methods"]["two"]["test"] == {}
    for name in ("one", "three"):
        assert results()["methods"][name]["seeds"] == [0, 5]
    reason = results()["candidates"]["two-lr0.01-s5"]["reason"]
    assert "test row 3 of method two, seed 5: its score is not a finite number" in reason
    assert any("test row 3 of method two, seed 5" in line for line in outcome.out.splitlines())
    written = (place / "out/candidates/two-lr0.01-s5/error.txt").read_text(encoding="utf-8")
    assert written.startswith("Traceback") and "ScoreError" in written
    # The folder stays of use: the next call makes what is missing.
    monkeypatch.undo()


def test_a_pass_that_fails_in_testing_is_made_again_one_by_one(
    run_small: Run, monkeypatch: pytest.MonkeyPatch, results: Results
) -> None:
    def broken(cohort: Any, slots: Any, *rest: Any, **options: Any) -> Any:
        if any(m is not None and m.options.rank == 3 for m in cohort.seated):
            raise RuntimeError("cannot write")
        return generate(cohort, slots, *rest, **options)

    monkeypatch.setattr("bakeoff.execution.outputs.generate", broken)
    assert run_small(methods=THREE).code == 0
    assert states(results()) == {"one": "COMPLETE", "two": "COMPLETE", "three": "FAILED"}
    assert results()["methods"]["one"]["test"]["nll"]["mean"] > 0


def test_an_adapter_that_cannot_be_saved_fails_alone(
    run_small: Run, monkeypatch: pytest.MonkeyPatch, results: Results
) -> None:
    save = Lora.save

    def broken(self: Lora, tensors: Any, folder: Path) -> None:
        if self.options.rank == 2:
            raise ValueError("no form for it")
        save(self, tensors, folder)

    monkeypatch.setattr(Lora, "save", broken)
    assert run_small(methods=THREE).code == 0
    assert states(results()) == {"one": "COMPLETE", "two": "FAILED", "three": "COMPLETE"}
    reason = results()["candidates"]["two-lr0.01-s0"]["reason"]
    assert reason == "saving failed: ValueError: no form for it"


@pytest.mark.parametrize("harm", ["truncate", "flip", "remove"])
def test_a_damaged_adapter_does_not_pass_as_complete(
    finished: Run, run_small: Run, place: Path, results: Results, trained: list[str], harm: str
) -> None:
    finished(methods=THREE)
    before = results()
    file = place / "out/candidates/two-lr0.01-s0/adapter/adapter_model.safetensors"
    content = file.read_bytes()
    if harm == "truncate":
        file.write_bytes(content[:-7])
    elif harm == "flip":
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        file.unlink()
    trained.clear()
    outcome = run_small(methods=THREE)
    assert outcome.code == 0
    assert "adapter_model.safetensors" in outcome.out
    assert trained == ["two-lr0.01-s0"]
    after = results()
    assert after["status"] == "complete"
    now, then = (r["methods"]["two"]["test"]["nll"]["mean"] for r in (after, before))
    assert now == pytest.approx(then, rel=1e-4)


@pytest.mark.parametrize("name", ["predictions.jsonl", "scores/test.npz"])
def test_damaged_scores_are_made_again_without_training(
    finished: Run, run_small: Run, place: Path, results: Results, trained: list[str], name: str
) -> None:
    finished(methods=THREE)
    before = results()["methods"]["two"]["test"]
    file = place / "out/candidates/two-lr0.01-s0" / name
    file.write_bytes(file.read_bytes()[:-3])
    trained.clear()
    assert run_small(methods=THREE).code == 0
    assert trained == []
    assert results()["methods"]["two"]["test"] == before
    assert results()["status"] == "complete"


def test_results_that_hold_more_are_kept_beside_poorer_ones(
    finished: Run, run_small: Run, place: Path, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(methods=THREE)
    before = results()
    shutil.rmtree(place / "out/candidates/two-lr0.01-s0")
    fail_in_epoch(monkeypatch, "two", 1)
    assert run_small(methods=THREE).code == 0
    assert states(results())["two"] == "FAILED"
    previous = json.loads((place / "out/results.previous.json").read_text(encoding="utf-8"))
    assert previous == before


def test_results_of_two_versions_are_mixed_only_on_request(
    finished: Run, run_small: Run, place: Path, results: Results
) -> None:
    finished(methods=THREE)
    (place / "out/results.json").unlink()
    inputs = place / "out/inputs.json"
    content = json.loads(inputs.read_text(encoding="utf-8"))
    content["versions"]["torch"] = "1.0"
    inputs.write_text(json.dumps(content), encoding="utf-8")
    refused = run_small(methods=THREE)
    assert refused.code == 2
    assert "torch 1.0 and" in refused.message and "--mix-versions" in refused.message
    assert run_small("--mix-versions", methods=THREE).code == 0
    assert any("made with other versions: torch 1.0 and" in note for note in results()["notes"])


def test_a_key_that_an_earlier_version_did_not_have_is_no_other_study(
    finished: Run, run_small: Run, place: Path, trained: list[str]
) -> None:
    finished(methods=THREE)
    file = place / "out/study.yaml"
    text = file.read_text(encoding="utf-8")
    assert "  deterministic: false\n" in text
    file.write_text(text.replace("  deterministic: false\n", ""), encoding="utf-8")
    trained.clear()
    outcome = run_small(methods=THREE)
    assert outcome.code == 0, outcome.err
    assert trained == []


@pytest.mark.parametrize("name", ["predictions.jsonl", "scores/test.npz", "record.json"])
def test_a_damaged_baseline_does_not_pass_as_complete(
    finished: Run, run_small: Run, place: Path, results: Results, trained: list[str], name: str
) -> None:
    finished(methods=THREE)
    before = results()["baselines"]["zero_shot"]["test"]
    file = place / "out/baselines/zero_shot" / name
    file.write_bytes(file.read_bytes()[:-5])
    trained.clear()
    outcome = run_small(methods=THREE)
    assert outcome.code == 0, outcome.err
    assert file.name in outcome.out
    assert trained == []
    assert results()["baselines"]["zero_shot"]["test"] == before
    assert results()["status"] == "complete"
