"""Arrow files, in the file and in the stream format of Arrow's IPC; Datasets writes the latter."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bakeoff.data.readers.arrow_values import rows_of
from bakeoff.data.readers.records import (
    Columns,
    Record,
    missing_column,
    present,
    repeated_column,
)
from bakeoff.errors import DataError

_FILE: Final = b"ARROW1"
"""What the file format begins with, and ends with too."""
_NEXT: Final = b"\xff\xff\xff\xff"
"""What each message of a stream begins with since Arrow 0.15."""
_NONE: Final = b"\0\0\0\0"
"""In place of a message's length: the stream's end."""


def read_arrow(path: Path, columns: Columns) -> Iterator[Record]:
    """Rows, batch by batch; the file is mapped and not read at once."""
    import pyarrow

    try:
        with _reader(path) as reader:
            if error := missing_column(path, columns, reader.schema.names):
                raise error
            names = present(columns, reader.schema.names)
            if twice := repeated_column(path, names, reader.schema.names):
                raise twice
            yield from rows_of(_batches(reader), names)
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise DataError(
            f"task.source: {path} is not a whole Arrow file ({error}). Fetch or write it again."
        ) from error


def arrow_names(path: Path) -> list[str]:
    """The schema's columns."""
    with _reader(path) as reader:
        return list(reader.schema.names)


@contextlib.contextmanager
def _reader(path: Path) -> Iterator[Any]:
    """A reader of whichever format it is."""
    import pyarrow
    import pyarrow.ipc

    with path.open("rb") as file:
        start = file.read(len(_FILE))
        is_file, mark = start == _FILE, _NEXT + _NONE if start.startswith(_NEXT) else _NONE
        size = file.seek(0, 2)
        file.seek(max(0, size - len(mark)))
        end = file.read()
    if not size:
        raise DataError(f"task.source: {path} is empty. Give a file with at least one row.")
    if not is_file and end != mark:
        # pyarrow takes the end of the file for the end of the stream, and rows would be lost.
        raise DataError(
            f"task.source: {path} is not a whole Arrow file (it lacks the mark that ends a "
            "stream). Fetch or write it again."
        )
    with pyarrow.memory_map(str(path)) as source:
        opening = pyarrow.ipc.open_file if is_file else pyarrow.ipc.open_stream
        with opening(source) as reader:
            yield reader


def _batches(reader: Any) -> Iterator[Any]:
    if hasattr(reader, "num_record_batches"):
        return (reader.get_batch(index) for index in range(reader.num_record_batches))
    return iter(reader)
