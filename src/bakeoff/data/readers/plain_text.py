"""Plain text, as a table of one column ``text``.

A row is a paragraph: lines between blank ones. In a file without blank lines between its texts each
line is a row. (Datasets' reader of texts leaves this choice to its ``sample_by``.) A row's number
is that of its first line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from bakeoff.data.readers.opening import opened
from bakeoff.data.readers.records import Columns, Record, missing_column, present

TEXT: Final = "text"


def read_plain_text(path: Path, columns: Columns) -> Iterator[Record]:
    """Rows, one after the other; one that is not UTF-8 is a bad row."""
    if error := missing_column(path, columns, [TEXT]):
        raise error
    with opened(path) as stream:
        has_paragraphs = _are_divided(stream)
    with opened(path) as stream:
        rows = _paragraphs(stream) if has_paragraphs else _single_lines(stream)
        for number, lines in rows:
            yield _record(number, lines, columns)


def plain_text_names(path: Path) -> list[str]:
    """The one column, where the file can be read."""
    with opened(path):
        return [TEXT]


def _are_divided(lines: Iterable[bytes]) -> bool:
    """Whether a blank line stands between two texts."""
    has_text = has_blank = False
    for line in lines:
        if not line.strip():
            has_blank = has_text
        elif has_blank:
            return True
        else:
            has_text = True
    return False


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
