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
        number: in the order in which they were made. actor: the host's handle.
        about: what it said of itself; empty until it has.
        state: ``starting``, ``opening``, ``idle``, ``running``; ``waking`` where it is asked again
            after a while; ``left out`` where it may have no job.
        waiting: references of calls that are under way, by what they are.
        job: the present one. place: the folder of its try. since, heard: monotonic seconds.
        tries: of the job, with this one. first: the share of the job that was done at its first
            step here, and when that was.
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
    tries: int = 0
    first: tuple[float, float] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it has opened the study."""
        return self.state in ("idle", "running", "waking")

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
        self.step, self.first, self.tries = {}, None, len(before) + 1
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
        if self.first is None and (done := self.share_done) is not None:
            self.first = done, time.monotonic()
        return news

    @property
    def share_done(self) -> float | None:
        """Of the epochs of a job that trains; None where it is not known."""
        epochs = max((seat.stop for seat in self.job.seats), default=0) if self.job else 0
        step = self.step
        if not epochs or not step.get("epoch") or not step.get("num_steps"):
            return None
        return float((step["epoch"] - 1 + step["step"] / step["num_steps"]) / epochs)

    def seconds_left(self, now: float) -> float | None:
        """Of a job that trains, as fast as it has been; None where it is not known yet."""
        done = self.share_done
        if done is None or self.first is None or done <= self.first[0]:
            return None
        return max(0.0, 1.0 - done) / (done - self.first[0]) * (now - self.first[1])

    def rest(self) -> None:
        """Its job is over."""
        self.job = self.place = None
        self.state, self.since, self.step = "idle", time.monotonic(), {}
