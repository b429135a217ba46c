"""Outcomes that are there already: of a lost driver, of workers that outlived it, of shards."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

from bakeoff.errors import CheckpointError, StoreError
from bakeoff.execution.apart.exchange import (
    OUTCOME_FILE,
    ForeignPathError,
    Outcome,
    as_text,
    check_files,
    key_of,
    outcome_from,
)
from bakeoff.execution.apart.places import attempts
from bakeoff.execution.states import COHORTS, PAUSED
from bakeoff.files import write_bytes
from bakeoff.runs.events import CohortJob
from bakeoff.types import RunState

OUTCOMES: Final = "outcomes"
"""Of a shard's folder: what ``bakeoff join`` takes."""


def write_outcome(place: Path, outcome: Outcome, name: str = OUTCOME_FILE) -> None:
    """Writes an outcome, whole or not at all: last of all, since it says that the rest is there."""
    write_bytes(place / name, as_text(outcome).encode("utf-8", "replace"))


def outcome_of(run: Path, job: CohortJob) -> tuple[Outcome, Path] | None:
    """The outcome of a job in a run's folder, and the folder that its files are below.

    One with a failure is none: what failed is tried again.
    """
    places = [(run / COHORTS / job.cohort, run), *((p, p) for p in attempts(run, job.cohort)[::-1])]
    for place, root in places:
        found = _read(place / OUTCOME_FILE)
        if found is None or key_of(found.job) != key_of(job) or has_failed(found):
            continue
        try:
            check_files(root, found.files)
        except CheckpointError:
            continue
        return found, root
    return None


def has_failed(outcome: Outcome) -> bool:
    """Whether anything of it failed."""
    return bool(outcome.failed) or any(one.state is RunState.FAILED for one in outcome.records)


def settle_outcome(run: Path, outcome: Outcome) -> None:
    """Keeps the outcome of a job whose files are in the run's folder, and removes its tries."""
    if outcome.job.kind == "train":
        write_outcome(run / COHORTS / outcome.job.cohort, outcome)
    for place in attempts(run, outcome.job.cohort):
        shutil.rmtree(place, ignore_errors=True)  # who was thought lost may still write there
    if outcome.job.kind != "train":
        shutil.rmtree(run / COHORTS / outcome.job.cohort, ignore_errors=True)


class Library:
    """The outcomes that shards left, by what was computed.

    Args:
        folders: the shards'.

    Raises:
        StoreError: one of them cannot be read.
    """

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        self._known: dict[str, tuple[Outcome, Path]] = {}
        for folder in folders:
            outcomes = list(outcomes_in(folder))
            latest = _latest_starts(outcomes)
            for outcome in outcomes:
                left = _without_used(outcome, latest, folder)
                self._known.setdefault(key_of(outcome.job), (left, folder))

    def of(self, job: CohortJob) -> tuple[Outcome, Path] | None:
        """What came of a job somewhere, and the folder that its files are below."""
        return self._known.get(key_of(job))


def outcomes_in(folder: Path) -> Iterator[Outcome]:
    """Those that a shard left in its folder."""
    for file in sorted((folder / OUTCOMES).glob("*.json")):
        try:
            yield _outcome_in(file)
        except ForeignPathError:
            raise
        except (OSError, UnicodeDecodeError, StoreError) as error:
            raise StoreError(f"{file}: is torn; copy the shard's folder again") from error


def _latest_starts(outcomes: Iterable[Outcome]) -> dict[tuple[str, str], int]:
    """By group and method, the most epochs after which one of its candidates went on."""
    latest: dict[tuple[str, str], int] = {}
    for outcome in outcomes:
        for seat in outcome.job.seats if outcome.job.kind == "train" else ():
            key = outcome.job.group, seat.spec.method
            latest[key] = max(latest.get(key, 0), seat.start)
    return latest


def _without_used(outcome: Outcome, latest: Mapping[tuple[str, str], int], folder: Path) -> Outcome:
    """An outcome without the paused states that its shard has used and removed.

    They are no longer needed once the shard has trained the next round of their method.
    """
    used = {
        f"{record.id}-{len(record.epochs)}-"
        for record in outcome.records
        if len(record.epochs) <= latest.get((outcome.job.group, record.method), 0)
    }
    gone = {
        name
        for name in outcome.files
        if (path := PurePosixPath(name)).parent.name == PAUSED
        and any(path.name.startswith(prefix) for prefix in used)
        and not (folder / name).exists()
    }
    return replace(outcome, files={k: v for k, v in outcome.files.items() if k not in gone})


def _read(file: Path) -> Outcome | None:
    try:
        return _outcome_in(file)
    except (OSError, UnicodeDecodeError, StoreError):
        return None


def _outcome_in(file: Path) -> Outcome:
    return outcome_from(file.read_text(encoding="utf-8"), where=str(file))
