"""Reading a run's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bakeoff.report.load import load_run


def write(folder: Path, methods: dict[str, Any], candidates: dict[str, Any]) -> None:
    results = {"schema": 1, "methods": methods, "candidates": candidates}
    (folder / "results.json").write_text(json.dumps(results))


def predict(folder: Path, text: str) -> None:
    folder.mkdir(parents=True)
    row = {"index": 0, "prediction": text, "rouge1": 0.5}
    (folder / "predictions.jsonl").write_text(json.dumps(row) + "\n")


def test_the_lowest_seed_of_the_chosen_rate_speaks_for_a_method(tmp_path: Path) -> None:
    ids = {"m-10": (10, 0.1), "m-2": (2, 0.1), "m-0": (0, 0.9)}
    candidates = {i: {"seed": seed, "learning_rate": rate} for i, (seed, rate) in ids.items()}
    write(tmp_path, {"m": {"learning_rate": 0.1, "candidates": list(ids)}}, candidates)
    for i in ids:
        predict(tmp_path / "candidates" / i, i)
    run = load_run(tmp_path)
    assert run.chosen == {"m": "m-2"}
    assert run.predictions["m"][0].text == "m-2"


def test_a_candidate_never_leads_out_of_the_folder(tmp_path: Path) -> None:
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    predict(tmp_path / "secret", "secret")
    (run_folder / "candidates").mkdir()
    ids = ["../../secret", str(tmp_path / "secret"), ".."]
    write(run_folder, {"m": {"candidates": ids}}, {})
    assert load_run(run_folder).predictions == {}


def test_torn_and_foreign_lines_are_counted(tmp_path: Path) -> None:
    write(tmp_path, {}, {})
    good = {"index": 3, "document": None, "reference": "r"}
    lines = [json.dumps(good), "", "[1]", '{"index": "x"}', "[" * 90_000, '{"index": 4, "doc']
    (tmp_path / "examples.jsonl").write_text("\n".join(lines))
    run = load_run(tmp_path)
    assert [(e.index, e.document, e.reference) for e in run.examples] == [(3, "", "r")]
    (note,) = run.notes
    assert note.endswith("examples.jsonl: 4 unreadable lines left out")
