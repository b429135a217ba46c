"""The driver's side: processes as actors, which answer lines of JSON."""

from __future__ import annotations

import itertools
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock, Thread
from typing import Any, ClassVar, Final

import bakeoff.errors
from bakeoff.errors import BakeoffError
from bakeoff.execution.apart.actors import Opener
from bakeoff.runs.events import JobKind

_ENDS_WITHIN: Final = 3.0
"""Seconds after which a process that is at something is ended hard."""
_LAST_BYTES: Final = 4096
_log = logging.getLogger(__name__)

Answer = Future[Any]


class ProcessError(Exception):
    """A call failed in a process, or the process is gone; the text is its traceback.

    Attributes:
        cause: the method's own error where bakeoff raised it on purpose; a MemoryError where memory
            was short.
    """

    def __init__(self, text: str, cause: Exception | None = None) -> None:
        super().__init__(text)
        self.cause = cause


@dataclass(frozen=True, kw_only=True)
class ProcessHost:
    """Starts processes; an ``ActorHost``.

    Attributes:
        workers: how many at most. command: Python code that a fresh interpreter runs, which ends in
            ``processes.child.serve``. opening: what the study is opened with there, as plain data.
    """

    what = "machine"
    more_room = "give --executor processes with fewer --workers, or --executor local"
    # Baselines are timed, which needs the machine for themselves, and one pass after the other.
    kinds: ClassVar[Collection[JobKind]] = ("train", "test")

    workers: int
    command: str
    opening: Mapping[str, Any]

    def resources(self, *, gpu: bool) -> dict[str, float]:
        """See ``ActorHost``."""
        return {"num_cpus": 1.0}

    def there(self, *, gpu: bool) -> dict[str, float]:
        """See ``ActorHost``."""
        return {"num_cpus": float(self.workers)}

    def capacity(self, *, gpu: bool, left_out: int = 0) -> int:
        """See ``ActorHost``; one that is left out keeps its place, and its memory."""
        return self.workers

    def actor(self, opener: Opener, threads: int, *, gpu: bool) -> ProcessActor:
        """See ``ActorHost``; the process opens the study by itself, with ``opening``."""
        return ProcessActor(self.command, {"opening": self.opening, "threads": threads})

    def wait(self, references: Sequence[Answer], *, count: int, timeout: float) -> list[Answer]:
        """See ``ActorHost``."""
        until = FIRST_COMPLETED if count < len(references) else ALL_COMPLETED
        over, _ = wait(references, timeout, return_when=until)
        return [one for one in references if one in over]

    def get(self, reference: Answer) -> Any:
        """See ``ActorHost``."""
        return reference.result()

    def kill(self, *actors: ProcessActor) -> None:
        """See ``ActorHost``."""
        for actor in actors:
            actor.let_go()  # all of them first: each takes its time
        for actor in actors:
            actor.end()


class ProcessActor:
    """One process, whose methods are those of ``JobWorker``.

    Args:
        command: see ``ProcessHost``. first: what it is given first, as plain data.
    """

    def __init__(self, command: str, first: Mapping[str, Any]) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=os.environ
            | {
                "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
                "OMP_NUM_THREADS": str(first["threads"]),
            },
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for the driver, which lets it save
        )
        self._numbers = itertools.count()
        self._waiting: dict[int, Answer] = {}
        self._gone: ProcessError | None = None
        self._lock = Lock()
        self._write(first)
        Thread(target=self._listen, daemon=True, name=f"process-{self._process.pid}").start()

    def __getattr__(self, name: str) -> _Method:
        if name.startswith("_"):
            raise AttributeError(name)
        return _Method(self, name)

    def call(self, name: str, arguments: Sequence[Any]) -> Answer:
        """Calls a method; the answer comes later."""
        answer: Answer = Future()
        number = next(self._numbers)
        with self._lock:
            if self._gone is None:
                self._waiting[number] = answer
            else:
                answer.set_exception(self._gone)
        self._write({"number": number, "method": name, "arguments": [*arguments]})
        return answer

    def let_go(self) -> None:
        """Closes its input, by which it ends soon."""
        with suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()

    def end(self) -> None:
        """Ends the process: one that is at nothing by itself, so that its own files go with it."""
        self.let_go()
        try:
            self._process.wait(_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):  # the system ends it when it can
                self._process.wait(_ENDS_WITHIN)

    def _write(self, line: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(line) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError):  # it is gone, which ``_listen`` says to all who wait
            return

    def _listen(self) -> None:
        """Takes answers as long as there are some; then fails whatever waits for more."""
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                self._take(json.loads(line))
        except ValueError as error:  # half a line, of a process that was killed as it wrote
            _log.warning("process %d: %s", self._process.pid, error)
            self._process.kill()
        finally:
            code = self._process.wait()
            words = f"{self._last_words()}\nits process ended {_code_in_words(code)}"
            gone = ProcessError(words)
            with self._lock:
                self._gone, left = gone, [*self._waiting.values()]
                self._waiting.clear()
            for answer in left:
                answer.set_exception(gone)
            self._said.close()
            self._process.stdout.close()

    def _take(self, found: Mapping[str, Any]) -> None:
        with self._lock:
            answer = self._waiting.pop(found["number"])
        if "error" in found:
            answer.set_exception(_error_from(found["error"]))
        else:
            answer.set_result(found["answer"])

    def _last_words(self) -> str:
        size = self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, size - _LAST_BYTES))
        return self._said.read().decode("utf-8", errors="replace").strip()


@dataclass(frozen=True)
class _Method:
    """``remote`` calls it, as Ray's actors have it."""

    actor: ProcessActor
    name: str

    def remote(self, *arguments: Any) -> Answer:
        return self.actor.call(self.name, arguments)


def _error_from(found: Mapping[str, Any]) -> ProcessError:
    """What ``processes.child`` wrote of an error."""
    cause: Exception | None = None
    if found["kind"] is not None:
        kind: type[BakeoffError] = getattr(bakeoff.errors, found["kind"])
        cause = kind(found["text"])
    elif found["is_short_of_memory"]:
        cause = MemoryError(found["text"])
    return ProcessError(found["traceback"], cause)


def _code_in_words(code: int) -> str:
    return f"by signal {-code}" if code < 0 else f"with code {code}"
