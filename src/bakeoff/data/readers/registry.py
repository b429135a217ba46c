"""Formats by their endings, and what reads each.

A row that cannot be used is handed on as a record with a ``problem``; what makes the whole file
unreadable raises. Rows count from 1 and leave out a CSV's header; in JSON lines a row's number is
its line's, in Excel its sheet's.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bakeoff.data.readers import (
    arrow,
    delimited,
    excel,
    json_lines,
    json_list,
    parquet,
    plain_text,
)
from bakeoff.data.readers.fields import MARK, with_fields
from bakeoff.data.readers.opening import PACKED, check_regular, file_errors, unpacked_name
from bakeoff.data.readers.records import Columns, Record
from bakeoff.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Reader:
    """What reads one format.

    Attributes:
        records: a file's rows. names: the columns that they have.
        endings: of files, without the dot. may_be_packed: also as .gz and .zst.
        has_header: whether the columns stand in one place, the same for all rows.
    """

    records: Callable[[Path, Columns], Iterator[Record]]
    names: Callable[[Path], list[str]]
    endings: tuple[str, ...]
    may_be_packed: bool
    has_header: bool


PLAIN_TEXT: Final = "txt"
"""The format of running text, which tables often have beside them as a note."""

_READERS: Final[Mapping[str, Reader]] = {
    "csv": Reader(
        records=delimited.read_csv,
        names=delimited.csv_names,
        endings=("csv",),
        may_be_packed=True,
        has_header=True,
    ),
    "tsv": Reader(
        records=delimited.read_tsv,
        names=delimited.tsv_names,
        endings=("tsv", "tab"),
        may_be_packed=True,
        has_header=True,
    ),
    "json": Reader(
        records=json_list.read_json,
        names=json_list.json_names,
        endings=("json",),
        may_be_packed=True,
        has_header=False,
    ),
    "jsonl": Reader(
        records=json_lines.read_json_lines,
        names=json_lines.json_lines_names,
        endings=("jsonl", "ndjson"),
        may_be_packed=True,
        has_header=False,
    ),
    "parquet": Reader(
        records=parquet.read_parquet,
        names=parquet.parquet_names,
        endings=("parquet",),
        may_be_packed=False,
        has_header=True,
    ),
    "arrow": Reader(
        records=arrow.read_arrow,
        names=arrow.arrow_names,
        endings=("arrow",),
        may_be_packed=False,
        has_header=True,
    ),
    "xlsx": Reader(
        records=excel.read_excel,
        names=excel.excel_names,
        endings=("xlsx",),
        may_be_packed=False,
        has_header=True,
    ),
    PLAIN_TEXT: Reader(
        records=plain_text.read_plain_text,
        names=plain_text.plain_text_names,
        endings=("txt",),
        may_be_packed=True,
        has_header=True,
    ),
}
_BY_ENDING: Final = {ending: name for name, one in _READERS.items() for ending in one.endings}
TABLE_ENDINGS: Final = (
    ".csv, .tsv, .tab, .json, .jsonl or .ndjson (each also .gz or .zst), .parquet, .arrow or .xlsx"
)
"""What tables may end in, for messages."""
ENDINGS: Final = f"{TABLE_ENDINGS}, or .txt for plain text"
"""What files may end in, for messages."""
_TEXTS: Final = (".txt", ".md", ".text", ".rst")


def hint_for(ending: str) -> str | None:
    """What to do about files that are not read, where their ending says that they are texts."""
    if ending.lower() in _TEXTS:
        return (
            'of texts, write a table: one JSON line {"text": ...} for each; running text can be '
            "named itself, as folder/*.txt"
        )
    return None


def format_of(path: Path) -> str | None:
    """Returns the reader's name for a file's ending, without ``.gz``; None for other files."""
    name = unpacked_name(path)
    form = _BY_ENDING.get(Path(name).suffix.removeprefix("."))
    if form is not None and path.suffix.lower() in PACKED and not _READERS[form].may_be_packed:
        return None
    return form


def has_header(path: Path) -> bool:
    """Whether a file's columns stand in one place, the same for all rows."""
    form = format_of(path)
    return form is not None and _READERS[form].has_header


def read_records(path: Path, columns: Columns) -> Iterator[Record]:
    """Reads a file's rows, one after the other.

    A name that no column has may be a path into one that holds objects, such as ``answers.text``.

    Raises:
        DataError: the file cannot be read or parsed as a whole, is empty, or lacks a column.
    """
    form = format_of(path)
    if form is None:
        hint = hint_for(path.suffix) or "rename or convert it"
        raise DataError(
            f"task.source: {path} is of no known kind: a file must end in {ENDINGS}. "
            f"{hint[0].upper()}{hint[1:]}."
        )
    with file_errors(path):
        check_regular(path)
        records = _READERS[form].records(path, columns)
        paths = [column for column in columns.values() if MARK in column]
        if not paths:
            yield from records
            return
        try:
            for record in records:
                yield replace(record, values=with_fields(record.values, paths))
        finally:
            if isinstance(records, Generator):
                records.close()


def column_names(path: Path) -> list[str]:
    """The columns that a file's rows have, by its header or all of its keys; none where these
    cannot be read."""
    form = format_of(path)
    if form is None:
        return []
    try:
        with file_errors(path):
            check_regular(path)
            return _READERS[form].names(path)
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        EOFError,
        RecursionError,
        csv.Error,
        zlib.error,
        DataError,
    ):
        return []
