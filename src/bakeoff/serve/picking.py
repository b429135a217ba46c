"""The study's test rows, to pick a prompt from."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bakeoff.data.sources import is_there, named_files
from bakeoff.errors import BakeoffError
from bakeoff.inference.finished import FinishedRun
from bakeoff.runs.reading import EXAMPLES_FILE
from bakeoff.tasks.preparation.rows_again import rows_again

_LOG = logging.getLogger(__name__)

ROWS_THREAD: Final = "bakeoff-rows"
_MOST: Final = 50
_LARGEST: Final = 64 << 20
_WORDS: Final = 32
"""Of a text that is learnt from end to end: those that its rest is asked after, at most."""
_ABOVE: Final = 4
"""Folders above a run's in which its data are looked for."""
_GONE: Final = (
    "some test rows are left out: the study's data are others by now, or are not found; start the "
    "server in the folder in which the study ran"
)


@dataclass(frozen=True, kw_only=True)
class PickedRow:
    """A row to pick.

    Attributes:
        index: among the study's test rows. text: its input, for readers and to search in.
        reference: what is right. values: the columns that it asks with; None where the study learns
            whole texts, of which ``text`` is the beginning and ``reference`` the rest.
    """

    index: int
    text: str
    reference: str
    values: Mapping[str, object] | None

    @property
    def found_in(self) -> str:
        """What is searched."""
        return f"{self.text}\n{self.reference}".casefold()

    @property
    def shown(self) -> dict[str, Any]:
        """As JSON; dates and the like are text."""
        columns = None if self.values is None else json.loads(json.dumps(self.values, default=str))
        return {
            "index": self.index,
            "prompt": self.text,
            "reference": self.reference,
            "row": columns,
        }


class RowPicker:
    """Rows of one run, read once, in a thread of its own.

    A run keeps its test rows as readers see them. What the task reads of them lies in the study's
    data, which are read again and held against what the run has kept. That may take minutes, in
    which all who ask for rows wait: so it is not in the threads that all requests share.

    Args:
        run: whose rows they are.
    """

    def __init__(self, run: FinishedRun) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._rows: dict[int, PickedRow] | None = None
        self._note: str | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=ROWS_THREAD)

    async def searched(self, words: str) -> dict[str, Any]:
        """``search`` in the picker's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.search, words)

    async def picked(self, index: int) -> PickedRow | None:
        """``row`` in the picker's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.row, index)

    def search(self, words: str) -> dict[str, Any]:
        """Rows that hold all of the words, in input or reference, a page of them."""
        wanted = words.casefold().split()
        found = [
            row for row in self._all().values() if all(word in row.found_in for word in wanted)
        ]
        data = [row.shown for row in found[:_MOST]]
        return {"object": "list", "total": len(found), "note": self._note, "data": data}

    def row(self, index: int) -> PickedRow | None:
        """The row of a number, as ``search`` gives them."""
        return self._all().get(index)

    def _all(self) -> dict[int, PickedRow]:
        with self._lock:
            if self._rows is None:
                self._rows = {row.index: row for row in self._read()}
            return self._rows

    def _read(self) -> Iterator[PickedRow]:
        if not self._run.task.input_keys:
            for index, _, text, _ in self._kept():
                beginning, rest = _halves(text)
                yield PickedRow(index=index, text=beginning, reference=rest, values=None)
            return
        values_of = self._values()
        for index, number, text, reference in self._kept():
            values = values_of.get((number, text, reference)) or self._alone(text)
            if values is None:
                self._note = _GONE
            else:
                yield PickedRow(index=index, text=text, reference=reference, values=values)

    def _kept(self) -> Iterator[tuple[int, int, str, str]]:
        """(index, number in the source, input, reference) of each row that the run has kept."""
        path = self._run.path / EXAMPLES_FILE
        try:
            if path.stat().st_size > _LARGEST:
                self._note = "there are too many test rows to pick from"
                return
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError):
            return
        for line in lines:
            try:
                row = json.loads(line)
                text, reference = str(row["input"]), str(row.get("reference") or "")
                yield int(row["index"]), int(row.get("row") or 0), text, reference
            except (ValueError, KeyError, TypeError, AttributeError):
                continue

    def _values(self) -> dict[tuple[int, str, str], Mapping[str, object]]:
        """What the task asks with, by number, input and reference of each row of the data."""
        task = self._run.task
        try:
            rows = rows_again(task, "test", root=self._root())
            return {
                (record.row, example.shown, next(iter(example.references), "")): task.asked(
                    record.values
                )
                for record, example in zip(rows.records, rows.examples, strict=True)
            }
        except (BakeoffError, OSError) as error:
            _LOG.warning("the test rows of %s: %s", self._run.study.options.name, error)
            return {}

    def _root(self) -> Path:
        """Where the data lie: relative paths start from here, or from above the run's folder."""
        root, named = self._run.study.root, named_files(self._run.task.options.source)
        above = list(self._run.path.resolve().parents)[:_ABOVE]
        for place in (root, *above):
            if all(is_there(name, place) for name in named):
                return place
        return root

    def _alone(self, text: str) -> Mapping[str, object] | None:
        """The columns of a row whose data are gone, where its input is all that it asks with."""
        task = self._run.task
        values = {next(iter(task.input_keys.values())): text}
        try:
            is_all = task.asked(values) == values and task.prompt(values).shown == text
        except (BakeoffError, KeyError):
            return None
        return values if is_all else None


def _halves(text: str) -> tuple[str, str]:
    """(the beginning of a text, its rest)"""
    ends = [found.end() for found in re.finditer(r"\S+", text)]
    end = ends[max(1, min(_WORDS, len(ends) // 2)) - 1] if ends else len(text)
    return text[:end], text[end:].strip()
