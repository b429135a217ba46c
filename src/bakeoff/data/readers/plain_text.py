"""Plain text, as a table of one column ``text``.

A row is a paragraph, lines between blank ones, where these have at most 20 lines on average; else
a row is a line. (Datasets' reader of texts leaves this choice to its ``sample_by``.) A row's number
is that of its first line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

from bakeoff.data.readers.opening import file_errors, opened
from bakeoff.data.readers.records import Columns, Record, missing_column, present
from bakeoff.errors import DataError

TEXT: Final = "text"
RowsOfText = Literal["paragraph", "line"]
_MOST_LINES: Final = 20
"""Of a paragraph, on average: beyond, blank lines are strays among texts of a line each."""
_LOOKED_AT: Final = 20
_LEAST_LOOKED_AT: Final = 5
_DIVIDERS: Final = {b"\t": ".tsv", b";": ".csv", b"|": ".csv, with commas"}


def read_plain_text(path: Path, columns: Columns) -> Iterator[Record]:
    """Rows, one after the other; one that is not UTF-8 is a bad row."""
    if error := missing_column(path, columns, [TEXT]):
        raise error
    divide = _paragraphs if rows_of_text(path) == "paragraph" else _single_lines
    with opened(path) as stream:
        for number, lines in divide(stream):
            yield _record(number, lines, columns)


def plain_text_names(path: Path) -> list[str]:
    """The one column, where the file can be read."""
    with opened(path):
        return [TEXT]


def rows_of_text(path: Path) -> RowsOfText:
    """What a row of a file is.

    Raises:
        DataError: the file is a table by what its first lines hold, or cannot be read.
    """
    num_lines = num_paragraphs = 0
    is_inside = has_returns = False
    first: list[bytes] = []
    with file_errors(path), opened(path) as stream:
        for line in stream:
            if not line.strip():
                is_inside = False
                continue
            num_lines += 1
            num_paragraphs += not is_inside
            is_inside = True
            has_returns |= b"\r" in line.rstrip(b"\r\n")
            if len(first) < _LOOKED_AT:
                first.append(line.strip(b"\r\n"))
    if num_lines == 1 and has_returns:
        raise DataError(
            f"task.source: {path} ends its lines by CR alone, so that it is one line. Save it with "
            "line ends of Unix or Windows."
        )
    _refuse_table(path, first)
    is_divided = num_paragraphs > 1 and num_lines <= _MOST_LINES * num_paragraphs
    return "paragraph" if is_divided else "line"


def check_alike(files: Sequence[Path]) -> None:
    """Refuses files of one data set of which some have a row a paragraph and some one a line.

    Raises:
        DataError: naming one of each, or a file that cannot be read.
    """
    found = {rows_of_text(path): path for path in reversed(files)}
    if len(found) > 1:
        raise DataError(
            f"task.source: each paragraph of {found['paragraph']} is a row, but each line of "
            f"{found['line']}, whose texts no blank lines divide: their rows would not be alike. "
            "Divide the texts of both in one way, or write tables (one JSON line "
            '{"text": ...} for each).'
        )


def _refuse_table(path: Path, lines: Sequence[bytes]) -> None:
    if len(lines) < _LEAST_LOOKED_AT:
        return
    ending = None
    if all(line.lstrip()[:1] == b"{" and line.rstrip()[-1:] == b"}" for line in lines):
        ending = ".jsonl"
    for divider, name in _DIVIDERS.items():
        counts = {line.count(divider) for line in lines}
        if len(counts) == 1 and counts != {0}:
            ending = name
    if ending is not None:
        raise DataError(
            f"task.source: {path} is called plain text, and its lines seem to be rows of a table. "
            f'Save it as {ending}; or, if they are texts, as JSON lines {{"text": ...}}.'
        )


def _paragraphs(lines: Iterable[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """(the number of its first line, its lines) of each paragraph."""
    first, held = 0, list[bytes]()
    for number, line in enumerate(lines, start=1):
        if line.strip():
            first = first if held else number
            held.append(line)
        elif held:
            yield first, held
            held = []
    if held:
        yield first, held


def _single_lines(lines: Iterable[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """The same of each line that is not blank."""
    return ((number, [line]) for number, line in enumerate(lines, start=1) if line.strip())


def _record(number: int, lines: list[bytes], columns: Columns) -> Record:
    content = b"".join(lines)
    if number == 1:
        content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        text = content.decode("utf-8").replace("\r\n", "\n").rstrip("\n")
    except UnicodeDecodeError as error:
        return Record(number, problem=f"it is not UTF-8 at byte {error.start + 1}")
    return Record(number, dict.fromkeys(present(columns, [TEXT]), text))
