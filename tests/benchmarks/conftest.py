"""The benchmarks' scripts, imported and called in this process, and what they print."""

from __future__ import annotations

import gc
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks"
Lines = list[dict[str, Any]]


@pytest.fixture(scope="session")
def module() -> Iterator[Callable[[str], ModuleType]]:
    """Imports a module of the benchmarks by its name."""
    sys.path.insert(0, str(FOLDER))
    try:
        yield importlib.import_module
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture
def lines(
    module: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> Callable[..., Lines]:
    """Runs a script with these arguments, and gives what it printed, parsed."""

    def run(script: str, *arguments: str) -> Lines:
        module(script).main(arguments)
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full collection before each measurement would take most of these tests' time."""
    monkeypatch.setattr(gc, "collect", lambda *_: 0)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
