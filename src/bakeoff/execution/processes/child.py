"""The process's side: a ``JobWorker`` that lines of JSON call."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Final

from bakeoff import errors
from bakeoff.execution.apart.job_worker import JobWorker
from bakeoff.execution.apart.workshop import Workshop

_AT_ONCE: Final = ("about", "doing", "news", "stop")
"""Methods that are called while a job runs; the others wait for each other."""
_ENDS_WITHIN: Final = 2.0


def serve(opened: Callable[[Mapping[str, Any]], Workshop]) -> None:
    """Answers until the driver closes the input, be it that the driver is gone.

    Args:
        opened: opens the study from what the driver gives, as plain data.
    """
    # The driver decides, also where a batch system signals every process of the run: it asks for
    # what is to be saved, and a process ends with its input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: None)
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

    calls: SimpleQueue[Mapping[str, Any] | None] = SimpleQueue()

    def listen() -> None:
        code = 0
        try:
            for line in sys.stdin:
                call = json.loads(line)
                if call["method"] in _AT_ONCE:
                    answer(call)
                else:
                    calls.put(call)
        except Exception:
            traceback.print_exc()
            code = 1
        # Who is at nothing ends in good order. What a job makes would have no taker.
        calls.put(None)
        time.sleep(_ENDS_WITHIN)
        os._exit(code)

    Thread(target=listen, daemon=True, name="calls").start()
    while (call := calls.get()) is not None:
        answer(call)


def _answer_of(worker: JobWorker, call: Mapping[str, Any]) -> dict[str, Any]:
    """What a call gives, or of its error what ``processes.host`` makes one of again."""
    try:
        return {"answer": getattr(worker, call["method"])(*call["arguments"])}
    except BaseException as error:
        # Heavy, and of use only here.
        from bakeoff.engine.backends.memory import is_out_of_memory

        kinds = [kind for kind in type(error).__mro__ if kind.__module__ == errors.__name__]
        return {
            "error": {
                "kind": kinds[0].__name__ if kinds else None,
                "text": str(error),
                "traceback": traceback.format_exc(),
                "is_short_of_memory": isinstance(error, Exception) and is_out_of_memory(error),
            }
        }
