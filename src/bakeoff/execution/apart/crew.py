"""Actors until they may have a job: made, asked about themselves, opened, or left out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bakeoff.errors import BakeoffError, ConfigError
from bakeoff.execution.apart.actors import ActorHost, Opener
from bakeoff.execution.apart.checks import Checks
from bakeoff.execution.apart.remote_worker import RemoteWorker

_log = logging.getLogger(__name__)
_MOST_STARTS: Final = 10
"""Actors in a row that die before they have opened the study."""
_STARTS_AGAIN: Final = 5.0
"""Seconds after the system refused to start one."""
_PAUSE: Final = 300.0
"""After so many in a row, while others work."""
_SAID_AFTER: Final = 30.0
_WAKES_WITHIN: Final = 300.0
_SIZED_EVERY: Final = 10.0


@dataclass
class Crew:
    """The actors of a run.

    An actor that may not take part ends the run only where no other has opened the study: a cluster
    that grows brings what it brings. Later ones are left out. They keep their place, so that none
    is made there again, and get no job.

    Attributes:
        host: where actors are. opener: opens the study on one. checks: what they must be like.
        threads, gpu: of each. run: the run's folder. say: shows a line.
        opens_within: seconds in which one must have opened the study.
    """

    host: ActorHost
    opener: Opener
    checks: Checks
    threads: int
    gpu: bool
    run: Path
    say: Callable[[str], None]
    opens_within: float
    workers: list[RemoteWorker] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._made = self._failed_starts = 0
        self._size, self._next_size = 1, 0.0
        self._grows_after = self._next_start = 0.0
        self._fine_at = time.monotonic()
        self._has_said = False
        self._left_out: set[str] = set()

    def grow(self, jobs: int) -> None:
        """As many actors as there is work and room for; the cluster may have grown.

        Args:
            jobs: those that run and those that wait.
        """
        now = time.monotonic()
        if now < self._next_start or (now < self._grows_after and self._has_ready):
            return
        left_out = sum(worker.state == "left out" for worker in self.workers)
        if now >= self._next_size:
            self._size = self.host.capacity(gpu=self.gpu, left_out=left_out)
            self._next_size = now + _SIZED_EVERY
        while len(self.workers) < min(self._size, jobs + left_out):
            try:
                actor = self.host.actor(self.opener, self.threads, gpu=self.gpu)
            except OSError as error:  # no memory, no process, no room for its files
                self._next_start = now + _STARTS_AGAIN
                self._count_failed_start(error)
                return
            self._made += 1
            worker = RemoteWorker(number=self._made, actor=actor)
            worker.waiting["about"] = self.checks.ask(actor, self.run)
            self.workers.append(worker)

    def introduced(self, worker: RemoteWorker, about: dict[str, Any]) -> None:
        """A worker has said what it is like; it opens the study, if it may take part."""
        worker.about = about
        try:
            self.checks.accepted(about)
        except BakeoffError as error:
            self._leave_out(worker, error)
            return
        worker.state, worker.since = "opening", time.monotonic()
        worker.waiting["open"] = worker.actor.open.remote()

    def opened(self, worker: RemoteWorker) -> None:
        """A worker has opened the study."""
        self._failed_starts = 0
        worker.rest()

    def wake(self) -> None:
        """After a while without a word: who ended meanwhile must not be given a job."""
        for worker in self.workers:
            if worker.state == "idle":
                worker.state, worker.since = "waking", time.monotonic()
                worker.waiting.pop("news", None)  # it may have been answered long ago

    def failed(self, worker: RemoteWorker, what: str, error: Exception) -> None:
        """A call to a worker without a job failed.

        Raises:
            BakeoffError: no worker can be had.
        """
        where, cause = worker.about.get("host", "a node"), getattr(error, "cause", None)
        if isinstance(cause, BakeoffError):
            self._leave_out(worker, type(cause)(f"worker on {where}: {cause}"))
            return
        if what == "open" and self.checks.is_short(error):
            short = ConfigError(
                f"worker on {where}: has no room for the base ({line_of(error)}); "
                f"{self.host.more_room}"
            )
            self._leave_out(worker, short)
            return
        self.drop(worker)
        if what in ("about", "open"):
            self._count_failed_start(error)

    def _count_failed_start(self, error: Exception) -> None:
        """After too many in a row: an error, or a pause where others work.

        Raises:
            ConfigError: there is no other worker.
        """
        self._failed_starts += 1
        if self._failed_starts < _MOST_STARTS:
            return
        several = ConfigError(
            f"{self._failed_starts} workers in a row could not be started; the last said: "
            f"{line_of(error)}. Look at the {self.host.what}, or run with --executor local"
        )
        if not self._has_ready:
            raise several
        self._failed_starts, self._grows_after = 0, time.monotonic() + _PAUSE
        self.say(f"  [yellow]note[/] {escaped(str(several))}; the others go on")

    def watch(self, jobs: int) -> None:
        """Gives up who is silent for too long before a job, and says what is waited for."""
        now = time.monotonic()
        limits = {
            "opening": ("open", self.opens_within, "had not opened the study after"),
            "waking": ("news", _WAKES_WITHIN, "said nothing for"),
        }
        for worker in [one for one in self.workers if one.state in limits]:
            what, limit, words = limits[worker.state]
            if now - worker.since > limit:
                _log.warning("worker %d %s %.0f s", worker.number, words, limit)
                self.failed(worker, what, TimeoutError(f"{words} {limit:.0f} s"))
        pending = [
            worker
            for worker in self.workers
            if worker.state == "starting" and now - worker.since > _SAID_AFTER
        ]
        if not jobs or any(one.is_ready or one.state == "opening" for one in self.workers):
            self._fine_at = now
        if not self._has_said and (pending or now - self._fine_at > _SAID_AFTER):
            self._has_said = True
            self._say_what_is_missing(len(pending))

    def drop(self, *workers: RemoteWorker) -> None:
        """Ends actors."""
        self.workers = [one for one in self.workers if one not in workers]
        self.host.kill(*(worker.actor for worker in workers))

    def release(self) -> None:
        """Ends all of them; new ones are made when there is work again."""
        self.drop(*self.workers)

    @property
    def _has_ready(self) -> bool:
        return any(worker.is_ready for worker in self.workers)

    def _leave_out(self, worker: RemoteWorker, error: BakeoffError) -> None:
        if not self._has_ready:
            self.drop(worker)
            raise error
        worker.state = "left out"
        host = str(worker.about.get("host"))
        if host not in self._left_out:
            self._left_out.add(host)
            _log.warning("left out: %s", error)
            self.say(f"  [yellow]note[/] {escaped(str(error))}. It is left out; the others go on")

    def _say_what_is_missing(self, pending: int) -> None:
        asked = self.host.resources(gpu=self.gpu)
        there = self.host.there(gpu=self.gpu)
        who = f"{pending} of {len(self.workers)} workers" if pending else "no worker"
        verb = "have not" if pending else "has"
        self.say(
            f"  [yellow]note[/] {who} {verb} begun within {_SAID_AFTER:.0f} s: a worker asks for "
            f"{escaped(_listed(asked))}, and the {self.host.what} has "
            f"{escaped(_listed(there))}. Jobs wait until there is room and a worker has started; "
            f"else give --workers what is there, or {self.host.more_room}"
        )


def _listed(resources: dict[str, float]) -> str:
    return ", ".join(f"{key} {value:g}" for key, value in resources.items()) or "nothing"


def line_of(error: Exception) -> str:
    """The last line of an error that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # Ray's own guesses at why a process ended fill ten lines of a terminal.
    return lines[-1].partition(" Worker exit type: ")[0] if lines else type(error).__name__


def escaped(text: str) -> str:
    """As a terminal shows it, whatever brackets it has."""
    from rich.markup import escape

    return escape(text)
