"""A lab has several machines: shards that are joined, and workers of Ray."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.stories.conftest import Installed

SMALL = ("--set", "protocol.epochs=1", "--seeds", "2", "--set", "slots=1")


def scores(folder: Path) -> Any:
    """The test scores of all methods."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert results["status"] == "complete"
    return {name: method["test"] for name, method in results["methods"].items()}


@pytest.mark.soak
def test_shards_are_joined_to_what_one_machine_finds(bakeoff: Installed, reviews: Path) -> None:
    bakeoff("init", "reviews.csv", "--base", "tiny", "--methods", "lora,bitfit")
    bakeoff("run", "study.yaml", *SMALL, "--out", "whole")
    for shard in (1, 2):
        bakeoff("run", "study.yaml", *SMALL, "--shard", f"{shard}/2", "--out", f"part-{shard}")
    bakeoff("join", "part-1", "part-2", "--out", "joined")
    assert scores(bakeoff.folder / "joined") == scores(bakeoff.folder / "whole")


@pytest.mark.soak
def test_workers_of_ray_find_what_one_process_finds(bakeoff: Installed, reviews: Path) -> None:
    pytest.importorskip("ray")
    bakeoff("init", "reviews.csv", "--base", "tiny", "--methods", "lora,bitfit")
    bakeoff("run", "study.yaml", *SMALL, "--out", "alone")
    ray = ("--executor", "ray", "--workers", "2")
    bakeoff("run", "study.yaml", *SMALL, *ray, "--out", "workers")
    assert scores(bakeoff.folder / "workers") == scores(bakeoff.folder / "alone")
