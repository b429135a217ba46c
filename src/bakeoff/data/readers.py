"""Rows out of one file: csv, json, jsonl (each also gzipped) and parquet.

CSV and JSON are read by the standard library, streaming, and not by Datasets: its readers convert
a whole file at once, so that one bad byte or one short row fails with an Arrow message that names
neither row nor column, and a column's type is guessed from the first block. Parquet is pyarrow's.

A row that cannot be used is handed on as a record with a ``problem``; what makes the whole file
unreadable raises. Rows count from 1 and leave out a CSV's header; in JSON lines a row's number is
its line's.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import itertools
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from bakeoff.errors import DataError

# The csv module's limit is a C long, which has 32 bits on some platforms.
_CSV_FIELD_LIMIT: Final = 2**31 - 1
_PARQUET_ROWS: Final = 1024
_HEAD_ROWS: Final = 100
"""Rows of JSON whose keys are looked at."""


Columns = Mapping[str, str]
"""The columns that a task reads, by the option that names each."""


class OptionalColumn(str):
    """The name of a column that a file, or a row, may lack."""

    __slots__ = ()


def present(columns: Columns, names: Iterable[str]) -> list[str]:
    """The columns that are to be read, each once, of those that there are."""
    known = set(names)
    return [name for name in dict.fromkeys(columns.values()) if name in known]


@dataclass(frozen=True, slots=True)
class Record:
    """One row as found.

    Attributes:
        row: its number in the source, from 1.
        values: by column; a column that the row lacks is None.
        problem: why the row cannot be used whatever its values, or None.
    """

    row: int
    values: Mapping[str, object] = field(default_factory=dict)
    problem: str | None = None


def format_of(path: Path) -> str | None:
    """Returns the reader's name for a file's ending, without ``.gz``; None for other files."""
    name = path.name.lower()
    ending = Path(name.removesuffix(".gz")).suffix.removeprefix(".")
    if ending == "parquet" and name.endswith(".gz"):
        return None
    return ending if ending in _READERS else None


def read_records(path: Path, columns: Columns) -> Iterator[Record]:
    """Reads a file's rows, one after the other.

    Raises:
        DataError: the file cannot be read or parsed as a whole, is empty, or lacks a column.
    """
    ending = format_of(path)
    if ending is None:
        raise DataError(
            f"task.source: {path} is of no known kind: a file must end in .csv, .json or .jsonl "
            "(each also .gz), or .parquet. Rename or convert it."
        )
    try:
        yield from _READERS[ending](path, columns)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"task.source: {path} is not a whole gzip file ({error}). Fetch or pack it again."
        ) from error
    except OSError as error:
        raise DataError(
            f"task.source: {path} cannot be read: {error.strerror or error}. Check the path and "
            "its permissions."
        ) from error


def column_names(path: Path) -> list[str]:
    """The columns that a file's rows have, by its head; none where that cannot be read."""
    ending = format_of(path)
    try:
        if ending == "parquet":
            import pyarrow.parquet

            return list(pyarrow.parquet.read_schema(path).names)
        with _opened(path) as stream:
            if ending == "csv":
                text = io.TextIOWrapper(stream, "utf-8-sig", errors="replace", newline="")
                return next(csv.reader(text), [])
            rows: Any
            if ending == "jsonl":
                lines = [line for line in itertools.islice(stream, _HEAD_ROWS) if line.strip()]
                rows = [json.loads(line.decode("utf-8-sig")) for line in lines]
            else:
                content: Any = json.loads(stream.read().decode("utf-8-sig"))
                rows = content.get("data") if isinstance(content, dict) else content
            # A key that only some rows have is a column all the same.
            return list(dict.fromkeys(name for row in rows[:_HEAD_ROWS] for name in row))
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        EOFError,
        csv.Error,
        zlib.error,
        DataError,
    ):
        return []


def missing_column(place: object, columns: Columns, found: Iterable[str]) -> DataError | None:
    """Returns the error for a column that is not among those found, if one is missing."""
    names = sorted(set(found))
    for key, column in columns.items():
        if column not in names and not isinstance(column, OptionalColumn):
            return DataError(
                f"task.{key} is {column!r}, but {place} has no such column. It has: "
                f"{', '.join(map(repr, names)) or 'none'}. Set task.{key} to one of these."
            )
    return None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    opener: Callable[..., Any] = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rb") as stream:
        start = stream.peek(2)[:2]
        if not start:
            raise DataError(f"task.source: {path} is empty. Give a file with at least one row.")
        if start in (b"\xff\xfe", b"\xfe\xff"):
            raise DataError(f"task.source: {path} is UTF-16. Save it as UTF-8.")
        yield stream


def _read_csv(path: Path, columns: Columns) -> Iterator[Record]:
    previous_limit = csv.field_size_limit(_CSV_FIELD_LIMIT)
    with _opened(path) as stream:
        # Bytes that are not UTF-8 become surrogates, which mark their row without tearing the
        # quoted fields around them apart.
        text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
        reader = csv.reader(text, strict=True)
        try:
            header = next(reader, [])
            if error := missing_column(f"{path}'s header", columns, header):
                raise error
            for column in columns.values():
                if header.count(column) > 1:
                    raise DataError(
                        f"task.source: {path}'s header has {column!r} {header.count(column)} "
                        "times; a column may appear only once. Rename the others."
                    )
            places = {column: header.index(column) for column in present(columns, header)}
            row = 0
            for fields in reader:
                if not fields:
                    continue
                row += 1
                if len(fields) != len(header):
                    problem = f"it has {len(fields)} fields where the header has {len(header)}"
                    yield Record(row, problem=problem)
                else:
                    yield Record(row, {c: fields[place] for c, place in places.items()})
        except csv.Error as error:
            raise DataError(
                f"task.source: {path}, line {reader.line_num}: {error}. Fields with commas, quotes "
                'or line ends must be quoted, and a quote inside one doubled ("").'
            ) from error
        finally:
            csv.field_size_limit(previous_limit)


def _read_jsonl(path: Path, columns: Columns) -> Iterator[Record]:
    with _opened(path) as stream:

        def objects() -> Iterator[tuple[int, object]]:
            # Split at \n alone: JSON strings may hold the other characters that end a text line.
            for number, line in enumerate(stream, start=1):
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                if not line.strip():
                    continue
                try:
                    yield number, json.loads(line.decode("utf-8"))
                except UnicodeDecodeError as error:
                    yield number, _Problem(f"it is not UTF-8 at byte {error.start + 1}")
                except (ValueError, RecursionError) as error:
                    yield number, _Problem(f"it is not JSON ({error})")

        yield from _from_objects(path, columns, objects())


def _read_json(path: Path, columns: Columns) -> Iterator[Record]:
    with _opened(path) as stream:
        content = stream.read()
    try:
        value = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(
            f"task.source: {path} is not UTF-8 at byte offset {error.start}. Save it as UTF-8."
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"task.source: {path} is not JSON: {error}. If each line is an object of its own, "
            "name the file .jsonl."
        ) from error
    rows = value.get("data") if isinstance(value, dict) else value
    if not isinstance(rows, list):
        raise DataError(
            f"task.source: {path} holds no list of rows: it must be a list of objects, or an "
            'object whose "data" is one. Convert it.'
        )
    yield from _from_objects(path, columns, enumerate(rows, start=1))


def _read_parquet(path: Path, columns: Columns) -> Iterator[Record]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if error := missing_column(path, columns, file.schema_arrow.names):
                raise error
            row = 0
            names = present(columns, file.schema_arrow.names)
            for batch in file.iter_batches(_PARQUET_ROWS, columns=names):
                found = [_parquet_values(batch.column(name)) for name in names]
                for values in zip(*found, strict=True):
                    row += 1
                    yield Record(row, dict(zip(names, values, strict=True)))
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise DataError(
            f"task.source: {path} is not a whole parquet file ({error}). Fetch or write it again."
        ) from error


def _parquet_values(column: Any) -> list[object]:
    try:
        return cast(list[object], column.to_pylist())
    except UnicodeDecodeError:
        # Bytes that are not UTF-8 stay bytes, so that only their own rows are bad.
        return [_parquet_value(item) for item in column]


def _parquet_value(item: Any) -> object:
    try:
        return item.as_py()
    except UnicodeDecodeError:
        return item.as_buffer().to_pybytes()


@dataclass(frozen=True)
class _Problem:
    text: str


def _from_objects(
    path: Path, columns: Columns, objects: Iterable[tuple[int, object]]
) -> Iterator[Record]:
    """Turns parsed objects into records.

    A key may be absent here and there (a bad row); a key that no object has is a missing column.
    """
    found: set[str] = set()
    num_objects = 0
    for row, value in objects:
        if isinstance(value, _Problem):
            yield Record(row, problem=value.text)
        elif not isinstance(value, dict):
            yield Record(row, problem=f"it is not an object but {type(value).__name__}")
        else:
            num_objects += 1
            found.update(value)
            yield Record(row, {c: value.get(c) for c in columns.values()})
    if num_objects and (error := missing_column(path, columns, found)):
        raise error


_READERS: Final[Mapping[str, Callable[[Path, Columns], Iterator[Record]]]] = {
    "csv": _read_csv,
    "json": _read_json,
    "jsonl": _read_jsonl,
    "parquet": _read_parquet,
}
