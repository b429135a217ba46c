"""A study's learning curve: chosen settings on nested subsets, after the study's own test."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bakeoff
from bakeoff.config import dump_yaml
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.generation.generate import generate
from bakeoff.engine.train import Trainer
from bakeoff.execution.archive import Archive
from bakeoff.execution.curve import CurveWorker
from bakeoff.execution.testing import TestingWorker
from tests.studies import small_study, without_times

Run = Callable[..., Any]
Results = Callable[[], dict[str, Any]]
pytestmark = pytest.mark.usefixtures("quick")

METHODS = {
    "lora": {"kind": "lora", "rank": 2, "learning_rate": 1e-2},
    "head": {"kind": "head", "learning_rate": 1e-3},
}
SEEDS = {"seeds": [0, 1, 2], "epochs": 2}
TWO_SEEDS = {"seeds": [0, 1], "epochs": 2}
SIZES = [4, 12]


def same(found: dict[str, Any]) -> Any:
    """Results without what two ways to them do not share: times, notes and the pass' make-up."""
    tree = without_times(found)
    return {k: v for k, v in tree.items() if k not in ("notes", "study")}


def test_chosen_settings_are_trained_on_subsets_and_drawn_up_to_the_studys_own_runs(
    run_small: Run, results: Results, trained: list[str]
) -> None:
    outcome = run_small(protocol=SEEDS, methods=METHODS, learning_curve=[12, 4])
    assert outcome.code == 0, outcome.err
    found = results()
    assert found["status"] == "complete"
    assert found["study"]["learning_curve"] == SIZES
    assert set(found["learning_curve"]) == {"lora", "head"}
    points = found["learning_curve"]["lora"]
    assert [point["rows"] for point in points] == [4, 12, 16]
    assert points[0]["candidates"] == [f"lora-lr0.01-s{seed}-n4" for seed in (0, 1, 2)]
    assert points[0]["gain"] is None and points[1]["gain"]["rows"] == 4
    # The last is the study's own: nothing is trained twice.
    assert points[-1]["candidates"] == found["methods"]["lora"]["candidates"]
    assert points[-1]["metrics"]["nll"] == found["methods"]["lora"]["test"]["nll"]
    assert len(trained) == len(set(trained)) == 2 * 3 * 3
    for point in points:
        nll = point["metrics"]["nll"]
        assert nll["low"] <= nll["mean"] <= nll["high"]
        assert nll["mean"] == pytest.approx(np.mean(nll["per_seed"]))
        # The loss decides, so that no text is written for the curve.
        assert set(point["metrics"]) == {"nll"}
    gain = points[2]["gain"]
    difference = points[2]["metrics"]["nll"]["mean"] - points[1]["metrics"]["nll"]["mean"]
    assert gain["difference"] == pytest.approx(difference)
    candidate = found["candidates"]["lora-lr0.01-s1-n4"]
    assert (candidate["rows"], candidate["state"]) == (4, "COMPLETE")
    assert len(candidate["epochs"]) == 2 and "scores/test.npz" in candidate["files"]
    # It takes no part in what the study says.
    assert "learning curve" in outcome.out
    named = {name for pair in found["comparisons"] for name in (pair["a"], pair["b"])}
    assert named == {"lora", "head", "zero_shot", "lead"}
    assert found["methods"]["lora"]["seeds"] == [0, 1, 2]
    assert "learning_curve" in found["environment"]["wall_seconds"]
    assert (
        "This study is complete"
        in run_small(protocol=SEEDS, methods=METHODS, learning_curve=SIZES).out
    )


def test_a_finished_study_grows_by_a_curve_and_leaves_it_again(
    finished: Run, run_small: Run, cli: Run, place: Path, results: Results, trained: list[str]
) -> None:
    finished(protocol=TWO_SEEDS, methods=METHODS)
    alone = results()
    trained.clear()
    outcome = cli("run", "out", "--set", "learning_curve=[4,12]")
    assert outcome.code == 0, outcome.err
    grown = results()
    assert len(trained) == 2 * 2 * 2 and all("-n" in name for name in trained)
    assert grown["methods"]["lora"]["test"] == alone["methods"]["lora"]["test"]
    (place / "out").rename(place / "grown")
    assert run_small(protocol=TWO_SEEDS, methods=METHODS, learning_curve=SIZES).code == 0
    assert same(results())["candidates"].keys() == same(grown)["candidates"].keys()
    assert same(results()) == same(grown)
    # A size more, and none: what is there is taken up and left where it is.
    trained.clear()
    assert cli("run", "out", "--set", "learning_curve=[4,8,12]").code == 0
    assert sorted(set(trained)) == sorted(
        f"{name}-s{seed}-n8" for name in ("lora-lr0.01", "head-lr0.001") for seed in (0, 1)
    )
    more = results()
    assert [point["rows"] for point in more["learning_curve"]["head"]] == [4, 8, 12, 16]
    trained.clear()
    assert cli("run", "out", "--set", "learning_curve=[]").code == 0
    assert results()["learning_curve"] == {} and not any("-n" in n for n in results()["candidates"])
    assert cli("run", "out", "--set", "learning_curve=[4,8,12]").code == 0
    assert trained == []
    assert same(results()) == same(more)


def test_sizes_that_are_not_below_the_training_rows_are_left_out(
    run_small: Run, results: Results, trained: list[str]
) -> None:
    outcome = run_small(learning_curve=[8, 16, 2000])
    assert outcome.code == 0, outcome.err
    assert "16 and 2,000 left out, as there are 16 training rows" in " ".join(outcome.out.split())
    assert [point["rows"] for point in results()["learning_curve"]["lora"]] == [8, 16]
    assert any("2,000 left out" in note for note in results()["notes"])
    assert trained == ["lora-lr0.01-s0", "lora-lr0.01-s0-n8"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([0, 4], "learning_curve: 0 is no number of training rows"),
        ([-4], "learning_curve: -4 is no number of training rows"),
        ([4, 8, 4], "names a size twice"),
        ([True], "learning_curve"),
        (["eight"], "learning_curve"),
        ([2.5], "learning_curve"),
        ("many", "learning_curve"),
    ],
)
def test_bad_sizes_are_refused_by_name(run_small: Run, given: Any, message: str) -> None:
    outcome = run_small(learning_curve=given)
    assert outcome.code == 2 and message in outcome.message
    assert "Traceback" not in outcome.err


def test_together_equals_alone(run_small: Run, place: Path, results: Results) -> None:
    """Other methods and seeds in the pass change a candidate's curve by rounding alone."""
    methods = {**METHODS, "prompt": {"kind": "soft_prompt", "prompt_length": 3}}
    assert run_small(protocol=TWO_SEEDS, methods=methods, learning_curve=[12]).code == 0
    together = results()["candidates"]
    (place / "out").rename(place / "together")
    one = {"lora": METHODS["lora"]}
    assert (
        run_small(protocol={**TWO_SEEDS, "seeds": [1]}, methods=one, learning_curve=[12]).code == 0
    )
    alone = results()["candidates"]
    for name in ("lora-lr0.01-s1-n12", "lora-lr0.01-s1"):
        for ours, theirs in zip(alone[name]["epochs"], together[name]["epochs"], strict=True):
            assert ours["val_nll"] == pytest.approx(theirs["val_nll"], abs=1e-5)
            assert ours["train_nll"] == pytest.approx(theirs["train_nll"], abs=1e-5)


@pytest.mark.parametrize(
    "after", [11, *(pytest.param(step, marks=pytest.mark.soak) for step in (1, 5, 8, 14))]
)
def test_stopped_in_the_curve_it_goes_on_to_the_same_bits(
    finished: Run,
    run_small: Run,
    place: Path,
    results: Results,
    monkeypatch: pytest.MonkeyPatch,
    after: int,
) -> None:
    study = {"protocol": SEEDS, "methods": METHODS, "learning_curve": SIZES, "slots": 2}
    study["checkpoint_minutes"] = 1e-6
    finished(**study)
    whole = results()
    (place / "out").rename(place / "whole")
    step, steps = Trainer._step, []

    def killed(self: Trainer, present: Any, rates: Any) -> Any:
        is_curve = any(c is not None and c.rows is not None for c in self._slots)
        if is_curve:
            steps.append(1)
            if len(steps) == after:
                raise KeyboardInterrupt
        return step(self, present, rates)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", killed)
        assert run_small(**study).code != 0
    assert results()["status"] == "partial"
    assert run_small(**study).code == 0
    assert same(results()) == same(whole)


def test_stopped_before_its_test_only_that_is_made_again(
    run_small: Run, results: Results, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = {"protocol": SEEDS, "learning_curve": SIZES}

    def stopped(self: CurveWorker, job: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CurveWorker, "run", stopped)
        assert run_small(**study).code != 0
    assert results()["status"] == "partial" and results()["learning_curve"] == {}
    trained.clear()
    assert run_small(**study).code == 0
    assert trained == []
    assert [p["rows"] for p in results()["learning_curve"]["lora"]] == [4, 12, 16]


def test_the_chosen_setting_of_a_search_is_trained_and_nothing_else(
    run_small: Run, results: Results, trained: list[str]
) -> None:
    search = {"learning_rates": 3, "seeds": 2, "growth": 0, "pruner": None}
    assert run_small(search=search, learning_curve=[8]).code == 0
    found = results()
    chosen = found["methods"]["lora"]["candidates"]
    assert found["learning_curve"]["lora"][0]["candidates"] == [f"{name}-n8" for name in chosen]
    assert len([name for name in trained if name.endswith("-n8")]) == 2
    assert found["search"]["epochs_trained"] == 5
    gain = found["learning_curve"]["lora"][1]["gain"]
    assert gain["low"] is None and gain["verdict"] == "undecided"
    assert gain["why"] == "16 rows and 8 rows have fewer than 3 seeds"


def test_a_candidate_that_fails_leaves_the_others(
    run_small: Run, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = Archive.keep_candidate

    def failing(self: Archive, candidate: Any, **options: Any) -> None:
        if candidate.id == "lora-lr0.01-s1-n4":
            raise ValueError("no room for this one")
        keep(self, candidate, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Archive, "keep_candidate", failing)
        run_small(protocol=SEEDS, learning_curve=SIZES)
    found = results()
    assert found["status"] == "partial"
    assert found["methods"]["lora"]["state"] == "COMPLETE"
    assert found["learning_curve"]["lora"][0]["seeds"] == [0, 2]
    [note] = [n for n in found["notes"] if n.startswith("learning curve: lora-lr0.01-s1-n4")]
    assert "no room for this one" in note
    assert run_small(protocol=SEEDS, learning_curve=SIZES).code == 0
    assert results()["learning_curve"]["lora"][0]["seeds"] == [0, 1, 2]
    assert results()["status"] == "complete"


def test_a_damaged_adapter_of_the_curve_is_trained_again(
    finished: Run, run_small: Run, place: Path, results: Results, trained: list[str]
) -> None:
    study = {"protocol": SEEDS, "learning_curve": SIZES}
    finished(**study)
    before = results()
    adapter = place / "out/candidates/lora-lr0.01-s2-n12/adapter"
    next(adapter.glob("*.safetensors")).write_bytes(b"torn")
    trained.clear()
    outcome = run_small(**study)
    assert outcome.code == 0 and "lora-lr0.01-s2-n12 is trained again" in outcome.out
    assert trained == ["lora-lr0.01-s2-n12"]
    one, two = (
        found["learning_curve"]["lora"][1]["metrics"]["nll"] for found in (before, results())
    )
    assert one["mean"] == pytest.approx(two["mean"], abs=1e-5)


def test_it_is_asked_from_python(place: Path) -> None:
    study = bakeoff.Study(**small_study(learning_curve=[8, 4]))
    found = bakeoff.run(study, out=place / "out")
    points = found.record.learning_curve["lora"]
    assert [point.rows for point in points] == [4, 8, 16]
    table = found.learning_curve()
    assert list(table["rows"]) == [4, 8, 16] and set(table["method"]) == {"lora"}
    assert list(table["nll"]) == [point.metrics["nll"].mean for point in points]
    assert list(table.columns) == ["method", "rows", "seeds", "nll", "nll_low", "nll_high"]


def test_labels_are_those_of_all_rows_and_what_costs_no_more_is_scored(
    place: Path, cli: Run, results: Results
) -> None:
    """Choices are compared once, for accuracy and all metrics that are made of them."""
    for file in (place / "rows").glob("*.jsonl"):
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        lines = [json.dumps({**row, "side": "ABC"[i % 3]}) for i, row in enumerate(rows)]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    study = small_study(methods={"head": METHODS["head"]}, protocol=SEEDS, learning_curve=[1, 4])
    lengths = {"max_length": 96, "max_target_tokens": 8}
    study["task"] = {"kind": "classify", "source": "rows", "label": "side", **lengths}
    (place / "study.yaml").write_text(dump_yaml(study), encoding="utf-8")
    outcome = cli("run", "study.yaml", "--out", "out")
    assert outcome.code == 0, outcome.err
    found = results()
    assert found["task"]["labels"] == ["A", "B", "C"]
    one = found["learning_curve"]["head"][0]
    assert one["rows"] == 1 and {"accuracy", "macro_f1", "label_nll"} <= set(one["metrics"])
    assert "nll" not in one["metrics"]
    assert (place / "out/candidates/head-lr0.001-s0-n1/predictions.jsonl").exists()


@pytest.mark.parametrize("metric", ["nll", "rouge1"])
def test_texts_are_written_only_where_one_of_them_decides(
    run_small: Run, results: Results, monkeypatch: pytest.MonkeyPatch, metric: str
) -> None:
    written: list[int] = []

    def spy(cohort: Any, slots: Any, *arguments: Any, **options: Any) -> Any:
        written.append(len(slots))
        return generate(cohort, slots, *arguments, **options)

    monkeypatch.setattr("bakeoff.execution.outputs.generate", spy)
    outcome = run_small(decision={"metric": metric}, learning_curve=[8])
    assert outcome.code == 0, outcome.err
    # Once for the untuned base, once for the study's own run.
    assert len(written) == (2 if metric == "nll" else 3)
    assert metric in results()["learning_curve"]["lora"][0]["metrics"]


def test_a_method_of_the_peft_library_takes_part(run_small: Run, results: Results) -> None:
    methods = {"theirs": {"kind": "peft", "peft_type": "VERA", "r": 4}}
    outcome = run_small(methods=methods, learning_curve=[4, 8])
    assert outcome.code == 0, outcome.err
    assert [point["rows"] for point in results()["learning_curve"]["theirs"]] == [4, 8, 16]


def test_more_epochs_go_on_with_the_curve_too(
    run_small: Run, place: Path, results: Results
) -> None:
    constant = {"seeds": [0, 1], "schedule": "constant", "warmup_ratio": 0.0}
    few = {"protocol": {**constant, "epochs": 1}, "learning_curve": [8]}
    many = {"protocol": {**constant, "epochs": 2}, "learning_curve": [8]}
    assert run_small(**few).code == 0
    outcome = run_small(**many)
    assert outcome.code == 0, outcome.err
    longer = results()
    (place / "out").rename(place / "longer")
    assert run_small(**many).code == 0
    for name, record in results()["candidates"].items():
        ours = [epoch["val_nll"] for epoch in longer["candidates"][name]["epochs"]]
        theirs = [epoch["val_nll"] for epoch in record["epochs"]]
        assert len(ours) == 2 and ours == pytest.approx(theirs, abs=1e-6)


def test_seeds_that_come_later_get_points_too(
    run_small: Run, results: Results, trained: list[str]
) -> None:
    assert run_small(protocol={**SEEDS, "seeds": [0]}, learning_curve=[8]).code == 0
    trained.clear()
    assert run_small(protocol={**SEEDS, "seeds": [0, 1]}, learning_curve=[8]).code == 0
    assert trained == ["lora-lr0.01-s1", "lora-lr0.01-s1-n8"]
    assert results()["learning_curve"]["lora"][0]["seeds"] == [0, 1]


@pytest.mark.soak
def test_one_whose_test_failed_is_only_tested_by_the_next_call(
    run_small: Run, results: Results, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The curve's training saves it as failed; its adapter is whole."""
    study: dict[str, Any] = {
        "protocol": {"epochs": 1, "seeds": [0, 1]},
        "methods": {"head": METHODS["head"]},
        "learning_curve": [4],
    }
    keep = TestingWorker.keep

    def failing(self: TestingWorker, candidate: Candidate, outcome: Any) -> None:
        if candidate.seed == 0:
            raise ValueError("a metric that fails")
        keep(self, candidate, outcome)

    with monkeypatch.context() as patch:
        patch.setattr(TestingWorker, "keep", failing)
        run_small(**study)
    assert results()["candidates"]["head-lr0.001-s0"]["state"] == "FAILED"
    assert "head-lr0.001-s1-n4" in trained
    trained.clear()
    assert run_small(**study).code == 0
    assert results()["status"] == "complete"
    assert trained == ["head-lr0.001-s0-n4"]
