"""What the process that measures costs finds, and what is known of one that dies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from bakeoff.measure.costs import CostFailure, measure_costs
from bakeoff.runs.records import CostRecord


def test_the_measuring_process_finds_the_card_as_free_as_can_be(
    monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    """Blocks that this process has reserved and does not use would be missing there."""
    order: list[str] = []

    class Process:
        stdout: ClassVar[list[str]] = []

        def __init__(self, *arguments: Any, **options: Any) -> None:
            order.append("child")

        def kill(self) -> None:
            pass

        wait = kill

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: order.append("emptied"))
    monkeypatch.setattr("bakeoff.measure.costs.subprocess.Popen", Process)
    [(name, failure)] = measure_costs(("python",), {}, ["lora"], place)
    assert name == "lora" and isinstance(failure, CostFailure)
    assert order == ["emptied", "child"]


def command(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_what_a_dying_process_wrote_is_kept(place: Path) -> None:
    code = """import sys; print('a {"micro_batch_size": 4}'); sys.exit('no card left')"""
    found = dict(measure_costs(command(code), {}, ["a", "b"], place))
    assert found["a"] == CostRecord(micro_batch_size=4)
    failure = found["b"]
    assert isinstance(failure, CostFailure)
    assert failure.reason == "the measuring process ended early with status 1: no card left"
    assert failure.traceback == "no card left"


def test_a_methods_own_error_comes_with_its_traceback(place: Path) -> None:
    code = """print('a {"error": "E: x", "traceback": "Traceback"}')"""
    [(_, failure)] = measure_costs(command(code), {}, ["a"], place)
    assert failure == CostFailure(reason="E: x", traceback="Traceback")
