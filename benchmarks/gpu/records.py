"""What a campaign writes down: JSON lines, one for each finding and one for each stage's end.

Every line is appended and flushed at once by the process that knows it, so that one that is killed
loses only what it was about to find out. A line is one of

* ``{"kind": "campaign", ...}``: how a campaign was started;
* ``{"kind": "part", "stage", "part", "state", "seconds", "says", "figures"}``: a part of a stage,
  with its figures and a sentence on them;
* ``{"kind": "stage", "stage", "state", "seconds", "reason", "traceback"}``: a stage's end.

Each also has ``dry_run``: figures of a dry run are of no card, and never taken for one's.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

MOST_TRACEBACK = 6000
"""Characters of a traceback that are kept, from its end; the whole of it is in the stage's log."""

Record = dict[str, Any]


class State(StrEnum):
    """How a stage or a part of one ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    TIMED_OUT = "timed_out"
    """It ran into its own limit."""
    INTERRUPTED = "interrupted"
    """The campaign's time ran out while it ran."""
    NOT_STARTED = "not_started"
    """The campaign's time ran out before it."""


FINAL = frozenset({State.PASSED, State.FAILED, State.SKIPPED, State.TIMED_OUT})
"""A stage that ended so is not run again by ``--have``."""
BROKEN = frozenset({State.FAILED, State.TIMED_OUT})


class RecordsError(Exception):
    """A file of records that cannot be read, or is of the other kind of run."""


class SkippedError(Exception):
    """Says why a stage or a part has nothing to do here, such as an optional package missing."""


class Records:
    """A file of records, appended to by the campaign and by the stages' processes in turn.

    Args:
        path: the file. dry_run: whether its figures are of no card.
    """

    def __init__(self, path: Path, *, dry_run: bool) -> None:
        self.path = path
        self.dry_run = dry_run

    def append(self, kind: str, **content: Any) -> None:
        """Writes one line, in one piece: other processes may be writing theirs."""
        line = json.dumps({"kind": kind, **content, "dry_run": self.dry_run}, default=str) + "\n"
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)

    def read(self) -> list[Record]:
        """All lines so far."""
        return read_records(self.path) if self.path.exists() else []


class Report:
    """What a stage reports while it runs.

    Args:
        records: where to. stage: its name.

    Attributes:
        failed: parts that failed. num_parts: parts that ended.
    """

    def __init__(self, records: Records, stage: str) -> None:
        self._records = records
        self._stage = stage
        self.failed: list[str] = []
        self.num_parts = 0

    @contextmanager
    def part(self, name: str) -> Iterator[Record]:
        """One part of the stage; what goes wrong inside fails it, and the stage goes on.

        Yields:
            The part's figures, to be filled in; ``says`` becomes the summary's sentence on them.
        """
        found: Record = {}
        started = time.perf_counter()
        state, more = State.PASSED, {}
        try:
            yield found
        except SkippedError as error:
            state, more = State.SKIPPED, {"reason": str(error)}
        except Exception as error:  # whatever it is, the other parts go on
            traceback.print_exc()
            state, more = State.FAILED, failure(error)
            self.failed.append(name)
        self.num_parts += 1
        seconds = round(time.perf_counter() - started, 3)
        says = found.pop("says", "")
        self._records.append(
            "part",
            stage=self._stage,
            part=name,
            state=state,
            seconds=seconds,
            says=says,
            figures=found,
            **more,
        )


def failure(error: BaseException) -> Record:
    """``reason`` and ``traceback`` of an exception."""
    text = "".join(traceback.format_exception(error))
    first = (str(error).strip().splitlines() or [""])[0]
    return {
        "reason": f"{type(error).__name__}: {first}"[:300],
        "traceback": text[-MOST_TRACEBACK:],
    }


def read_records(path: Path) -> list[Record]:
    """The lines of a file; a last line that was cut off is left out.

    Raises:
        RecordsError: it cannot be read, or another line of it is not a record.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise RecordsError(f"{path}: {error.strerror}; give a campaign's records.jsonl") from error
    found: list[Record] = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
            if number == len(lines):  # the process was killed while it wrote
                continue
        if not isinstance(record, dict) or "kind" not in record:
            raise RecordsError(
                f"{path}, line {number}: {line[:60]!r} is not a record; give a campaign's "
                "records.jsonl as it was written"
            )
        found.append(record)
    return found


def held_records(path: Path, *, dry_run: bool, retry: bool) -> list[Record]:
    """The lines of all stages that need not run again.

    Args:
        path: an earlier campaign's records.
        dry_run: whether the present campaign is one.
        retry: whether stages that failed or ran into their limit are run again.

    Raises:
        RecordsError: the file cannot be read, or is of the other kind of run.
    """
    records = read_records(path)
    if any(record.get("dry_run") is not dry_run for record in records):
        theirs, ours = ("a run on a card", "a dry run") if dry_run else ("a dry run", "no dry run")
        raise RecordsError(f"{path}: the records are of {theirs}, and this is {ours}")
    final = FINAL - BROKEN if retry else FINAL
    ends = {r["stage"]: r["state"] for r in records if r["kind"] == "stage"}
    kept = {stage for stage, state in ends.items() if state in final}
    return _last_attempts([r for r in records if r.get("stage") in kept])


def _last_attempts(records: Sequence[Record]) -> list[Record]:
    """Of a stage that was run several times the lines of the last time."""
    found: dict[str, list[Record]] = {}
    ended: set[str] = set()
    for record in records:
        stage = record["stage"]
        if stage in ended:  # it begins again
            found[stage] = []
            ended.discard(stage)
        found.setdefault(stage, []).append(record)
        if record["kind"] == "stage":
            ended.add(stage)
    return [record for lines in found.values() for record in lines]
