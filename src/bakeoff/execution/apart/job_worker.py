"""What runs on a worker: opens the study once, then runs one job after the other.

It writes below the folder of its job's try and nowhere else.
"""

from __future__ import annotations

import os
import platform
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from bakeoff.execution.apart.actors import Opener
from bakeoff.execution.apart.exchange import Request, as_text, request_from
from bakeoff.execution.apart.found import write_outcome
from bakeoff.execution.apart.news import News
from bakeoff.execution.apart.places import attempts
from bakeoff.execution.apart.remote import RemoteFiles
from bakeoff.execution.apart.workshop import Workshop
from bakeoff.execution.states import COHORTS
from bakeoff.execution.stopping import EXIT_TERMINATED, Stopped, StopSignals

_FOLLOWED_EVERY: Final = 120.0
"""Seconds after which a driver that asks for no news is taken for dead."""
_MOST_NEWS: Final = 2000


class JobWorker:
    """An actor's object; ``news`` and ``stop`` are called while ``run`` is running.

    Args:
        opener: opens the study here. threads: that PyTorch computes on.
        orphans: whether the actor outlives its driver, so that it must look after its own end.
    """

    def __init__(self, opener: Opener, threads: int, orphans: bool) -> None:
        self._opener, self._threads = opener, threads
        self._workshop: Workshop | None = None
        self._stop = StopSignals()
        self._unwanted = ""
        self._news: list[News] = []
        self._number = 0
        self._lock = threading.Lock()
        self._heard = time.monotonic()
        self._is_running = False
        self._run = self._job = ""
        self._step: dict[str, Any] = {}
        if orphans:
            threading.Thread(target=self._end_without_driver, daemon=True).start()

    def about(
        self,
        versions: Mapping[str, str],
        run: str,
        token: str,
        files: tuple[str, str] | None = None,
    ) -> dict[str, Any]:
        """What the driver must know of a worker before it opens the study there.

        Args:
            versions: the driver's, by library. run: the run's folder. token: a file in it, or at
                the address. files: an address and the run's id, where workers leave what they make.
        """
        import torch

        from bakeoff.execution.apart.versions import versions_here

        here = versions_here()
        device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu"
        self._run = run
        sees, why = (Path(run) / token).is_file(), ""
        if files is not None:
            try:
                sees = RemoteFiles(*files).shows(token)
            except Exception as error:  # each kind of address has errors of its own
                sees, why = False, f"{type(error).__name__}: {error}"
        return {
            "host": platform.node(),
            "pid": os.getpid(),
            "device": device,
            "versions": {k: v for k, v in here.items() if versions.get(k) != v},
            "sees": sees,
            "why": why,
        }

    def doing(self) -> dict[str, Any]:
        """What it does now, for `bakeoff status`: the run's folder, the job, how far that is."""
        with self._lock:
            step = {key: value for key, value in self._step.items() if key != "what"}
        return {"run": self._run, "job": self._job or None, **(step if self._job else {})}

    def open(self) -> None:
        """Loads the base and the data, once."""
        import torch

        self._is_running = True  # meanwhile the driver asks for no news
        try:
            torch.set_num_threads(self._threads)
            self._workshop = self._opener()
        finally:
            self._heard = time.monotonic()
            self._is_running = False

    def run(
        self,
        request: str,
        place: str,
        run: str,
        before: list[str],
        files: tuple[str, str] | None = None,
    ) -> str | None:
        """Runs a job; arguments as of ``Workshop.run``, as plain data.

        Args:
            request, place, run, before: see there. files: an address and the run's id, where the
                run's folder cannot be seen from here.

        Returns:
            The outcome, or None if it was stopped and all is saved.
        """
        assert self._workshop is not None
        asked = request_from(request)
        self._stop = StopSignals(shortens=asked.shortens)
        if asked.seconds is not None:
            self._stop.deadline = time.monotonic() + max(0.0, asked.seconds)
        if self._unwanted == asked.job.cohort:  # asked before it began
            self.stop(self._unwanted)
        self._is_running, self._job, self._step = True, asked.job.cohort, {}
        try:
            if files is not None:
                return self._run_far(asked, Path(place).name, RemoteFiles(*files))
            tries = [*map(Path, before)]
            outcome = self._workshop.run(
                asked, Path(place), Path(run), tries, self._tell, self._stop
            )
            write_outcome(Path(place), outcome)
            return as_text(outcome)
        except Stopped:
            return None
        finally:
            self._is_running, self._job = False, ""

    def _run_far(self, request: Request, name: str, files: RemoteFiles) -> str:
        """Runs a job in a folder of this machine and copies it whenever something is saved."""
        assert self._workshop is not None
        cohort = request.job.cohort
        with tempfile.TemporaryDirectory(prefix="bakeoff-") as folder:
            run = Path(folder)
            files.take(run, request.files)
            files.pull(run / COHORTS / cohort, cohort)
            before = attempts(run, cohort)
            place = run / COHORTS / cohort / name

            def tell(news: News) -> None:
                if news.kind == "count" and news.content["what"] == "saved":
                    files.push(place, cohort)
                self._tell(news)

            try:
                outcome = self._workshop.run(request, place, run, before, tell, self._stop)
                write_outcome(place, outcome)
            finally:
                files.push(place, cohort)
            return as_text(outcome)

    def _tell(self, news: News) -> None:
        with self._lock:
            self._number += 1
            if news.kind == "step":
                self._step = news.content
            if news.kind in ("step", "count"):  # only the last of them is of use
                self._news = [one for one in self._news if one.kind != news.kind]
            self._news = [*self._news, news][-_MOST_NEWS:]

    def news(self) -> tuple[int, list[dict[str, Any]]]:
        """How many things have happened, and those since the last call."""
        with self._lock:
            self._heard = time.monotonic()
            found, self._news = self._news, []
            return self._number, [asdict(one) for one in found]

    def stop(self, cohort: str) -> None:
        """Asks a job to save and end, be it that it has not begun yet."""
        self._unwanted = cohort
        self._stop.requested = Stopped(EXIT_TERMINATED, "the driver ends")

    def _end_without_driver(self) -> None:
        """Ends a worker whose driver is gone, once its job is over: its folder stays."""
        while True:
            time.sleep(1.0)
            if self.is_forgotten():
                os._exit(0)

    def is_forgotten(self) -> bool:
        """Whether no driver follows it any more, and it is at nothing."""
        return not self._is_running and time.monotonic() - self._heard > _FOLLOWED_EVERY
