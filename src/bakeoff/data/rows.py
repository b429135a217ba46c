"""Usable rows of one split; bad ones are reported together or counted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from bakeoff.data.cleaning import is_blank
from bakeoff.data.examples import Example
from bakeoff.data.options import TaskOptions
from bakeoff.data.readers import Columns, Record
from bakeoff.data.sources import BY_HASH, GROUP, Source
from bakeoff.errors import DataError
from bakeoff.formatting import counted
from bakeoff.types import Split

_ROWS_SHOWN: Final = 5
_REASONS_SHOWN: Final = 3
Lay = Callable[[Record], Example]
"""Makes an example of a row, or raises a DataError that says what is wrong with it."""


@dataclass(kw_only=True)
class Rows:
    """The usable rows of a split, in the source's order.

    Attributes:
        place: where they are, for messages.
        records: as found. examples: as the task lays them out.
        num_skipped: bad rows met before the last usable one was found.
        skipped_why: what is wrong with them, the most frequent first, each with a row's name and,
            where there are several reasons, how many have it; None where there is none.
        is_cut: whether reading ended at ``task.examples``; whether there are more is not read.
    """

    place: str
    records: list[Record] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    num_skipped: int = 0
    skipped_why: str | None = None
    is_cut: bool = False

    @property
    def numbers(self) -> list[int]:
        """Each row's number in the source, from 1."""
        return [record.row for record in self.records]

    def __len__(self) -> int:
        return len(self.records)


def take_rows(task: TaskOptions, columns: Columns, source: Source, split: Split, lay: Lay) -> Rows:
    """Reads the first usable rows of a split, as many as ``task.examples`` allows.

    Raises:
        DataError: bad rows under ``on_bad_row: error``, or no usable row at all.
    """
    limit = task.examples.of(split)
    rows = Rows(place=source.place(split))
    bad: list[tuple[Record, str]] = []
    records = source.records(split)
    for record in records:
        if record.problem is not None:
            bad.append((record, record.problem))
            continue
        try:
            example = lay(record)
        except DataError as error:
            bad.append((record, str(error)))
            continue
        rows.records.append(record)
        rows.examples.append(example)
        if len(rows) == limit:
            rows.is_cut = True
            close_records(records)
            break
    if bad and task.on_bad_row == "error":
        record, reason = bad[0]
        raise DataError(
            f"task.source: {rows.place} has bad rows: {records_text([row for row, _ in bad])}; in "
            f"{record.name} {reason}. Correct them, or set task.on_bad_row: skip to leave such "
            "rows out."
        )
    rows.num_skipped = len(bad)
    if bad:
        rows.skipped_why = _reasons(bad)
    if not rows:
        seen = f"all of its {len(bad)} rows are bad" if bad else "it has no rows"
        first = f" (in {bad[0][0].name} {bad[0][1]})" if bad else ""
        keys = " and ".join(f"task.{key}" for key in columns if key != GROUP)
        remedy = (
            f"; or raise task.split_by_hash.{split}, which came to nothing with so few rows"
            if source.place(split).endswith(BY_HASH) and split != "train" and not bad
            else ""
        )
        raise DataError(
            f"task.source: the {split} split is empty: {seen}{first} ({rows.place}). Every split "
            f"needs at least one usable row; check the file, and {keys}{remedy}."
        )
    return rows


def _reasons(bad: Sequence[tuple[Record, str]]) -> str:
    """What is wrong with bad rows: each reason with the first row that has it, and how many do."""
    counts = Counter(reason for _, reason in bad)
    first: dict[str, str] = {}
    for record, reason in bad:
        first.setdefault(reason, record.name)
    most = counts.most_common(_REASONS_SHOWN)
    shown = [
        f"in {first[reason]} {reason}" + (f" ({count:,} such)" if len(counts) > 1 else "")
        for reason, count in most
    ]
    others = len(bad) - sum(count for _, count in most)
    if others:
        shown.append(counted(others, "has another reason", "have other reasons"))
    return "; ".join(shown)


def close_records(records: Iterator[Record]) -> None:
    """Ends the reading of rows before their end, which checks the rest of a packed file.

    Raises:
        DataError: it is torn. Rows that are only dropped raise that where nothing catches it.
    """
    if isinstance(records, Generator):
        records.close()


def records_text(records: Sequence[Record]) -> str:
    """Returns ``rows 17, 203 (2 in all)``, or each with its file where the source has several."""
    if any(record.file is None for record in records):
        return rows_text([record.row for record in records])
    shown = ", ".join(record.name for record in records[:_ROWS_SHOWN])
    dots = ", ..." if len(records) > _ROWS_SHOWN else ""
    return shown if len(records) == 1 else f"{shown}{dots} ({len(records)} in all)"


def rows_text(numbers: Sequence[int]) -> str:
    """Returns ``rows 17, 203, ... (12 in all)``, with at most five numbers."""
    if len(numbers) == 1:
        return f"row {numbers[0]}"
    shown = ", ".join(map(str, numbers[:_ROWS_SHOWN]))
    dots = ", ..." if len(numbers) > _ROWS_SHOWN else ""
    return f"rows {shown}{dots} ({len(numbers)} in all)"


def text_problem(value: object) -> str | None:
    """Why a value is not a usable text, or None."""
    if value is None or (isinstance(value, float) and math.isnan(value)):  # as tables say it
        return "is missing"
    if not isinstance(value, str):
        if isinstance(value, bytes):
            return "is not UTF-8 text"
        return f"is not text but {type(value).__name__}"
    if is_blank(value):
        return "is empty"
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return "is not UTF-8 text"
    return None
