"""kill -9 at any moment, then the same command: the results are those of an undisturbed run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bakeoff.config import dump_yaml
from tests.studies import without_times

KILLS = int(os.environ.get("BAKEOFF_KILLS", "2"))
SEED = int(os.environ.get("BAKEOFF_KILL_SEED", "20261124"))
"""Both are set by ``make soak``, whose kills come at other moments each time."""
METHODS = {
    "head": {"kind": "head"},
    "lora": {"kind": "lora", "rank": [1, 2], "dropout": 0.2},
    "soft_prompt": {"kind": "soft_prompt", "prompt_length": 3},
}
SEARCH = {"learning_rates": 3, "seeds": 2, "reduction_factor": 2, "growth": 1, "grid_factor": 10.0}
NOT_COMPARED = ("inputs.json", "study.db", ".lock", "run.log", "costs.json", "hashes.json")
SLOTS = 3


def kept(folder: Path) -> dict[str, Any]:
    """Everything that a complete run keeps, to the bit, but for times."""
    found: dict[str, Any] = {}
    for file in sorted(folder.rglob("*")):
        name = str(file.relative_to(folder))
        if not file.is_file() or name in NOT_COMPARED:
            continue
        if file.suffix == ".json":
            found[name] = without_times(json.loads(file.read_text(encoding="utf-8")))
        elif file.suffix == ".jsonl":
            lines = file.read_text(encoding="utf-8").splitlines()
            found[name] = [without_times(json.loads(line)) for line in lines]
        else:
            found[name] = file.read_bytes()
    return found


@pytest.mark.soak  # tests/faults kills as well, less often
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_random_moments_the_results_are_the_same(
    place: Path, small: Callable[..., dict[str, Any]]
) -> None:
    study = small(
        methods=METHODS,
        search=SEARCH,
        slots=SLOTS,
        checkpoint_minutes=1e-5,
        learning_curve=[8],
        protocol={"epochs": 3},
    )
    (place / "study.yaml").write_text(dump_yaml(study), encoding="utf-8")
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root / "src"), str(root)])

    script = Path(__file__).with_name("killed_runs.py")
    driver = subprocess.run(
        [sys.executable, script, "study.yaml", place, str(KILLS), str(SEED)],
        cwd=place,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )

    assert driver.returncode == 0, f"seed {SEED}: {driver.stdout}{driver.stderr}"
    processes = [json.loads(line) for line in driver.stdout.splitlines() if line.startswith("{")]
    killed = Counter(p["run"] for p in processes if p["code"] != 0)
    assert sum(killed.values()) >= KILLS, SEED
    undisturbed = kept(place / "run0")
    assert undisturbed["results.json"]["status"] == "complete"
    assert {"PRUNED", "COMPLETE"} <= {
        c["state"] for c in undisturbed["results.json"]["candidates"].values()
    }
    epochs = {
        name: len(candidate["epochs"])
        for name, candidate in undisturbed["results.json"]["candidates"].items()
    }
    for run in killed:
        assert kept(place / f"run{run}") == undisturbed, (run, SEED)
        events = [line.split() for line in (place / f"run{run}.log").read_text().splitlines()]
        trained = Counter((name, int(epoch)) for kind, name, epoch in events if kind == "epoch")
        # Nobody is lost, and a kill repeats no more than one epoch of those that sat there.
        assert {name for name, _ in trained} == set(epochs)
        assert set(trained) == {
            (name, epoch) for name, count in epochs.items() for epoch in range(1, count + 1)
        }
        assert sum(trained.values()) - len(trained) <= killed[run] * SLOTS
    assert not (place / "run0/cohorts").exists()
