"""Trackio: a local database in the run's folder, a run a study."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

from bakeoff.execution.trackers.contract import Cell, TrackedStudy, Tracker

PROJECT = "bakeoff"
FOLDER = "trackio"


class Trackio(Tracker):
    """Writes to ``RUN/trackio``; ``TRACKIO_DIR=RUN/trackio trackio show`` shows it.

    ``TRACKIO_DIR`` and the variables that name a Space or a server are the user's to set.
    """

    name = "trackio"
    module = "trackio"
    extra = "trackio"

    def __init__(self, study: TrackedStudy) -> None:
        # Read when the library is imported.
        os.environ.setdefault("TRACKIO_DIR", str((study.folder / FOLDER).resolve()))
        self._trackio: Any = importlib.import_module(self.module)
        with _hushed():
            self._run = self._trackio.init(
                project=PROJECT,
                name=study.name,
                config=dict(study.options),
                embed=False,
                auto_log_cpu=False,
                auto_log_gpu=False,
            )
        self._states: list[list[Cell]] = []

    def epoch(self, candidate: str, epoch: int, values: Mapping[str, float]) -> None:
        """See ``Tracker``."""
        self._run.log({f"{candidate}/{key}": value for key, value in values.items()}, step=epoch)

    def state(self, candidate: str, state: str, reason: str | None) -> None:
        """See ``Tracker``."""
        self._states.append([candidate, state, reason])

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """See ``Tracker``."""
        states = self._trackio.Table(columns=["candidate", "state", "reason"], data=self._states)
        results = self._trackio.Table(columns=list(columns), data=[list(row) for row in rows])
        self._run.log({"candidates": states, "results": results})

    def close(self) -> None:
        """See ``Tracker``."""
        with _hushed():
            self._trackio.finish()


def _hushed() -> contextlib.redirect_stdout[io.StringIO]:
    """Drops what the library prints: the command line speaks for itself."""
    return contextlib.redirect_stdout(io.StringIO())
