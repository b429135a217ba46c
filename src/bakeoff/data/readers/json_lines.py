"""JSON lines: an object a line. A row's number is its line's."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

from bakeoff.data.readers.objects import HEAD_ROWS, Problem, from_objects, names_of
from bakeoff.data.readers.opening import opened
from bakeoff.data.readers.records import Columns, Record


def read_json_lines(path: Path, columns: Columns) -> Iterator[Record]:
    """Rows, one after the other; a line that is no object is a bad row."""
    with opened(path) as stream:

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
                    yield number, Problem(f"it is not UTF-8 at byte {error.start + 1}")
                except (ValueError, RecursionError) as error:
                    yield number, Problem(f"it is not JSON ({error})")

        yield from from_objects(path, columns, objects())


def json_lines_names(path: Path) -> list[str]:
    """The keys of the first lines."""
    with opened(path) as stream:
        lines = [line for line in itertools.islice(stream, HEAD_ROWS) if line.strip()]
    return names_of([json.loads(line.decode("utf-8-sig")) for line in lines])
