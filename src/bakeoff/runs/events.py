"""``events.jsonl``: what a run's driver accepted, in order; it is only ever added to.

A line is an event. A process that is killed while it writes one leaves a line without an end, which
the next holder of the folder removes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from bakeoff.errors import StoreError
from bakeoff.files import check_held, disk_errors, sync
from bakeoff.runs.candidates import CandidateSpec, EpochRecord
from bakeoff.runs.checksums import checked, with_checksum
from bakeoff.runs.reading import from_json, to_json
from bakeoff.types import RunState

EVENTS_FILE: Final = "events.jsonl"


JobKind = Literal["train", "test", "baseline", "measure"]


@dataclass(frozen=True, kw_only=True)
class Seat:
    """A candidate's part of a job.

    Attributes:
        spec: what to train. start: epochs that it has been trained before, elsewhere.
        stop: the epoch after which it leaves the job.
    """

    spec: CandidateSpec
    start: int = 0
    stop: int = 0

    @property
    def id(self) -> str:
        """The candidate's."""
        return self.spec.id


@dataclass(frozen=True, kw_only=True)
class CohortJob:
    """What one cohort does, as plain data: all of it follows from this and the study.

    Attributes:
        cohort: its id, unique in the run. kind: what is done. group: who may share its pass.
        seats: its candidates in order; a slot that falls free takes the next of them. To measure,
            a candidate stands for its method.
        split: the set that a test is on, or that baselines are asked on: validation's where a
            setting is chosen by it, or the name of a further test set.
        baselines: the names of those that are asked.
        width: slots at most. micro_batch_size: rows of a slot in one pass. threads: that it
            computes on. All three were resolved when it was packed, once.
    """

    cohort: str
    kind: JobKind
    group: str
    seats: tuple[Seat, ...] = ()
    baselines: tuple[str, ...] = ()
    split: str = "test"
    width: int
    micro_batch_size: int
    threads: int

    @property
    def candidates(self) -> tuple[str, ...]:
        """Their ids, in order."""
        return tuple(seat.id for seat in self.seats)


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A job was packed: its cohort keeps its candidates, whichever come or go."""

    job: CohortJob


@dataclass(frozen=True, kw_only=True)
class Narrowed:
    """Memory did not hold a cohort's pass; what it was made into holds for its group from here on.

    Attributes:
        width: slots at most. micro_batch_size: rows of a slot in one pass.
    """

    cohort: str
    group: str
    width: int
    micro_batch_size: int


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A candidate's epoch in a cohort."""

    cohort: str
    candidate: str
    epoch: EpochRecord


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A candidate came to a final state.

    Attributes:
        cohort: the last that it was a part of. epochs: how many it had been trained.
    """

    cohort: str
    candidate: str
    state: RunState
    epochs: int
    best_epoch: int | None
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The scores or the costs that a job is for are in the folder.

    Attributes:
        part: the candidate or the baseline whose they are.
    """

    cohort: str
    part: str


Event = Packed | Narrowed | Trained | Ended | Kept
_TYPES: Final[
    dict[str, type[Packed] | type[Narrowed] | type[Trained] | type[Ended] | type[Kept]]
] = {
    "packed": Packed,
    "narrowed": Narrowed,
    "trained": Trained,
    "ended": Ended,
    "kept": Kept,
}
_NAMES: Final = {kind: name for name, kind in _TYPES.items()}


class EventLog:
    """A run's events.

    Args:
        folder: the run's, held by this process. only_reads: leaves the file as it is, where it is
            another's, who may be writing a line.

    Attributes:
        events: all of them, in order.
        threads: of jobs that are packed from here on and run apart from this process, by kind; all
            others have as many as this process.
    """

    threads: Mapping[JobKind, int] = MappingProxyType({})

    def __init__(self, folder: Path, *, only_reads: bool = False) -> None:
        self.path = folder / EVENTS_FILE
        self.events: list[Event] = []
        with disk_errors(self.path):
            content = self.path.read_bytes() if self.path.exists() else b""
            whole = content[: content.rfind(b"\n") + 1]
            if len(whole) < len(content) and not only_reads:
                os.truncate(self.path, len(whole))
        for number, line in enumerate(whole.splitlines(), start=1):
            self.events.append(event_from(line, f"{self.path}, line {number}"))

    def jobs(self, kind: JobKind) -> list[CohortJob]:
        """All jobs of a kind that were packed, in order."""
        packed = (event.job for event in self.events if isinstance(event, Packed))
        return [job for job in packed if job.kind == kind]

    def accept(self, job: CohortJob, parts: Iterable[str]) -> None:
        """Accepts that parts of a job are kept; one that was accepted before is no event again."""
        known = {event.part for event in self._kept if event.cohort == job.cohort}
        self.add(*(Kept(cohort=job.cohort, part=part) for part in parts if part not in known))

    @property
    def _kept(self) -> list[Kept]:
        return [event for event in self.events if isinstance(event, Kept)]

    def narrowed(self, group: str) -> Narrowed | None:
        """What memory has last made of a group's passes; None where it held them."""
        found = [e for e in self.events if isinstance(e, Narrowed) and e.group == group]
        return found[-1] if found else None

    def as_narrowed(self, job: CohortJob) -> CohortJob:
        """A job as memory holds it: what was halved once is halved for good."""
        found = self.narrowed(job.group)
        if found is None:
            return job
        return replace(
            job,
            width=min(job.width, found.width),
            micro_batch_size=min(job.micro_batch_size, found.micro_batch_size),
        )

    def add(self, *events: Event) -> None:
        """Appends events; they are on the disk when this returns."""
        if not events:
            return
        lines = [
            json.dumps(
                with_checksum({"event": _NAMES[type(event)], **to_json(event)}), ensure_ascii=False
            )
            + "\n"
            for event in events
        ]
        with disk_errors(self.path):
            check_held(self.path)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            is_new = not self.path.exists()
            with self.path.open("ab") as file:
                file.write("".join(lines).encode("utf-8", "replace"))
                file.flush()
                os.fsync(file.fileno())
            if is_new:
                sync(self.path.parent)
        self.events += events


def event_from(line: bytes, where: str) -> Event:
    """An event as its line says it.

    Raises:
        StoreError: it says none, or was changed since it was written.
    """
    try:
        written: Any = json.loads(line)
        content: Any = checked(written)
        if content is None and written is not None:
            raise StoreError(
                f"{where}: changed since it was written; restore the file, give another folder "
                "with --out, or put the earlier run aside with --fresh"
            )
        kind = _TYPES[content.pop("event")]
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise StoreError(
            f"{where}: is no event of this version; restore the file, give another folder "
            "with --out, or put the earlier run aside with --fresh"
        ) from None
    return from_json(kind, content, where=where)
