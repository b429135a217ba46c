"""Runs a study in processes that are killed at random moments, until enough have died.

``python killed_runs.py STUDY.yaml FOLDER KILLS SEED``: each process is forked from this one, which
has imported everything and computed nothing, and kills itself (SIGKILL) just before or just after
an event drawn at random: a training step, a write, a rename, a removal, a commit of the search.
Whenever the study completes before enough have died, the next one starts in a folder of its own.
Prints a JSON line for each process.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import bakeoff.report
from bakeoff.cli.main import main
from bakeoff.engine import train
from bakeoff.engine.train import Trainer
from bakeoff.execution import outputs
from bakeoff.execution.progress import ProgressView
from bakeoff.metrics import background
from bakeoff.search import storage as storage
from bakeoff.study import costs
from tests.studies import ScorerHere, measured_here

EVENTS = 340
"""About as many as an undisturbed run of the test's study has."""


def watch(owner: Any, name: str, before: Callable[[], None], after: Callable[[], None]) -> None:
    """Calls ``before`` and ``after`` around every call of ``owner.name``."""
    watched = getattr(owner, name)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        before()
        result = watched(*arguments, **options)
        after()
        return result

    setattr(owner, name, wrapped)


def child(study: str, folder: Path, log: Path, fatal: int) -> None:
    """One run of the command line, which dies at its event number ``fatal``."""
    counted = 0

    def event() -> None:
        nonlocal counted
        counted += 1
        if counted == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def note(kind: str, candidate: Any) -> None:
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{kind} {candidate.id} {len(candidate.epochs)}\n")

    sit_down, on_epoch = Trainer._sit_down, ProgressView.on_epoch

    def seen_sitting(self: Trainer, slot: int, candidate: Any, snapshot: Any) -> None:
        note("start" if snapshot is None else "resume", candidate)
        sit_down(self, slot, candidate, snapshot)

    def seen_epoch(self: ProgressView, candidate: Any) -> None:
        note("epoch", candidate)
        on_epoch(self, candidate)

    setattr(Trainer, "_sit_down", seen_sitting)  # noqa: B010
    setattr(ProgressView, "on_epoch", seen_epoch)  # noqa: B010
    for owner, name in (
        (os, "replace"),
        (os, "fsync"),
        (os, "unlink"),
        (train, "train_step"),
        (outputs, "generate"),
        (storage.SearchStorage, "write"),
    ):
        watch(owner, name, event, event)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    sys.argv = ["bakeoff", "run", study, "--out", str(folder)]
    try:
        main()
    except SystemExit as ended:
        os._exit(int(ended.code or 0))
    os._exit(0)


def run() -> None:
    """The loop over processes."""
    study, place, kills, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(1)
    setattr(background, "RougeScorer", ScorerHere)  # noqa: B010
    setattr(costs, "measure_costs", measured_here)  # noqa: B010
    setattr(bakeoff.report, "write_report", lambda folder, *_: folder / "report.html")  # noqa: B010
    draw = random.Random(seed)
    number, died = 0, 0
    while True:
        folder = place / f"run{number}"
        # The first run is left alone; the last one is brought to its end.
        fatal = 0 if number == 0 or died >= kills else draw.randrange(1, EVENTS)
        process = os.fork()
        if process == 0:
            child(study, folder, place / f"run{number}.log", fatal)
        _, status = os.waitpid(process, 0)
        code = os.waitstatus_to_exitcode(status)
        died += code == -signal.SIGKILL
        print(json.dumps({"run": number, "fatal": fatal, "code": code}), flush=True)
        if code not in (0, -signal.SIGKILL):
            sys.exit(1)
        if code == 0:
            if died >= kills:
                return
            number += 1


if __name__ == "__main__":
    run()
