"""Further test sets of a study: another shift of the same kind, and plain text for forgetting."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.execution.also import AlsoWorker
from bakeoff.runs.growth import Outline
from tests.studies import CITIES

Run = Callable[..., Any]
Results = Callable[[], dict[str, Any]]
Contents = Callable[[Path], Mapping[str, bytes]]
pytestmark = pytest.mark.usefixtures("quick")

SHIFT = {"source": "shift"}
PLAIN = {"kind": "text", "source": "plain.jsonl", "text": "said", "max_length": 48}
SEEDS = {"seeds": [0, 1]}


@pytest.fixture
def sets(place: Path) -> Path:
    """Rows of two further test sets: a folder with a test file alone, and a file of texts."""
    folder = place / "shift"
    folder.mkdir()
    rows = [
        {"text": f"In {city} the market sold {7 * i} apples.", "short": f"{city} sold {7 * i}."}
        for i, city in enumerate(CITIES[:5])
    ]
    (folder / "test.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    texts = [{"said": f"{city} lies on a river, and it rains there."} for city in CITIES[:6]]
    (place / "plain.jsonl").write_text("".join(json.dumps(r) + "\n" for r in texts), "utf-8")
    return place


def test_each_set_is_scored_by_its_own_metrics_and_compared_in_a_family_of_its_own(
    sets: Path, run_small: Run, results: Results
) -> None:
    also = {"shift": SHIFT, "plain": {**PLAIN, "max_drop": {"nll": 0.5}}}
    outcome = run_small(protocol=SEEDS, also_test=also)
    assert outcome.code == 0, outcome.err
    found = results()
    assert found["status"] == "complete"
    assert {name: (one["kind"], one["examples"]) for name, one in found["also_test"].items()} == {
        "shift": ("summarize", 5),
        "plain": ("text", 6),
    }
    assert found["also_test"]["plain"]["max_drop"] == {"nll": 0.5}
    assert [m["name"] for m in found["also_test"]["plain"]["metrics"]] == [
        *("nll", "perplexity", "bits_per_byte"),
    ]
    lora, zero = found["methods"]["lora"], found["baselines"]["zero_shot"]
    for one in (lora, zero):
        assert set(one["also_test"]) == {"shift", "plain"}
        assert set(one["also_test"]["plain"]) == {"nll", "perplexity", "bits_per_byte"}
        assert set(one["also_test"]["shift"]) == set(one["test"])
    assert len(lora["also_test"]["plain"]["nll"]["per_seed"]) == 2
    pairs = {(c["set"], c["metric"], c["a"], c["b"]) for c in found["comparisons"]}
    assert ("plain", "bits_per_byte", "zero_shot", "lora") in pairs
    assert not any(c["set"] == "shift" and "lead" in (c["a"], c["b"]) for c in found["comparisons"])
    # What is kept says the same.
    kept = np.load(sets / "out/candidates/lora-lr0.01-s0/scores/also-plain.npz")["nll"]
    assert kept.shape == (6, 2)
    value = lora["also_test"]["plain"]["nll"]["per_seed"][0]
    assert value == pytest.approx(kept[:, 0].sum() / kept[:, 1].sum(), rel=1e-6)
    answers = (sets / "out/candidates/lora-lr0.01-s0/predictions-shift.jsonl").read_text("utf-8")
    assert len(answers.splitlines()) == 5
    files = found["candidates"]["lora-lr0.01-s0"]["files"]
    assert {"scores/also-plain.npz", "predictions-shift.jsonl", "scores/test.npz"} <= set(files)
