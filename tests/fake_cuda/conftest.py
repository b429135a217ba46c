"""Runs cases in processes of their own, with the guard loaded before PyTorch, and hands out what
came of each."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.fake_cuda import guard
from tests.fake_cuda.cases import Case

Outcome = dict[str, Any]
_LIMIT_SECONDS = 3600
"""Of one process: far beyond what it takes, so that a hang ends."""


class Children:
    """Processes that run named pieces of work, one process a group, side by side on the cores."""

    def __init__(self) -> None:
        # Beside other workers of pytest-xdist there is no core to spare, and imports take seconds.
        self._at_once = 1 if "PYTEST_XDIST_WORKER" in os.environ else min(4, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(max_workers=self._at_once)
        self._environment = guard.environment()
        self._started: dict[str, Future[dict[str, Outcome]]] = {}

    def start(self, names: Iterable[str]) -> None:
        """Starts a process that runs these pieces of work, in order."""
        listed = list(names)
        future = self._pool.submit(self._run, listed)
        self._started |= dict.fromkeys(listed, future)

    def spread(self, groups: Iterable[Sequence[str]]) -> None:
        """Starts groups in as many processes as run at once: each costs seconds of imports."""
        processes: list[list[str]] = [[] for _ in range(self._at_once)]
        for names in sorted(groups, key=len, reverse=True):
            min(processes, key=len).extend(names)
        for listed in filter(None, processes):
            self.start(listed)

    def found(self, name: str) -> Any:
        """What a piece of work found; fails where it raised, with its own trace."""
        if name not in self._started:
            self.start([name])
        outcome = self._started[name].result()[name]
        if "error" in outcome:
            pytest.fail(f"{outcome['error']}\n{outcome.get('trace', '')}", pytrace=False)
        return outcome["found"]

    def _run(self, names: list[str]) -> dict[str, Outcome]:
        done = subprocess.run(
            guard.python("child", *names),
            env=self._environment,
            cwd=guard.ROOT,
            capture_output=True,
            text=True,
            timeout=_LIMIT_SECONDS,
        )
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        ended = f"the process ended with status {done.returncode} before it\n{done.stderr[-2000:]}"
        return {name: {"error": ended} for name in names} | {line["id"]: line for line in lines}

    def close(self) -> None:
        """Waits for what still runs."""
        self._pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="session")
def children() -> Iterator[Children]:
    if guard.compiler() is None:
        pytest.skip("fake CUDA tensors need a C++ compiler to build their guard: install g++")
    made = Children()
    yield made
    made.close()


@pytest.fixture(scope="session")
def found_of(children: Children, request: pytest.FixtureRequest) -> Callable[[Case], Any]:
    """What a case of the matrix found; all those that this run has asked for are started at once,
    those of a base in one process."""
    groups: dict[str, list[str]] = {}
    for item in request.session.items:
        case = getattr(item, "callspec", None) and item.callspec.params.get("case")  # type: ignore[attr-defined]
        if isinstance(case, Case):
            groups.setdefault(case.base, []).append(case.id)
    children.spread(groups.values())
    return lambda case: children.found(case.id)
