"""Writes the report again and again while a run goes on, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Final, Self

import psutil

from bakeoff.children import dying_with_parent
from bakeoff.files import PART

NICENESS: Final = 10
REST_SECONDS: Final = 3.0
"""From the end of one report to the beginning of the next, at least."""


class Rewriting:
    """While it is entered, ``news`` has the report written again, one at a time.

    Drawing takes seconds of a core, so that it is done elsewhere and gives way to training. What
    fails there fails in silence: the next report, or the last, which the run writes itself, says.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._news, self._ended = Event(), Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = Thread(target=self._work, name="report-writer", daemon=True)

    def news(self) -> None:
        """The results in the folder are new."""
        self._news.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._news.set()
        self._thread.join()
        # What a killed writer left half written.
        for place in (self._folder, self._folder / "figures"):
            for left in place.glob(f".*{PART}"):
                if left.is_file():
                    left.unlink(missing_ok=True)

    def _work(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            if self._ended.is_set():
                return
            with contextlib.suppress(OSError):
                self._write()
            self._ended.wait(REST_SECONDS)

    def _write(self) -> None:
        process = subprocess.Popen(
            dying_with_parent(
                [sys.executable, "-P", "-m", "bakeoff.cli", "report", str(self._folder)]
            ),
            env=os.environ | {"PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with contextlib.suppress(psutil.Error):
            psutil.Process(process.pid).nice(NICENESS)
        while process.poll() is None:
            if self._ended.wait(0.1):
                # The run writes its last report itself; an older one must not replace it.
                process.kill()
                process.wait()
