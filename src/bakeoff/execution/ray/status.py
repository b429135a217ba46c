"""``workers.json``: what a run's workers do, for ``bakeoff status`` and the live page."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from bakeoff.files import write_bytes
from bakeoff.runs.workers import WORKERS_FILE

if TYPE_CHECKING:
    from bakeoff.execution.ray.executor import RayExecutor

_EVERY: Final = 2.0


class StatusFile:
    """Writes the file now and then.

    Args:
        executor: whose workers they are.
    """

    def __init__(self, executor: RayExecutor) -> None:
        self._executor = executor
        self._next = 0.0

    def write(self) -> None:
        """Writes it, if the last time is long enough ago."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _EVERY
        executor = self._executor
        view = executor.taking.view.study
        content = {
            "written": time.time(),
            "workers": [_worker(one, now) for one in executor.workers],
            "jobs": {
                "waiting": executor.waiting,
                "running": sum(one.state == "running" for one in executor.workers),
                "done": executor.done,
            },
            "losses": executor.losses.total,
            "study": view.state.text if view is not None else "",
            "seconds_left": view.state.seconds_left if view is not None else None,
        }
        with suppress(OSError):  # no result depends on it
            write_bytes(executor.taking.run / WORKERS_FILE, json.dumps(content).encode())

    def remove(self) -> None:
        """There are no workers any more."""
        with suppress(OSError):
            (self._executor.taking.run / WORKERS_FILE).unlink(missing_ok=True)


def _worker(worker: Any, now: float) -> dict[str, Any]:
    step = worker.step
    return {
        "number": worker.number,
        "host": worker.about.get("host"),
        "device": worker.about.get("device"),
        "pid": worker.about.get("pid"),
        "state": worker.state,
        "job": worker.job.cohort if worker.job else None,
        "candidates": list(worker.job.candidates) if worker.job else [],
        "epoch": step.get("epoch"),
        "epochs": max((seat.stop for seat in worker.job.seats), default=0) if worker.job else None,
        "step": step.get("step", step.get("done")),
        "steps": step.get("num_steps", step.get("total")),
        "seconds": round(now - worker.since, 1),
    }
