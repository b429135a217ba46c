"""Rows that are piped in: read once, and kept as a file whose format their first bytes show."""

from __future__ import annotations

import gzip
import io
import json
import re
import sys
import zlib
from typing import Any, BinaryIO, Final

from bakeoff.data.given import WHOLE, GivenRows
from bakeoff.data.sources.paths import STDIN
from bakeoff.errors import DataError

_BINARY: Final = {
    b"PAR1": "parquet",
    b"ARROW1": "arrow",
    b"\xff\xff\xff\xff": "arrow",
    b"PK\x03\x04": "xlsx",
}
"""What files begin with, by their format."""
_WORDS_OF_NAME: Final = 8
"""Of a column's name, at most: a first line with longer parts is one of running text."""
_LINES: Final = 5
_LOOKED_AT: Final = 1 << 16
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_REMEDY: Final = (
    "Pipe rows in, such as with `cat rows.jsonl | bakeoff run --data -`, or name a file."
)


def rows_of_stdin() -> GivenRows:
    """All that the process is given, which can be read once.

    Raises:
        DataError: there is nothing, or it comes from a keyboard.
    """
    stream = None if sys.stdin is None else getattr(sys.stdin, "buffer", None)
    if stream is None or sys.stdin.isatty():
        raise DataError(
            f"task.source is {STDIN!r}, and the standard input is a terminal, so there are no rows "
            f"to read. {_REMEDY}"
        )
    return rows_of_stream(stream)


def rows_of_stream(stream: BinaryIO) -> GivenRows:
    """A stream's whole content as a file.

    Raises:
        DataError: it is empty, or packed and torn.
    """
    content = stream.read()
    form, packed = format_of_content(content)
    return GivenRows(files={f"{WHOLE}.{form}{packed}": content})


def format_of_content(content: bytes) -> tuple[str, str]:
    """(the ending of a file of such rows, what is added where it is packed).

    Raises:
        DataError: it is empty, or packed and torn.
    """
    unpacked, packed = _unpacked(content)
    for magic, form in _BINARY.items():
        if unpacked.startswith(magic) and not packed:
            return form, ""
    text = unpacked.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise DataError(
            f"task.source is {STDIN!r}, and the standard input is empty. {_REMEDY} A run that was "
            "begun with piped rows has kept them: go on with `bakeoff run FOLDER`."
        )
    if text[:1] == b"[":
        return "json", packed
    if text[:1] != b"{":
        # A CSV may be divided by tabs, as its header shows.
        return ("txt" if _is_running_text(text) else "csv"), packed
    return ("jsonl" if _are_lines(text) else "json"), packed


def _is_running_text(text: bytes) -> bool:
    """Whether the first line is too long for names of columns, and the next ones are divided
    otherwise."""
    lines = [line for line in text[:_LOOKED_AT].splitlines()[:_LINES] if line.strip()]
    longest = max(len(name.split()) for name in re.split(rb"[,;\t]", lines[0]))
    if longest <= _WORDS_OF_NAME:
        return False
    counts = [{len(re.findall(mark, line)) for line in lines} for mark in (rb",", rb";", rb"\t")]
    is_table = len(lines) > 1 and any(len(found) == 1 and found != {0} for found in counts)
    return not is_table


def _are_lines(text: bytes) -> bool:
    """Whether text that begins with an object holds one a line."""
    first, _, rest = text.partition(b"\n")
    if not rest.strip():
        # One line: rows in an object of their own, or one row.
        found = _parsed(first)
        return not (isinstance(found, dict) and isinstance(found.get("data"), list))
    return isinstance(_parsed(first), dict) or rest.lstrip(b" \t")[:1] == b"{"


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _unpacked(content: bytes) -> tuple[bytes, str]:
    """(what is in it, the ending of what packs it)."""
    if content.startswith(_GZIP):
        try:
            return gzip.decompress(content), ".gz"
        except (zlib.error, EOFError, gzip.BadGzipFile) as error:
            raise _torn("gzip", error) from error
    if content.startswith(_ZSTD):
        import pyarrow

        try:
            with pyarrow.input_stream(io.BytesIO(content), compression="zstd") as stream:
                return bytes(stream.read()), ".zst"
        except OSError as error:
            raise _torn("zstd", error) from error
    return content, ""


def _torn(name: str, error: Exception) -> DataError:
    return DataError(
        f"task.source is {STDIN!r}, and the standard input is not whole {name} data ({error}). "
        "Fetch or pack them again."
    )
