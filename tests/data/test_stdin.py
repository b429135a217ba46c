"""Rows that are piped in: their format by their first bytes, and what is no rows."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bakeoff.api import Study
from bakeoff.data.options import TaskOptions
from bakeoff.data.sources import open_source
from bakeoff.data.sources.stdin import format_of_content, rows_of_stdin, rows_of_stream
from bakeoff.errors import DataError
from bakeoff.types import SPLITS

ROWS = [{"text": f'Row "{i}", ü\u2028;\t', "label": "ab"[i % 2]} for i in range(30)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def zstd(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content, asbytes=True))


def parquet() -> bytes:
    made = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), made)
    return made.getvalue()


def arrow(*, stream: bool) -> bytes:
    made, table = io.BytesIO(), pa.Table.from_pylist(ROWS)
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(made, table.schema) as writer:
        writer.write_table(table)
    return made.getvalue()


def excel() -> bytes:
    made, book = io.BytesIO(), openpyxl.Workbook()
    for row in [list(ROWS[0]), *(list(row.values()) for row in ROWS)]:
        book.active.append(row)
    book.save(made)
    return made.getvalue()


def delimited(mark: str) -> bytes:
    rows = [
        ["text", "label"],
        *(['"' + r["text"].replace('"', '""') + '"', r["label"]] for r in ROWS),
    ]
    return "\n".join(mark.join(row) for row in rows).encode()


CONTENTS: dict[str, tuple[bytes, str]] = {
    "lines": (LINES, "jsonl"),
    "lines after a mark and blank lines": (b"\xef\xbb\xbf\n\n" + LINES, "jsonl"),
    "one line": (LINES[: LINES.index(b"\n")], "jsonl"),
    "lines with a bad first one": (b'{"text": \n' + LINES, "jsonl"),
    "a list": (json.dumps(ROWS).encode(), "json"),
    "a list in lines": (b" \n" + json.dumps(ROWS, indent=1).encode(), "json"),
    "an object in lines": (json.dumps({"data": ROWS}, indent=1).encode(), "json"),
    "an object in a line": (json.dumps({"data": ROWS}).encode() + b"\n", "json"),
    "a long first line": (b'{"text": "' + b"x" * 200_000 + b'", "label": "a"}\n', "jsonl"),
    "CSV": (delimited(","), "csv"),
    "TSV": (delimited("\t"), "csv"),
    "semicolons": (delimited(";"), "csv"),
    "gzip": (gzip.compress(LINES), "jsonl.gz"),
    "gzip of CSV": (gzip.compress(delimited(",")), "csv.gz"),
    "zstd": (zstd(LINES), "jsonl.zst"),
    "zstd in frames": (zstd(b"") + zstd(LINES), "jsonl.zst"),
    "parquet": (parquet(), "parquet"),
    "Arrow's file": (arrow(stream=False), "arrow"),
    "Arrow's stream": (arrow(stream=True), "arrow"),
    "Excel": (excel(), "xlsx"),
}


PROSE = b"Alice was beginning to get very tired of sitting by her sister, on\nthe bank.\n"


def test_running_text_is_no_table() -> None:
    assert format_of_content(PROSE) == ("txt", "")
    assert format_of_content(gzip.compress(PROSE)) == ("txt", ".gz")
    header = b"what the customer wrote,label of the whole message\n"
    assert format_of_content(header + PROSE) == ("csv", "")
    asked = b"How satisfied were you with the service that you received?,Comment\n"
    assert format_of_content(asked + b"very,none\nlittle,none\n") == ("csv", "")


@pytest.mark.parametrize("name", CONTENTS)
def test_the_first_bytes_show_the_format(tmp_path: Path, name: str) -> None:
    content, ending = CONTENTS[name]
    rows = rows_of_stream(io.BytesIO(content))
    assert dict(rows.files) == {f"rows.{ending}": content}
    rows.write(tmp_path)
    task = TaskOptions(kind="test", source=rows.source(tmp_path))
    source = open_source(task, {"text": "text", "label": "label"}, root=tmp_path)
    found = [r for split in SPLITS for r in source.records(split) if r.problem is None]
    assert len(found) == (1 if name in ("one line", "a long first line") else 30)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \n\t\n", "is empty"),
        (gzip.compress(b""), "is empty"),
        (zstd(b" "), "is empty"),
        (gzip.compress(LINES)[:-9], "is not whole gzip data"),
        (zstd(LINES)[:-9], "is not whole zstd data"),
        (b"\x1f\x8bno gzip at all", "is not whole gzip data"),
        (b"\x28\xb5\x2f\xfdno zstd", "is not whole zstd data"),
    ],
    ids=[
        *("nothing", "blanks", "empty gzip", "blank zstd"),
        *("cut gzip", "cut zstd", "no gzip", "no zstd"),
    ],
)
def test_no_rows_are_refused(content: bytes, part: str) -> None:
    with pytest.raises(DataError) as caught:
        format_of_content(content)
    for words in ("task.source is '-'", part):
        assert words in str(caught.value)


class Piped:
    """A standard input."""

    def __init__(self, content: bytes, *, is_terminal: bool = False) -> None:
        self.buffer, self._is_terminal = io.BytesIO(content), is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


def test_a_terminal_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for stdin in (Piped(LINES, is_terminal=True), None):
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(
            DataError, match=r"is a terminal.*cat rows\.jsonl . bakeoff run --data -"
        ):
            rows_of_stdin()


def study(**changes: Any) -> Study:
    task = {"kind": "classify", "source": "-", "text": "text", "label": "label"}
    return Study(name="piped", base="tiny", task=task, methods={"lora": {}}, **changes)


def test_a_study_reads_its_rows_once_and_knows_them_by_their_hash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", Piped(LINES))
    made = study()
    assert made.rows == rows_of_stream(io.BytesIO(LINES))
    place = made.at(Path("runs/x")).task.options.source
    assert place == f"runs/x/data/{made.rows.name}/rows.jsonl"
    assert made.at(Path("runs/x")).resolved["task"]["source"] == place
    assert "rows.jsonl" in made.to_yaml()
    with pytest.raises(DataError, match=r"is empty.*go on with `bakeoff run FOLDER`"):
        study()
