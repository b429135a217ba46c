"""What JSON and JSON lines share: parsed values, one of each row, as records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bakeoff.data.readers.fields import field_of
from bakeoff.data.readers.records import Columns, Record, missing_column


@dataclass(frozen=True)
class Problem:
    """In place of a row that cannot be parsed: why."""

    text: str


def from_objects(
    path: Path, columns: Columns, objects: Iterable[tuple[int, object]]
) -> Iterator[Record]:
    """Turns parsed objects into records.

    A key may be absent here and there (a bad row); a key that no object has is a missing column.
    """
    found: set[str] = set()
    num_objects = 0
    for row, value in objects:
        if isinstance(value, Problem):
            yield Record(row, problem=value.text)
        elif not isinstance(value, dict):
            yield Record(row, problem=f"it is not an object but {type(value).__name__}")
        else:
            num_objects += 1
            found.update(value)
            yield Record(row, {c: field_of(value, c) for c in columns.values()})
    if num_objects and (error := missing_column(path, columns, found)):
        raise error


def names_of(objects: Iterable[object]) -> list[str]:
    """The keys of all objects: a key that only some have, late ones too, is a column all the same.

    What is no object is a bad row, and shows nothing.
    """
    return list(dict.fromkeys(name for row in objects if isinstance(row, dict) for name in row))
