"""JSON lines: an object a line. A row's number is its line's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from bakeoff.data.readers.objects import Problem, from_objects, names_of
from bakeoff.data.readers.opening import opened
from bakeoff.data.readers.records import Columns, Record


def read_json_lines(path: Path, columns: Columns) -> Iterator[Record]:
    """Rows, one after the other; a line that is no object is a bad row."""
    with opened(path) as stream:
        yield from from_objects(path, columns, of_lines(stream))


def json_lines_names(path: Path) -> list[str]:
    """The keys of all lines."""
    with opened(path) as stream:
        return names_of(value for _, value in of_lines(stream))


def of_lines(lines: Iterable[bytes]) -> Iterator[tuple[int, object]]:
    """(the number, the parsed value) of each line that is not blank, or a problem in its place.

    Args:
        lines: split at \\n alone: JSON strings may hold the other characters that end a text line.
    """
    for number, line in enumerate(lines, start=1):
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
