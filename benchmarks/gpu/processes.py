"""Each stage in a process of its own, with a limit, and what is left of it when it is over.

A stage may break the driver's context, fill the card or hang: only the end of its process puts that
right. Processes are forked from one that has imported the libraries but has never asked for the
card, so that imports are paid once; where importing them has touched the card, which no fork
survives, they are spawned instead.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from gpu.records import Records, Report, SkippedError, State, failure

PRELOADED = ("torch", "transformers", "peft", "bakeoff.study.runner", "engines.ours")
_GRACE_SECONDS = 2.0
# Times a stage's limit, which is for a card: without one the host may be slow, or busy.
_DRY_PATIENCE = 5


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage as the table has it.

    Attributes:
        name: unique; a folder before a slash groups stages of one kind.
        question: what it answers, in one line.
        module: whose ``run(report, place, **arguments)`` does the work.
        limit: seconds after which its process is ended; several times that in a dry run.
        arguments: of ``run``.
    """

    name: str
    question: str
    module: str
    limit: float
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a stage works.

    Attributes:
        out: the campaign's folder. dry_run: whether the card is a fake one.
        around: in the stage's process, called with the stage's name before the work; returns a
            context for it. None works as it is.
    """

    out: Path
    dry_run: bool = False
    around: Callable[[str], contextlib.AbstractContextManager[Any]] | None = None

    def log_of(self, stage: str) -> Path:
        """The file with all that a stage's process printed."""
        return self.out / "logs" / f"{stage.replace('/', '-')}.log"


def starting_context() -> BaseContext:
    """How processes are started: forked after the imports, or spawned where those used the card."""
    for name in PRELOADED:
        importlib.import_module(name)
    forking = multiprocessing.get_context("fork")
    probe = forking.Process(target=_exit_by_fork_state)
    probe.start()
    probe.join()
    return forking if probe.exitcode == 0 else multiprocessing.get_context("spawn")


def _exit_by_fork_state() -> None:
    import torch

    sys.exit(int(torch.cuda._is_in_bad_fork()))


def run_in_process(
    context: BaseContext, stage: Stage, place: Place, records: Records, limit: float
) -> None:
    """Runs a stage; by the end ``records`` has its last line.

    Args:
        context: of ``multiprocessing``. stage: what. place: where.
        records: also written to by the process.
        limit: seconds that are left of the campaign; the stage's own limit holds as well.
    """
    log = place.log_of(stage.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    own_limit = stage.limit * (_DRY_PATIENCE if place.dry_run else 1)
    process = context.Process(  # type: ignore[attr-defined]
        target=work, args=(stage, place, records), name=stage.name
    )
    process.start()
    is_late = True
    try:
        process.join(min(own_limit, limit))
        is_late = process.is_alive()
    finally:  # also where the campaign itself is ended
        _end_group(process.pid)
        if is_late:
            process.kill()
            process.join(_GRACE_SECONDS)
    if any(r["kind"] == "stage" and r["stage"] == stage.name for r in records.read()):
        return
    seconds = round(time.perf_counter() - started, 3)
    if is_late:
        own = own_limit <= limit
        state = State.TIMED_OUT if own else State.INTERRUPTED
        reason = f"longer than its limit of {own_limit:g} s" if own else "the campaign's time"
    else:
        state = State.FAILED
        reason = f"the process ended with {_exit_in_words(process.exitcode)}; see {log.name}"
    tail = _tail(log)
    records.append(
        "stage", stage=stage.name, state=state, seconds=seconds, reason=reason, traceback=tail
    )


def work(stage: Stage, place: Place, records: Records) -> None:
    """A stage's process: its own group, its own log, and its last line in the records."""
    with contextlib.suppress(PermissionError):  # it leads a group already
        os.setsid()
    log = os.open(place.log_of(stage.name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout = open(1, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
    started = time.perf_counter()
    report = Report(records, stage.name)
    more: dict[str, Any] = {}
    try:
        around = place.around(stage.name) if place.around else contextlib.nullcontext()
        with around:
            importlib.import_module(stage.module).run(report, place, **stage.arguments)
        state = State.PASSED
        if report.failed:
            state = State.FAILED
            more = {"reason": f"failed: {', '.join(report.failed)}"}
    except SkippedError as error:
        state, more = State.SKIPPED, {"reason": str(error)}
    except BaseException as error:  # a script's SystemExit as well
        traceback.print_exc()
        state, more = State.FAILED, failure(error)
    seconds = round(time.perf_counter() - started, 3)
    records.append("stage", stage=stage.name, state=state, seconds=seconds, **more)
    sys.stdout.flush()
    sys.stderr.flush()
    # A driver's context that is broken may hang where it is taken down.
    os._exit(0)


def _end_group(pid: int | None) -> None:
    """Ends a stage's process, where it still runs, and whatever it has started."""
    if pid is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _exit_in_words(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def _tail(log: Path, most: int = 2000) -> str:
    """The end of a log: what a process said last."""
    if not log.exists():
        return ""
    return log.read_text(encoding="utf-8", errors="replace")[-most:]
