"""Documents without summaries, to be summarised: text files, or a column of rows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal

from bakeoff.data.cleaning import clean
from bakeoff.data.options import TaskOptions
from bakeoff.data.readers import Columns, format_of, read_records
from bakeoff.data.rows import text_problem
from bakeoff.errors import DataError

DocumentFormat = Literal["auto", "text", "csv", "json", "jsonl", "parquet"]
STDIN: Final = "-"


@dataclass(frozen=True, slots=True)
class Document:
    """One text to be summarised.

    Attributes:
        source: the file's name, or ``-`` for the standard input.
        row: its row in the file, from 1; None where the whole file is one document.
        text: as the study's cleaning leaves it.
    """

    source: str
    row: int | None
    text: str


def read_documents(
    sources: Sequence[str], task: TaskOptions, form: DocumentFormat, stdin: BinaryIO
) -> list[Document]:
    """Reads and cleans every document.

    Args:
        sources: paths, or ``-`` for ``stdin``; none is ``stdin`` too.
        task: the column with the document, and the cleaning.
        form: ``auto`` goes by a file's ending: csv, json, jsonl (each also .gz) and parquet hold
            rows, whatever else is one text, as is the standard input.
        stdin: where ``-`` is read.

    Raises:
        DataError: if something cannot be read, or holds no text.
    """
    return [
        document for source in sources or [STDIN] for document in _of(source, task, form, stdin)
    ]


def _of(
    source: str, task: TaskOptions, form: DocumentFormat, stdin: BinaryIO
) -> Iterator[Document]:
    path = Path(source)
    if source == STDIN:
        if form in ("auto", "text"):
            yield _document(source, None, stdin.read(), task)
            return
        # The readers look at a file's ending and may look at its end first.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"stdin.{form}"
            path.write_bytes(stdin.read())
            yield from _rows(source, path, task)
        return
    if form == "text" or (form == "auto" and format_of(path) is None):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(
                f"{path} cannot be read: {error.strerror or error}; give a file of text or rows"
            ) from None
        yield _document(source, None, content, task)
        return
    if form not in ("auto", format_of(path)):
        raise DataError(
            f"{path} does not end in .{form}, which --format asks for; rename it, or leave "
            "--format out"
        )
    yield from _rows(source, path, task)


def _rows(source: str, path: Path, task: TaskOptions) -> Iterator[Document]:
    try:
        # All of them first: a column that no row has says more than the first row that lacks it.
        records = list(read_records(path, Columns(task.document, task.document)))
    except DataError as error:
        # The readers speak of the study's own data.
        raise DataError(
            str(error).removeprefix("task.source: ").replace(str(path), source)
        ) from None
    if not records:
        raise DataError(f"{source} holds no rows; give at least one document")
    for record in records:
        if record.problem:
            raise DataError(f"{source}, row {record.row}: {record.problem}. Correct the row")
        yield _document(source, record.row, record.document, task)


def _document(source: str, row: int | None, value: object, task: TaskOptions) -> Document:
    place = source if row is None else f"{source}, row {row}"
    if row is None and isinstance(value, bytes):
        try:
            value = value.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{place} is not UTF-8 at byte {error.start}; save it as UTF-8"
            ) from None
    problem = text_problem(value)
    if problem is None and isinstance(value, str):
        text = clean(value, task.cleaning)
        if text:
            return Document(source, row, text)
        problem = "is empty after task.cleaning"
    raise DataError(f"{place}: the document {problem}; every document needs some text")
