"""``benchmarks/train.py``: what it promises to print, and that a wrong loss stops it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

SMALL = (
    *("--base", "tiny", "--device", "cpu", "--micro-batch-size", "2", "--accumulate", "2"),
    *("--max-length", "32", "--supervised", "8", "--steps", "1", "--warmup", "1"),
)
Lines = list[dict[str, Any]]
COLLECT = gc.collect  # which does nothing within these tests


@pytest.mark.soak
def test_every_method_has_its_lines(lines: Callable[..., Lines]) -> None:
    methods = ("head", "head-tied", "lora", "lora-all", "soft_prompt", "full")
    *rows, last = lines(
        "train", *SMALL, "--precision", "float32", "--slots", "1", "2", "--method", *methods
    )
    cases = {f"tiny {m} {n} slots" for m in methods for n in (1, 2)}
    assert {row["case"] for row in rows} == cases
    cases.remove("tiny full 2 slots")
    assert [row["case"] for row in rows if "skipped" in row] == ["tiny full 2 slots"]
    measured = [row for row in rows if "skipped" not in row]
    assert {(row["engine"], row["case"]) for row in measured} == {
        (engine, case) for engine in ("plain", "bakeoff") for case in cases
    }
    for row in measured:
        assert min(row["tokens_per_second"], row["peak_memory_bytes"]) > 0
        assert row["first_step_seconds"] >= 0
    kept = [row["case"] for row in measured if "first_epoch_tokens_per_second" in row]
    assert kept == ["tiny head 1 slots", "tiny head 2 slots"]
    assert last["summary"] is True and last["device"] == "cpu"
    assert last["ratio"].keys() == last["memory_ratio"].keys() == cases
    assert all(found.keys() == {"plain"} for found in last["ratio"].values())


@pytest.mark.soak
def test_low_precision_has_a_rival_in_float32(lines: Callable[..., Lines]) -> None:
    *rows, last = lines("train", *SMALL, "--precision", "bfloat16", "--slots", "1")
    assert [row["engine"] for row in rows] == ["plain", "plain float32", "bakeoff"]
    assert last["ratio"]["tiny lora 1 slots"].keys() == {"plain", "plain float32"}


def test_a_wrong_loss_stops_it(
    lines: Callable[..., Lines],
    module: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours: Any = module("engines.ours").OurTraining
    right = ours.step
    monkeypatch.setattr(ours, "step", lambda self, index: 1.001 * right(self, index))
    with pytest.raises(SystemExit, match="the loss of bakeoff is"):
        lines("train", *SMALL, "--precision", "float32", "--slots", "1")


@pytest.fixture
def _collected() -> Iterator[None]:
    """What earlier tests have left is gone, and does not go in the middle of a measurement."""
    COLLECT()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_collected")
def test_memory_is_the_engine_s_own(lines: Callable[..., Lines]) -> None:
    """Full tuning keeps four numbers a weight, whoever does it; a base is counted once."""
    both = lines("train", *SMALL, "--precision", "float32", "--slots", "1", "--method", "full")
    alone = lines("train", *SMALL, "--precision", "float32", "--slots", "1", "--method", "head")
    peaks = {(r["case"], r["engine"]): r["peak_memory_bytes"] for r in [*both[:-1], *alone[:-1]]}
    weights = 4 * 1_000_000
    for engine in ("plain", "bakeoff"):
        assert peaks["tiny full 1 slots", engine] > peaks["tiny head 1 slots", engine] + weights


def test_quick_gives_way_to_what_is_asked_for(module: Callable[[str], ModuleType]) -> None:
    arguments = module("train")._arguments(["--quick", "--slots", "2", "--method", "head"])
    assert (arguments.base, arguments.slots, arguments.method) == ("tiny", [2], ["head"])
