"""The process's side: a ``JobWorker`` that lines of JSON call."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Final

from bakeoff.execution.apart.job_worker import JobWorker
from bakeoff.execution.apart.workshop import Workshop

_AT_ONCE: Final = ("about", "doing", "news", "stop")
"""Methods that are called while a job runs; the others wait for each other."""


def serve(opened: Callable[[Mapping[str, Any]], Workshop]) -> None:
    """Answers until the driver closes the input, be it that the driver is gone.

    Args:
        opened: opens the study from what the driver gives, as plain data.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a library's print spoils no answer
    first = json.loads(sys.stdin.readline())
    worker = JobWorker(partial(opened, first["opening"]), first["threads"], orphans=False)
    lock = Lock()

    def answer(call: Mapping[str, Any]) -> None:
        found = _answer_of(worker, call)
        with lock:
            answers.write(json.dumps({"number": call["number"], **found}) + "\n")
            answers.flush()

    calls: SimpleQueue[Mapping[str, Any]] = SimpleQueue()

    def listen() -> None:
        try:
            for line in sys.stdin:
                call = json.loads(line)
                if call["method"] in _AT_ONCE:
                    answer(call)
                else:
                    calls.put(call)
        finally:
            os._exit(0)  # what the job makes would have no taker

    Thread(target=listen, daemon=True, name="calls").start()
    while True:
        answer(calls.get())


def _answer_of(worker: JobWorker, call: Mapping[str, Any]) -> dict[str, Any]:
    """What a call gives, or of its error what ``processes.host`` makes one of again."""
    try:
        return {"answer": getattr(worker, call["method"])(*call["arguments"])}
    except BaseException as error:
        from bakeoff.engine.backends.memory import is_out_of_memory

        return {
            "error": {
                "kind": type(error).__name__,
                "text": str(error),
                "traceback": traceback.format_exc(),
                "is_short_of_memory": isinstance(error, Exception) and is_out_of_memory(error),
            }
        }
