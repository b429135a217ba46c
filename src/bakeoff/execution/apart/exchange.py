"""What a driver and who runs a job for it hand each other, as plain data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PureWindowsPath
from typing import Any, Final

from bakeoff.errors import CheckpointError, StoreError
from bakeoff.files import sha256_of
from bakeoff.runs.events import CohortJob, Narrowed
from bakeoff.runs.reading import from_json, to_json
from bakeoff.runs.records import CandidateRecord, FileRecord


class ForeignPathError(StoreError):
    """What someone else made names a path outside the folder that it belongs to."""


Files = Mapping[str, FileRecord]
OUTCOME_FILE: Final = "outcome.json"


@dataclass(frozen=True, kw_only=True)
class Request:
    """A job with all that it depends on besides the study.

    Attributes:
        records: what is known of its candidates. files: what it reads of the run's folder, by path.
        narrowed: what memory has made of its group's passes. seconds: that training may still take.
        shortens: whether their end may end candidates early: see ``StopSignals``.
    """

    job: CohortJob
    records: tuple[CandidateRecord, ...] = ()
    files: dict[str, FileRecord] = field(default_factory=dict)
    narrowed: Narrowed | None = None
    seconds: float | None = None
    shortens: bool = True


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a job.

    Attributes:
        job: which. records: of its candidates, as they are now. files: what it made, by path, which
            is the same below the folder that it ran in and below the run's.
        narrowed: what memory has made of its group's passes. notes: what the report must say.
        failed: names of the baselines that failed. lost: why it was given up, if it was.
        host: of who ran it.
    """

    job: CohortJob
    records: tuple[CandidateRecord, ...] = ()
    files: dict[str, FileRecord] = field(default_factory=dict)
    narrowed: Narrowed | None = None
    notes: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    host: str = ""


def as_text(record: Request | Outcome) -> str:
    """As JSON."""
    return json.dumps(to_json(record), ensure_ascii=False)


def request_from(text: str) -> Request:
    """What ``as_text`` wrote of a request."""
    return from_json(Request, json.loads(text), where="a job")


def outcome_from(text: str, *, where: str) -> Outcome:
    """What ``as_text`` wrote of an outcome.

    Raises:
        ForeignPathError: it names what lies outside a run's folder.
        StoreError: it is not one.
    """
    try:
        content: Any = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    outcome = from_json(Outcome, content, where=where)
    check_names(outcome.job, where)
    for name in outcome.files:
        if not _parts(name):
            raise ForeignPathError(
                f"{where}: names the file {name!r}, which is outside the folder of a run; nothing "
                "of it is taken. Ask its author for its own folder"
            )
    seats = set(outcome.job.candidates)
    for record in outcome.records:
        if record.id not in seats:
            raise ForeignPathError(
                f"{where}: has a record of {record.id!r}, which is no candidate of its job "
                f"{outcome.job.cohort}; nothing of it is taken. Copy the shard's folder again"
            )
    return outcome


def check_names(job: CohortJob, where: str) -> None:
    """Holds a job of someone else to names that can name a file or a folder.

    Raises:
        ForeignPathError: one of them leads elsewhere.
    """
    for name in (job.cohort, job.split, *job.candidates, *job.baselines):
        if len(_parts(name)) != 1:
            raise ForeignPathError(
                f"{where}: {name!r} is no name that a run's folder could hold; nothing of it is "
                "taken. Copy the shard's folder again"
            )


def check_inside(root: Path, files: Files) -> None:
    """Holds files to the folder that they are said to be below: a link may lead out of it.

    Raises:
        CheckpointError: one of them is elsewhere.
    """
    folder = root.resolve()
    for name in files:
        if not (root / name).resolve().is_relative_to(folder):
            raise CheckpointError(
                f"{root / name}: is a link that leads out of {root}; copy the files themselves "
                "(cp -rL)"
            )


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a path below a folder; none of a path that leads elsewhere on any system."""
    path = PureWindowsPath(name)  # which divides at / and at \\
    leads_away = path.drive or path.root or ".." in path.parts or "\0" in name
    return () if leads_away else path.parts


def key_of(job: CohortJob) -> str:
    """A hash of what a job computes, whatever it is called and on how many threads."""
    content = to_json(replace(job, cohort="", threads=1))
    text = json.dumps(content, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def check_files(root: Path, files: Files) -> None:
    """Holds files against their records.

    Raises:
        CheckpointError: one of them is missing or another.
    """
    for name, record in files.items():
        path = root / name
        try:
            is_same = path.stat().st_size == record.bytes and sha256_of(path) == record.sha256
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
        if not is_same:
            raise CheckpointError(f"{path}: is torn, or not what was written")
