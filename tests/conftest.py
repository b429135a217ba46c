"""What all tests share: no network, no progress bars, the same seeds before each test."""

from __future__ import annotations

import gc
import importlib
import logging
import os
import random
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

# Read by the libraries when they are first imported.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

SEED = 0
LONGEST = (
    *("tests/engine/backends/test_acceleration.py", "tests/execution/ray/test_ray.py"),
    *("tests/fake_cuda/test_matrix.py", "tests/faults/test_faults.py"),
    *("tests/measure/test_traced.py", "tests/study/test_whole_study.py"),
    *("tests/study/test_learning_curve.py", "tests/measure/test_fit.py"),
    *("tests/fake_cuda/test_budgets.py", "tests/fake_cuda/test_probes.py"),
    *("tests/execution/test_checkpoints.py", "tests/execution/test_ranks.py"),
    *("tests/stories/test_maintainer.py", "tests/engine/test_together.py"),
)
"""Files that take longest come first, so that none is left alone at the end of ``make test``."""

pytest_plugins = ["tests.browser", "tests.studies"]


@pytest.fixture(autouse=True)
def _same_seeds() -> None:
    random.seed(SEED)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(SEED)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(SEED)


@pytest.fixture(autouse=True)
def _lock_of_logging_is_free() -> Iterator[None]:
    """A test that leaves it held fails, and not a server that waits for it many tests later."""
    yield
    lock = vars(logging)["_lock"]
    is_held = lock._is_owned()
    while lock._is_owned():
        lock.release()
    assert not is_held, "something was raised where `logging` holds its lock; see bakeoff.signals"


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """Makes every connection to another machine fail at once, with a clear message."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        is_inet = self.family in (socket.AF_INET, socket.AF_INET6)
        if is_inet and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"A test tried to reach {address}; tests use no network.")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_waiting_for_disks() -> Iterator[None]:
    """Writes wait for no disk: a study syncs some 150 times, and a slow disk takes 10 ms for each.

    No test outlives a power cut; those about failing disks put a failing ``fsync`` in its place.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


def pytest_collection_finish() -> None:
    """The same cases each time; and what is imported by now stays, so that no collection of
    garbage looks at it again."""
    if "hypothesis" in sys.modules:
        # Else a test's cases would depend on what its process has imported, also for others.
        providers: Any = importlib.import_module("hypothesis.internal.conjecture.providers")
        providers._get_local_constants = providers.Constants
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first and skips ``gpu`` tests where there is no CUDA device."""
    place = {file: number for number, file in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.nodeid.partition("::")[0], len(place)))
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
