"""A student has twenty minutes of a slow laptop, and finishes on another machine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.stories.conftest import Installed


@pytest.mark.soak
def test_a_budget_and_another_machine(
    bakeoff: Installed, reviews: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bakeoff("init", "reviews.csv", "--base", "tiny", "--methods", "lora,bitfit")
    out = bakeoff("run", "study.yaml", "--budget", "60s")
    run = bakeoff.folder / "runs" / "reviews"
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert (run / "report.html").exists() and "budget" in out.lower()

    # Another machine: another folder with the run, the study and the data, and nothing else.
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(bakeoff.folder / "runs", elsewhere / "runs")
    for name in ("study.yaml", "reviews.csv"):
        shutil.copyfile(bakeoff.folder / name, elsewhere / name)
    shutil.rmtree(bakeoff.folder / "runs")
    there = Installed(bakeoff.site, elsewhere)
    there("run", "study.yaml")
    moved = json.loads((elsewhere / "runs/reviews/results.json").read_text(encoding="utf-8"))
    assert moved["status"] == "complete"
    # What was there counts: no score of a tested candidate has changed.
    for name, method in results["methods"].items():
        if method["state"] == "COMPLETE":
            assert moved["methods"][name]["test"] == method["test"]
