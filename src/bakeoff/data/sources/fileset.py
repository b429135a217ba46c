"""The files of one split, read as one table."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bakeoff.data.readers import (
    Columns,
    MissingColumnError,
    Record,
    column_names,
    has_header,
    read_records,
)
from bakeoff.data.readers.opening import check_regular
from bakeoff.errors import DataError
from bakeoff.files import sha256_of


class FileSet:
    """One file or several, one after the other.

    Rows of several files are counted on from file to file, so that each has a number of its own,
    and know their file and their number in it.

    Args:
        files: at least one, in the order in which they are read.
        columns: what is read of each row.
    """

    def __init__(self, files: Sequence[Path], columns: Columns) -> None:
        self.files = tuple(files)
        self._columns = columns

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        first, *others = self.files
        if not others:
            return str(first)
        return f"{first} and {len(others)} more {'file' if len(others) == 1 else 'files'}"

    def records(self) -> Iterator[Record]:
        """Rows in their order.

        Raises:
            DataError: a file that cannot be read, lacks a column, or has others than the first.
        """
        if len(self.files) == 1:
            yield from read_records(self.files[0], self._columns)
            return
        self._check_headers()
        last = 0
        for path, name in zip(self.files, self._names(), strict=True):
            before = last
            try:
                for record in read_records(path, self._columns):
                    last = before + record.row
                    yield replace(record, row=last, file=name, row_in_file=record.row)
            except MissingColumnError as error:
                if path == self.files[0]:
                    raise
                raise DataError(
                    f"{error} {self.files[0]}, which is read before it, has it: all files of a "
                    "split must have the same columns."
                ) from error

    def fingerprint(self) -> list[str]:
        """Each file's name and the hash of its content."""
        parts = [
            part
            for name, digest in zip(self._names(), self.digests(), strict=True)
            for part in (name, digest)
        ]
        return parts if len(self.files) == 1 else [f"{len(self.files)} files", *parts]

    def digests(self) -> tuple[str, ...]:
        """The SHA-256 of each file, in order.

        Raises:
            DataError: a file cannot be read.
        """
        found = []
        for path in self.files:
            try:
                check_regular(path)
                found.append(sha256_of(path))
            except OSError as error:
                raise DataError(
                    f"task.source: {path} cannot be read: {error.strerror or error}. Check the "
                    "path and its permissions."
                ) from error
        return tuple(found)

    def column_names(self) -> list[str]:
        """All columns that the files show."""
        return list(dict.fromkeys(name for path in self.files for name in column_names(path)))

    def _names(self) -> list[str]:
        """Each file's name; with folders where they lie in several."""
        folders = {path.parent for path in self.files}
        if len(folders) == 1:
            return [path.name for path in self.files]
        shared = os.path.commonpath([str(folder) for folder in folders])
        return [path.relative_to(shared).as_posix() for path in self.files]

    def _check_headers(self) -> None:
        """Refuses tables of different columns; rows of JSON may well lack keys."""
        first: tuple[Path, list[str]] | None = None
        for path in self.files:
            # A column without a name holds nothing that is read.
            names = list(filter(None, column_names(path))) if has_header(path) else []
            if not names:
                continue
            if first is None:
                first = (path, names)
            elif set(names) != set(first[1]):
                here = [repr(name) for name in names if name not in first[1]]
                there = [repr(name) for name in first[1] if name not in names]
                raise DataError(
                    f"task.source: {first[0]} and {path} have different columns: only the former "
                    f"has {', '.join(there) or 'none'}, only the latter {', '.join(here) or 'none'}"
                    ". All files of a split must have the same. Rename columns, or leave a file "
                    "out."
                )
