"""Reading a run's folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bakeoff.decide.representative import representative
from bakeoff.report.load import load_run
from bakeoff.report.scores import all_scores
from tests.golden_folders import copy_of, rows_of, save, with_methods, write_rows


def test_the_run_nearest_the_mean_speaks_for_a_method(tmp_path: Path) -> None:
    results = copy_of("four", tmp_path)
    ids = results.methods["lora"].candidates
    shown = representative(results, "lora", ids)
    assert shown is not None
    assert load_run(tmp_path).chosen["lora"] == shown
    # Where its predictions are lost, the lowest seed's are shown.
    (tmp_path / "candidates" / shown / "predictions.jsonl").unlink()
    rest = [name for name in ids if name != shown]
    assert load_run(tmp_path).chosen["lora"] == rest[0]


def test_a_row_has_its_scores_by_metric_and_its_loss_per_token(tmp_path: Path) -> None:
    results = copy_of("four", tmp_path)
    ids = results.methods["full"].candidates
    candidate = representative(results, "full", ids)
    assert candidate is not None
    row = rows_of(tmp_path / "candidates" / candidate / "predictions.jsonl")[3]
    found = load_run(tmp_path).predictions["full"][3]
    assert found.text == row["prediction"]
    assert found.scores["rouge1"] == row["rouge1"]
    assert found.scores["nll"] == pytest.approx(row["nll"] / row["tokens"])
    assert set(found.scores) == {metric.name for metric in results.task.metrics}


def test_a_candidate_never_leads_out_of_the_folder(tmp_path: Path) -> None:
    run_folder = tmp_path / "run"
    results = copy_of("four", run_folder)
    source = run_folder / "candidates" / results.methods["lora"].candidates[0]
    write_rows(tmp_path / "secret" / "predictions.jsonl", rows_of(source / "predictions.jsonl"))
    ids = ("../../secret", str(tmp_path / "secret"), "..", "")
    save(run_folder, with_methods(results, lora={"candidates": ids}))
    assert "lora" not in load_run(run_folder).predictions


def test_torn_and_foreign_lines_are_counted(tmp_path: Path) -> None:
    copy_of("four", tmp_path)
    good = {"index": 3, "document": None, "reference": "r"}
    lines = [
        json.dumps(good), "", "[1]", '{"index": "x"}', '{"index": true}', "[" * 90_000,
        '{"index": 4, "doc',
    ]  # fmt: skip
    (tmp_path / "examples.jsonl").write_text("\n".join(lines))
    run = load_run(tmp_path)
    assert [(e.index, e.shown, e.reference) for e in run.examples] == [(3, "", "r")]
    (note,) = run.notes
    assert note.endswith("examples.jsonl: 5 unreadable lines left out")


def test_a_seed_whose_predictions_are_torn_has_no_scores(tmp_path: Path) -> None:
    results = copy_of("four", tmp_path)
    found = all_scores(load_run(tmp_path), "lora", "rouge1")
    assert found is not None
    assert found.statistics_SNC.shape == (3, 16, 2)
    assert found.mean == pytest.approx(results.methods["lora"].test["rouge1"].mean)
    likely = all_scores(load_run(tmp_path), "lora", "nll")
    assert likely is not None
    assert likely.mean == pytest.approx(results.methods["lora"].test["nll"].mean)
    for candidate, rest in zip(results.methods["lora"].candidates, (2, 1, 0), strict=True):
        path = tmp_path / "candidates" / candidate / "predictions.jsonl"
        text = path.read_text("utf-8")
        path.write_text(text[: len(text) - 20], "utf-8")
        found = all_scores(load_run(tmp_path), "lora", "rouge1")
        assert (0 if found is None else len(found.statistics_SNC)) == rest
