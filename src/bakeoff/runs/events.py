"""``events.jsonl``: what a run's driver accepted, in order; it is only ever added to.

A line is an event. A process that is killed while it writes one leaves a line without an end, which
the next holder of the folder removes.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bakeoff.errors import StoreError
from bakeoff.files import disk_errors, sync
from bakeoff.runs.reading import from_json, to_json

EVENTS_FILE: Final = "events.jsonl"


@dataclass(frozen=True, kw_only=True)
class Packed:
    """Candidates were given a cohort, which stays theirs.

    Attributes:
        cohort: its id. work: what is done there: ``test``.
        candidates: their ids, in the order of slots.
    """

    cohort: str
    work: str
    candidates: tuple[str, ...]


Event = Packed
_TYPES: Final[dict[str, type[Event]]] = {"packed": Packed}
_NAMES: Final = {kind: name for name, kind in _TYPES.items()}


class EventLog:
    """A run's events.

    Args:
        folder: the run's, held by this process.

    Attributes:
        events: all of them, in order.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / EVENTS_FILE
        self.events: list[Event] = []
        with disk_errors(self.path):
            content = self.path.read_bytes() if self.path.exists() else b""
            whole = content[: content.rfind(b"\n") + 1]
            if len(whole) < len(content):
                os.truncate(self.path, len(whole))
        for number, line in enumerate(whole.splitlines(), start=1):
            self.events.append(self._event(line, number))

    def add(self, event: Event) -> None:
        """Appends an event; it is on the disk when this returns."""
        line = json.dumps({"event": _NAMES[type(event)], **to_json(event)}, ensure_ascii=False)
        with disk_errors(self.path):
            is_new = not self.path.exists()
            with self.path.open("ab") as file:
                file.write(line.encode("utf-8", "replace") + b"\n")
                file.flush()
                os.fsync(file.fileno())
            if is_new:
                sync(self.path.parent)
        self.events.append(event)

    def _event(self, line: bytes, number: int) -> Event:
        where = f"{self.path}, line {number}"
        try:
            content: Any = json.loads(line)
            kind = _TYPES[content.pop("event")]
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
            raise StoreError(
                f"{where}: is no event of this version; restore the file, give another folder "
                "with --out, or put the earlier run aside with --fresh"
            ) from None
        return from_json(kind, content, where=where)
