"""Rows as found, and the columns that are read of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bakeoff.config.messages import nearest_names
from bakeoff.data.readers.fields import root_of
from bakeoff.errors import DataError

Columns = Mapping[str, str]
"""The columns that a task reads, by the option that names each."""


class OptionalColumn(str):
    """The name of a column that a file, or a row, may lack."""

    __slots__ = ()


class MissingColumnError(DataError):
    """A column that a task reads and the data do not have."""


def present(columns: Columns, names: Iterable[str]) -> list[str]:
    """The columns that are to be read, each once, of those that there are.

    Of a path such as ``answers.text`` it is the column that holds it.
    """
    known = set(names)
    roots = (root_of(column, known) for column in columns.values())
    return list(dict.fromkeys(root for root in roots if root is not None))


@dataclass(frozen=True, slots=True)
class Record:
    """One row as found.

    Attributes:
        row: its number in the source, from 1; where the source has several files, they are counted
            on from file to file.
        values: by column; a column that the row lacks is None.
        problem: why the row cannot be used whatever its values, or None.
        file: the file's name where the source has several, else None. row_in_file: its number
            there.
    """

    row: int
    values: Mapping[str, object] = field(default_factory=dict)
    problem: str | None = None
    file: str | None = None
    row_in_file: int | None = None

    @property
    def name(self) -> str:
        """``row 7``, or ``row 7 of b.csv`` where the source has several files."""
        if self.file is None:
            return f"row {self.row}"
        return f"row {self.row_in_file} of {self.file}"


def missing_column(
    place: object, columns: Columns, found: Iterable[str]
) -> MissingColumnError | None:
    """Returns the error for a column that is not among those found, if one is missing."""
    known = set(found)
    names = sorted(known)
    for key, column in columns.items():
        if root_of(column, known) is None and not isinstance(column, OptionalColumn):
            near = " or ".join(map(repr, nearest_names(column, names)))
            return MissingColumnError(
                f"task.{key} is {column!r}, but {place} has no such column"
                f"{f'; did you mean {near}?' if near else '.'} It has: "
                f"{', '.join(map(repr, names)) or 'none'}. Set task.{key} to one of these."
            )
    return None


def repeated_column(
    place: object, columns: Iterable[str], found: Sequence[str]
) -> DataError | None:
    """Returns the error for a column that is to be read and is there several times, if one is.

    Args:
        place: what has the columns. columns: that are read. found: all names that there are.
    """
    for column in columns:
        if (times := found.count(column)) > 1:
            return DataError(
                f"task.source: {place} has the column {column!r} {times} times; a column may "
                "appear only once. Rename the others."
            )
    return None
