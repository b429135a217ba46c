"""``benchmarks/study.py``: a whole small study, and that a wrong loss stops it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SMALL = (
    *("--base", "tiny", "--device", "cpu", "--precision", "float32", "--method", "lora"),
    *("--micro-batch-size", "2", "--accumulate", "2", "--max-length", "48", "--supervised", "12"),
    *("--epochs", "1", "--train", "8", "--validation", "4", "--test", "4"),
    *("--steps", "2", "--rounds", "1"),
)
Lines = list[dict[str, Any]]


@pytest.mark.soak
@pytest.mark.slow
def test_a_study_has_its_lines_and_a_wrong_loss_stops_it(
    lines: Callable[..., Lines],
    module: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    study: Any = module("study")
    run_ours = study.run_ours
    kept: list[Any] = []

    def run_and_keep(given: Any, place: Path, device: str) -> Any:
        run = run_ours(given, place, device)
        shutil.copytree(run.folder, tmp_path / "run")
        shutil.copytree(place / "data", tmp_path / "data")
        kept.append(run)
        return run

    monkeypatch.setattr(study, "run_ours", run_and_keep)
    *rows, last = lines("study", *SMALL)
    whole = rows[0]
    assert (whole["engine"], whole["part"]) == ("bakeoff", "in all")
    assert {"load", "training", "test", "total"} <= whole["wall_seconds"].keys()
    assert whole["seconds"] > whole["wall_seconds"]["total"]
    assert whole["peak_memory_bytes"] > whole["method_peak_memory_bytes"]["lora"] > 0
    parts = {(row["engine"], row["part"]) for row in rows[1:]}
    assert parts >= {
        (engine, part)
        for engine in ("bakeoff", "plain", "trainer")
        for part in ("training step", "validation")
    }
    assert parts >= {("generate 4 rows", "test"), ("plain", "in all"), ("trainer", "in all")}
    assert last["summary"] is True
    assert last["ratio"].keys() == {"tiny study", "tiny training", "tiny test"}
    assert all(found.keys() == {"plain", "trainer"} for found in last["ratio"].values())
    _check_sum(rows, last)

    # The same run once more, without waiting for it: its data lie elsewhere by now.
    def run_again(given: Any, place: Path, device: str) -> Any:
        shutil.copytree(tmp_path / "data", kept[0].folder.parent / "data")
        return replace(kept[0], folder=tmp_path / "run")

    monkeypatch.setattr(study, "run_ours", run_again)
    trainer: Any = module("engines.trainer_loop").TrainerLoop
    right = trainer.step
    monkeypatch.setattr(trainer, "step", lambda self, index: 1.001 * right(self, index))
    with pytest.raises(SystemExit, match="the loss of trainer is"):
        lines("study", *SMALL)


def _check_sum(rows: Lines, last: dict[str, Any]) -> None:
    """Two updates and four validated rows, once; four written rows at the best batch size."""
    step = next(
        r["seconds"] for r in rows if (r["engine"], r["part"]) == ("plain", "training step")
    )
    rows = [row for row in rows if "seconds_per_row" in row]
    per_row = {(r["engine"], r["part"]): float(r["seconds_per_row"]) for r in rows}
    training = 2 * step + 4 * per_row["plain", "validation"]
    assert last["rival_seconds"]["plain"]["training"] == pytest.approx(training, abs=2e-3)
    test = 4 * per_row["generate 4 rows", "test"]
    assert last["rival_seconds"]["plain"]["test"] == pytest.approx(test, abs=2e-3)
