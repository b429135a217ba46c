"""What the process that measures costs finds on a GPU."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch

from bakeoff.measure import costs as footprint


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
    study: Any = SimpleNamespace(resolved={}, root=place)
    outcomes = list(footprint._in_processes(study, "cuda", ["lora"]))
    assert outcomes == [("lora", {"error": "the measuring process ended early"})]
    assert order == ["emptied", "child"]
