"""JSON: a list of objects, or an object whose ``data`` is one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bakeoff.data.readers.objects import from_objects, names_of
from bakeoff.data.readers.opening import opened
from bakeoff.data.readers.records import Columns, Record
from bakeoff.errors import DataError


def read_json(path: Path, columns: Columns) -> Iterator[Record]:
    """Rows of a file, which is parsed whole."""
    with opened(path) as stream:
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
    rows = _rows(value)
    if not isinstance(rows, list):
        raise DataError(
            f"task.source: {path} holds no list of rows: it must be a list of objects, or an "
            'object whose "data" is one. Convert it.'
        )
    yield from from_objects(path, columns, enumerate(rows, start=1))


def json_names(path: Path) -> list[str]:
    """The keys of the first rows."""
    with opened(path) as stream:
        return names_of(_rows(json.loads(stream.read().decode("utf-8-sig"))))


def _rows(value: Any) -> Any:
    return value.get("data") if isinstance(value, dict) else value
