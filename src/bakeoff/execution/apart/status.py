"""``workers.json``: what a run's workers do, for ``bakeoff status`` and the live page."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from bakeoff.execution.apart.remote_worker import RemoteWorker
from bakeoff.execution.apart.taking import Taking
from bakeoff.files import write_bytes
from bakeoff.runs.workers import WORKERS_FILE

_EVERY: Final = 2.0


class StatusFile:
    """Writes the file now and then.

    Args:
        taking: the run's.
    """

    def __init__(self, taking: Taking) -> None:
        self._taking = taking
        self._next = 0.0

    def write(
        self, workers: Sequence[RemoteWorker], *, waiting: int, done: int, losses: int
    ) -> None:
        """Writes it, if the last time is long enough ago.

        Args:
            workers: those that run. waiting: jobs that no worker has. done: jobs that are finished.
            losses: of workers, so far.
        """
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _EVERY
        view = self._taking.view.study
        content = {
            "written": time.time(),
            "workers": [_worker(one, now) for one in workers],
            "jobs": {
                "waiting": waiting,
                "running": sum(one.state == "running" for one in workers),
                "done": done,
            },
            "losses": losses,
            "study": view.state.text if view is not None else "",
            "seconds_left": view.state.seconds_left if view is not None else None,
        }
        with suppress(OSError):  # no result depends on it
            write_bytes(self._taking.run / WORKERS_FILE, json.dumps(content).encode())

    def remove(self) -> None:
        """There are no workers any more."""
        with suppress(OSError):
            (self._taking.run / WORKERS_FILE).unlink(missing_ok=True)


def _worker(worker: RemoteWorker, now: float) -> dict[str, Any]:
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
        "seconds_left": worker.seconds_left(now),
        "tries": worker.tries if worker.job else None,
    }
