"""Usable rows of one split, cleaned; bad ones are reported together or counted."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field

from bakeoff.data.cleaning import clean
from bakeoff.data.options import TaskOptions
from bakeoff.data.readers import Record
from bakeoff.data.sources import Source
from bakeoff.errors import DataError
from bakeoff.types import Split

_ROWS_SHOWN = 5


@dataclass(kw_only=True)
class Rows:
    """The usable rows of a split, in the source's order.

    Attributes:
        place: where they are, for messages.
        numbers: each row's number in the source, from 1.
        raw_documents: as found.
        documents: cleaned.
        summaries: cleaned.
        desks: the kind of each text; empty strings where the source does not know it.
        num_skipped: bad rows met before the last usable one was found.
    """

    place: str
    numbers: list[int] = field(default_factory=list)
    raw_documents: list[str] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)
    summaries: list[str] = field(default_factory=list)
    desks: list[str] = field(default_factory=list)
    num_skipped: int = 0

    def __len__(self) -> int:
        return len(self.numbers)

    def without(self, dropped: Container[int]) -> Rows:
        """Returns the other rows; those at the dropped positions count as skipped."""
        kept = [i for i in range(len(self)) if i not in dropped]
        return Rows(
            place=self.place,
            numbers=[self.numbers[i] for i in kept],
            raw_documents=[self.raw_documents[i] for i in kept],
            documents=[self.documents[i] for i in kept],
            summaries=[self.summaries[i] for i in kept],
            desks=[self.desks[i] for i in kept],
            num_skipped=self.num_skipped + len(self) - len(kept),
        )


def take_rows(task: TaskOptions, source: Source, split: Split) -> Rows:
    """Reads the first usable rows of a split, as many as ``task.examples`` allows.

    Raises:
        DataError: bad rows under ``on_bad_row: error``, or no usable row at all.
    """
    limit = task.examples.of(split)
    rows = Rows(place=source.place(split))
    bad: list[tuple[int, str]] = []
    for record in source.records(split):
        problem = record.problem or text_problem(record.document) or text_problem(record.summary)
        if problem is None and isinstance(record.document, str) and isinstance(record.summary, str):
            document = clean(record.document, task.cleaning)
            summary = clean(record.summary, task.cleaning)
            if document and summary:
                rows.numbers.append(record.row)
                rows.raw_documents.append(record.document)
                rows.documents.append(document)
                rows.summaries.append(summary)
                rows.desks.append(record.desk or "")
                if len(rows) == limit:
                    break
                continue
        bad.append((record.row, record.problem or _reason(task, record)))
    if bad and task.on_bad_row == "error":
        number, reason = bad[0]
        raise DataError(
            f"task.source: {rows.place} has bad rows: {rows_text([row for row, _ in bad])}; in row "
            f"{number} {reason}. Every row needs a document and a summary. Correct them, or set "
            "task.on_bad_row: skip to leave such rows out."
        )
    rows.num_skipped = len(bad)
    if not rows:
        seen = f"all of its {len(bad)} rows are bad" if bad else "it has no rows"
        raise DataError(
            f"task.source: the {split} split is empty: {seen} ({rows.place}). Every split needs "
            "at least one usable row; check the file, and task.document and task.summary."
        )
    return rows


def rows_text(numbers: Sequence[int]) -> str:
    """Returns ``rows 17, 203, ... (12 in all)``, with at most five numbers."""
    if len(numbers) == 1:
        return f"row {numbers[0]}"
    shown = ", ".join(map(str, numbers[:_ROWS_SHOWN]))
    dots = ", ..." if len(numbers) > _ROWS_SHOWN else ""
    return f"rows {shown}{dots} ({len(numbers)} in all)"


def text_problem(value: object) -> str | None:
    """Why a value is not a usable text, or None."""
    if value is None:
        return "is missing"
    if not isinstance(value, str):
        if isinstance(value, bytes):
            return "is not UTF-8 text"
        return f"is not text but {type(value).__name__}"
    if not value.strip():
        return "is empty"
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return "is not UTF-8 text"
    return None


def _reason(task: TaskOptions, record: Record) -> str:
    for key, column, value in (
        ("document", task.document, record.document),
        ("summary", task.summary, record.summary),
    ):
        problem = text_problem(value)
        if problem is None and isinstance(value, str) and not clean(value, task.cleaning):
            problem = "is empty after task.cleaning"
        if problem:
            return f"the {key} (column {column!r}) {problem}"
    raise AssertionError("a good row was filed as bad")
