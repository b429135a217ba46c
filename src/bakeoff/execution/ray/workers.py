"""The driver's side of one actor."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bakeoff.execution.apart.exchange import Request, as_text
from bakeoff.execution.apart.news import News
from bakeoff.runs.events import CohortJob


@dataclass(eq=False)
class RemoteWorker:
    """An actor and what it is doing.

    Attributes:
        number: in the order in which they were made. actor: Ray's handle.
        about: what it said of itself; empty until it has.
        state: ``starting``, ``opening``, ``idle``, ``running``.
        waiting: references of calls that are under way, by what they are.
        job: the present one. place: the folder of its try. since, heard: monotonic seconds.
    """

    number: int
    actor: Any
    about: dict[str, Any] = field(default_factory=dict)
    state: str = "starting"
    waiting: dict[str, Any] = field(default_factory=dict)
    job: CohortJob | None = None
    place: Path | None = None
    since: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)
    last_report: int = -1
    step: dict[str, Any] = field(default_factory=dict)

    def begin(
        self,
        request: Request,
        place: Path,
        run: Path,
        before: list[Path],
        files: tuple[str, str] | None = None,
    ) -> None:
        """Gives it a job; arguments as of ``JobWorker.run``."""
        self.job, self.place, self.state = request.job, place, "running"
        self.since = self.heard = time.monotonic()
        self.step = {}
        self.waiting["run"] = self.actor.run.remote(
            as_text(request), str(place), str(run), [*map(str, before)], files
        )

    def hear(self, answer: tuple[int, list[dict[str, Any]]]) -> list[News]:
        """Takes what it reports."""
        number, reported = answer
        if number != self.last_report:
            self.last_report, self.heard = number, time.monotonic()
        news = [News(**one) for one in reported]
        for one in news:
            if one.kind in ("step", "count"):
                self.step = {"kind": one.kind, **one.content}
        return news

    def rest(self) -> None:
        """Its job is over."""
        self.job = self.place = None
        self.state, self.since, self.step = "idle", time.monotonic(), {}
