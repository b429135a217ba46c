"""CSV and TSV, read by the standard library.

Not by Datasets: its readers convert a whole file at once, so that one bad byte or one short row
fails with an Arrow message that names neither row nor column, and a column's type is guessed from
the first block.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from bakeoff.data.readers.opening import SAVE_AS_UTF_8, opened
from bakeoff.data.readers.records import (
    Columns,
    Record,
    missing_column,
    present,
    repeated_column,
)
from bakeoff.errors import DataError

# The csv module's limit is a C long, which has 32 bits on some platforms.
_FIELD_LIMIT: Final = 2**31 - 1
_TAB: Final = "\t"
_DELIMITERS: Final = (",", ";", _TAB)
_HEADER_LINES: Final = 64
"""Lines of a header whose quoted names hold line ends, at most."""
_ROW_LINES: Final = 256
"""Lines after the header that are held against it, where it holds several delimiters."""
_TOLD: Final = re.compile(r'"?sep=([,;\t])"?\r?\n', re.IGNORECASE)
"""A first line that tells Excel the delimiter, which Excel does not show."""
_NAMES: Final = {",": "comma", ";": "semicolon", _TAB: "tab"}
OTHER_WIDTH: Final = "fields where the header has"
"""What the problem of a row says that has more or fewer fields than the header."""


def delimiter_of(header: str, rows: Sequence[str] = ()) -> str:
    """What divides the columns of a table: of the delimiters that stand outside quotes in its
    header, the one by which most of the first rows have as many fields as the header.

    A comma goes before a semicolon, and this before a tab, where they do equally well; a comma
    where there is one column. A name such as ``comment (good, bad)`` holds one that divides
    nothing.

    Args:
        header: its lines. rows: the lines after it, or the first ones of them.
    """
    outside = _outside_quotes(header)
    found = [mark for mark in _DELIMITERS if mark in outside] or [","]
    if len(found) == 1:
        return found[0]
    return max(found, key=lambda mark: _share_fitting(header, rows, mark))


def _share_fitting(header: str, rows: Sequence[str], mark: str) -> float:
    """The share of rows that have as many fields as the header, divided by a mark."""
    with _long_fields():
        width = len(next(csv.reader(io.StringIO(header, newline=""), delimiter=mark), []))
        count = fitting = 0
        try:
            for fields in csv.reader(rows, delimiter=mark, strict=True):
                if fields:
                    count += 1
                    fitting += len(fields) == width
        except csv.Error:  # as where the last row that was looked at goes on
            pass
    return fitting / max(1, count)


@contextlib.contextmanager
def _long_fields() -> Iterator[None]:
    """Lets fields be as long as they are."""
    previous = csv.field_size_limit(_FIELD_LIMIT)
    try:
        yield
    finally:
        csv.field_size_limit(previous)


def read_csv(path: Path, columns: Columns) -> Iterator[Record]:
    """Rows of a file whose delimiter the header shows; see ``delimiter_of``."""
    return _read(path, columns, None)


def read_tsv(path: Path, columns: Columns) -> Iterator[Record]:
    """Rows of a file whose columns are divided by tabs, quoted as in CSV."""
    return _read(path, columns, _TAB)


def csv_names(path: Path) -> list[str]:
    """The header's columns."""
    return _names(path, None)


def tsv_names(path: Path) -> list[str]:
    """The header's columns."""
    return _names(path, _TAB)


def _read(path: Path, columns: Columns, delimiter: str | None) -> Iterator[Record]:
    with _long_fields(), opened(path) as stream:
        lines, mark = _lines(stream, delimiter)
        reader = csv.reader(lines, delimiter=mark, strict=True)
        try:
            header = next(filter(None, reader), [])
            place = f"{path}'s header (delimiter: {_NAMES[mark]})"
            if error := missing_column(place, columns, header):
                raise error
            if twice := repeated_column(f"{path}'s header", columns.values(), header):
                raise twice
            places = {column: header.index(column) for column in present(columns, header)}
            for column in places:
                if any("\udc80" <= char <= "\udcff" for char in column):
                    raise DataError(
                        f"task.source: {path}'s header is not UTF-8 (column {column!r}). "
                        f"{SAVE_AS_UTF_8}."
                    )
            row = 0
            for fields in reader:
                if not fields:
                    continue
                row += 1
                if len(fields) != len(header):
                    problem = f"it has {len(fields)} {OTHER_WIDTH} {len(header)}"
                    yield Record(row, problem=problem)
                else:
                    yield Record(row, {c: fields[place] for c, place in places.items()})
        except csv.Error as error:
            raise DataError(
                f"task.source: {path}, line {reader.line_num}: {error}. Fields with "
                f"{_NAMES[mark]}s, quotes or line ends must be quoted, and a quote inside one "
                'doubled ("").'
            ) from error


def _names(path: Path, delimiter: str | None) -> list[str]:
    with opened(path) as stream:
        lines, mark = _lines(stream, delimiter)
        return next(filter(None, csv.reader(lines, delimiter=mark)), [])


def _lines(stream: BinaryIO, delimiter: str | None) -> tuple[Iterator[str], str]:
    """(all lines, an empty one in place of one that tells the delimiter; the delimiter)."""
    # Bytes that are not UTF-8 become surrogates, which mark their row without tearing the quoted
    # fields around them apart.
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
    if delimiter is not None:
        return text, delimiter
    head: list[str] = []
    for line in itertools.islice(text, _HEADER_LINES):
        head.append(line)
        if not _ends_in_quotes("".join(head)):  # else a name goes on in the next line
            break
    header = "".join(head)
    if told := _TOLD.fullmatch(header):
        return itertools.chain(["\n"], text), told[1]  # errors count lines
    if _ends_in_quotes(header):
        header, rows = head[0], head[1:]
    else:
        rows = []
    more = list(itertools.islice(text, _ROW_LINES))
    return itertools.chain(head, more, text), delimiter_of(header, [*rows, *more])


def _outside_quotes(header: str) -> str:
    return "".join(char for char, quoted in _scanned(header) if not quoted)


def _ends_in_quotes(text: str) -> bool:
    *_, (_, quoted) = [("", False), *_scanned(text)]
    return quoted


def _scanned(text: str) -> Iterator[tuple[str, bool]]:
    """Each character, and whether quotes are open after it; they open where a field begins."""
    quoted, starts, was_closed = False, True, False
    for char in text:
        if char == '"' and (quoted or starts or was_closed):
            was_closed, quoted = quoted, not quoted  # a doubled quote closes and opens again
        else:
            was_closed = False
        yield char, quoted
        starts = not quoted and char in (*_DELIMITERS, "\n", "\r")
