"""The same study with any number of slots: other cohorts, and the same results up to rounding."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bakeoff.runs.events import EventLog

Run = Callable[..., Any]
METHODS = {
    "lora": {"rank": 2, "learning_rate": 1e-2},
    "wider": {"kind": "lora", "rank": 4, "learning_rate": 1e-2},
}


@pytest.mark.usefixtures("quick")
def test_one_two_and_four_slots_agree(run_small: Run, place: Path) -> None:
    found: dict[int, dict[str, list[float]]] = {}
    for slots in (1, 2, 4):
        outcome = run_small(
            "--fresh", methods=METHODS, protocol={"epochs": 1, "seeds": [0, 1]}, slots=slots
        )
        assert outcome.code == 0, outcome.err
        log = EventLog(place / "out")
        assert [job.width for job in log.jobs("train")] == [slots] * (4 // slots)
        assert [len(job.seats) for job in log.jobs("test")] == [slots] * (4 // slots)
        results = json.loads((place / "out/results.json").read_text(encoding="utf-8"))
        found[slots] = {
            name: [e["val_nll"] for e in candidate["epochs"]]
            for name, candidate in results["candidates"].items()
        }
        for name, method in results["methods"].items():
            found[slots][name] = method["test"]["nll"]["per_seed"]
        cohorts = {candidate["cohort"] for candidate in results["candidates"].values()}
        assert cohorts == {f"train-base-{number}" for number in range(4 // slots)}
    for slots in (2, 4):
        for name, values in found[1].items():
            assert found[slots][name] == pytest.approx(values, abs=1e-4), (slots, name)
