"""JSON: a list of objects, an object whose ``data`` is one, or an object a line."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bakeoff.data.readers.json_lines import of_lines
from bakeoff.data.readers.objects import from_objects, names_of
from bakeoff.data.readers.opening import opened
from bakeoff.data.readers.records import Columns, Record
from bakeoff.errors import DataError


def read_json(path: Path, columns: Columns) -> Iterator[Record]:
    """Rows of a file, which is parsed whole; JSON lines under this ending are read as such."""
    with opened(path) as stream:
        content = stream.read()
    if _is_lines(content):
        yield from from_objects(path, columns, of_lines(io.BytesIO(content)))
        return
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
    rows = _rows(value)
    if not isinstance(rows, list) or (rows and all(isinstance(row, list) for row in rows)):
        raise DataError(
            f"task.source: {path} holds no list of rows: it must be a list of objects, or an "
            'object whose "data" is one. Convert it; pandas writes a data frame so with '
            'to_json(orient="records").'
        )
    yield from from_objects(path, columns, enumerate(rows, start=1))


def json_names(path: Path) -> list[str]:
    """The keys of all rows."""
    with opened(path) as stream:
        content = stream.read()
    if _is_lines(content):
        return names_of(value for _, value in of_lines(io.BytesIO(content)))
    return names_of(_rows(json.loads(content.decode("utf-8-sig"))))


def _is_lines(content: bytes) -> bool:
    """Whether the first line is an object of its own, and others follow."""
    lines = (line for line in io.BytesIO(content) if line.strip())
    first, second = next(lines, b""), next(lines, None)
    # A file of one line may be large, and is parsed once.
    return second is not None and any(isinstance(value, dict) for _, value in of_lines([first]))


def _rows(value: Any) -> Any:
    return value.get("data") if isinstance(value, dict) else value
