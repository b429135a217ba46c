"""Rows without answers, to be predicted: text files, or the input columns of rows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal

from bakeoff.data.readers import (
    PLAIN_TEXT,
    TABLE_ENDINGS,
    Columns,
    OptionalColumn,
    format_of,
    read_records,
)
from bakeoff.data.readers.opening import PACKED, check_regular, file_errors, opened
from bakeoff.errors import DataError

InputFormat = Literal["auto", "text", "csv", "tsv", "json", "jsonl", "parquet", "arrow", "xlsx"]
STDIN: Final = "-"


@dataclass(frozen=True, slots=True)
class Input:
    """One row to be answered.

    Attributes:
        source: the file's name, or ``-`` for the standard input.
        row: its row in the file, from 1; None where the whole file is one text.
        values: by column, as found.
    """

    source: str
    row: int | None
    values: Mapping[str, object]

    @property
    def place(self) -> str:
        """For messages."""
        return self.source if self.row is None else f"{self.source}, row {self.row}"


def read_inputs(
    sources: Sequence[str], columns: Columns, form: InputFormat, stdin: BinaryIO
) -> list[Input]:
    """Reads every row.

    Args:
        sources: paths, or ``-`` for ``stdin``; none is ``stdin`` too.
        columns: the task's input columns, by the option that names each.
        form: ``auto`` goes by a file's ending: those that data may have hold rows, whatever else is
            one text, as is the standard input.
        stdin: where ``-`` is read.

    Raises:
        DataError: if something cannot be read, or is one text where rows have several columns.
    """
    check_inputs(columns)
    return [found for source in sources or [STDIN] for found in _of(source, columns, form, stdin)]


def check_inputs(columns: Columns) -> None:
    """Raises DataError where a task reads no inputs, so that there is nothing to answer."""
    if not columns:
        raise DataError(
            "the study learns whole texts, which have no input and no answer, so there is nothing "
            "to predict. Export an adapter and generate with Transformers, or train on a kind of "
            "task that has answers, such as complete."
        )


def _of(source: str, columns: Columns, form: InputFormat, stdin: BinaryIO) -> Iterator[Input]:
    path = Path(source)
    if source == STDIN:
        if form in ("auto", "text"):
            yield _text(source, stdin.read(), columns)
            return
        # The readers look at a file's ending and may look at its end first.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"stdin.{form}"
            path.write_bytes(stdin.read())
            yield from _rows(source, path, columns)
        return
    if form == "text" or (form == "auto" and format_of(path) in (None, PLAIN_TEXT)):
        try:
            check_regular(path)
            content = _unpacked(path)
        except DataError as error:
            raise DataError(str(error).removeprefix("task.source: ")) from None
        except OSError as error:
            raise DataError(
                f"{path} cannot be read: {error.strerror or error}; give a file of text or rows"
            ) from None
        yield _text(source, content, columns)
        return
    if form not in ("auto", format_of(path)):
        raise DataError(
            f"{path} does not end in .{form}, which --format asks for; rename it, or leave "
            "--format out"
        )
    yield from _rows(source, path, columns)


def required_columns(columns: Columns) -> list[str]:
    """The columns that no row may lack; all of them where each may be."""
    names = list(dict.fromkeys(columns.values()))
    return [name for name in names if not isinstance(name, OptionalColumn)] or names


def _unpacked(path: Path) -> bytes:
    """A file of text, unpacked where its name says that it is packed."""
    if format_of(path) != PLAIN_TEXT or path.suffix.lower() not in PACKED:
        return path.read_bytes()
    with file_errors(path), opened(path) as stream:
        return stream.read()


def _rows(source: str, path: Path, columns: Columns) -> Iterator[Input]:
    try:
        # All of them first: a column that no row has says more than the first row that lacks it.
        records = list(read_records(path, columns))
    except DataError as error:
        # The readers speak of the study's own data.
        raise DataError(
            str(error).removeprefix("task.source: ").replace(str(path), source)
        ) from None
    if not records:
        raise DataError(f"{source} holds no rows; give at least one")
    for record in records:
        if record.problem:
            raise DataError(f"{source}, row {record.row}: {record.problem}. Correct the row")
        yield Input(source, record.row, record.values)


def _text(source: str, content: bytes, columns: Columns) -> Input:
    names = required_columns(columns)
    if len(names) > 1:
        raise DataError(
            f"{source} is one text, but the study reads the columns {', '.join(names)}; give rows: "
            f"a file that ends in {TABLE_ENDINGS}"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{source} is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    return Input(source, None, {names[0]: text})
