"""Rows of any values in files of every format: used, skipped and counted, or named in one error."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from bakeoff.data.readers import read_records
from bakeoff.data.rows import Rows, take_rows
from bakeoff.data.sources import open_source
from bakeoff.errors import DataError
from bakeoff.tasks.contract import Task, columns_of
from tests.tasks.preparing import task_of

Value = str | None
NAMES = ("context", "answer")
GOOD: tuple[Value, ...] = ("A storm.", "storm")
LONG = "word " * 4000
# What tables hold: texts with all that divides, quotes and ends fields, and nothing.
TEXTS = st.one_of(
    st.none(),
    st.sampled_from(["", " ", '"', '""', ",", ";", "\t", "\r", "\x00", "\ufeff", "=1+1", LONG]),
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.text("\",;\t\r\n' a", max_size=8),
)
ROWS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4)


def zstd(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content, asbytes=True))


def delimited(rows: list[tuple[Value, ...]], mark: str) -> bytes:
    made = io.StringIO()
    writer = csv.writer(made, delimiter=mark, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([NAMES, *rows])
    return made.getvalue().encode()


def table(rows: list[tuple[Value, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True)
    return pa.table({n: pa.array(c, pa.string()) for n, c in zip(NAMES, columns, strict=True)})


def parquet(rows: list[tuple[Value, ...]]) -> bytes:
    made = io.BytesIO()
    pq.write_table(table(rows), made)
    return made.getvalue()


def arrow(rows: list[tuple[Value, ...]]) -> bytes:
    made = io.BytesIO()
    with pa.ipc.new_stream(made, table(rows).schema) as writer:
        writer.write_table(table(rows), max_chunksize=2)
    return made.getvalue()


def excel(rows: list[tuple[Value, ...]]) -> bytes:
    made, book = io.BytesIO(), openpyxl.Workbook()
    for values in (NAMES, *rows):
        row = (None if v is None else ILLEGAL_CHARACTERS_RE.sub("?", v) for v in values)
        book.active.append([None if v is None else v.replace("=", "-") for v in row])
    book.save(made)
    return made.getvalue()


def lines(rows: list[tuple[Value, ...]]) -> bytes:
    return "".join(json.dumps(dict(zip(NAMES, r, strict=True))) + "\n" for r in rows).encode()


WRITERS: dict[str, Callable[[list[tuple[Value, ...]]], bytes]] = {
    "csv": lambda rows: delimited(rows, ","),
    "csv.gz": lambda rows: gzip.compress(delimited(rows, ";")),
    "tsv": lambda rows: delimited(rows, "\t"),
    "ndjson.zst": lambda rows: zstd(lines(rows)),
    "json": lambda rows: json.dumps([dict(zip(NAMES, r, strict=True)) for r in rows]).encode(),
    "parquet": parquet,
    "arrow": arrow,
    "xlsx": excel,
}
QUICK = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.mark.parametrize("ending", WRITERS)
@QUICK
@given(rows=ROWS)
def test_any_rows_of_any_format(
    tmp_path: Path, ending: str, rows: list[tuple[Value, Value]]
) -> None:
    # Excel knows no row of nothing.
    given = [GOOD, *(r for r in rows if ending != "xlsx" or any(r))]
    first, second = given[:2], given[2:] or [GOOD]
    write = WRITERS[ending]
    (tmp_path / f"a.{ending}").write_bytes(write(list(first)))
    (tmp_path / f"b.{ending}").write_bytes(write(list(second)))
    (tmp_path / "held.jsonl").write_bytes(lines([GOOD]))
    names = [f"a.{ending}", f"b.{ending}"]
    source = {"train": names, "validation": "held.jsonl", "test": "held.jsonl"}
    options = {"template": "{context}\nA: {answer}", "target": "answer", "source": source}
    skipping = task_of(kind="complete", on_bad_row="skip", **options)
    found = taken(skipping, tmp_path)
    assert len(found) + found.num_skipped == len(first) + len(second)
    assert len(set(found.numbers)) == len(found)
    try:
        taken(task_of(kind="complete", **options), tmp_path)
    except DataError as error:
        assert found.num_skipped
        text = str(error)
        assert any(f" of {name}" in text for name in names)
        assert "row " in text
        assert "(column '" in text
        assert "task.on_bad_row: skip" in text
    else:
        assert not found.num_skipped


def taken(task: Task, root: Path) -> Rows:
    """The training rows as a task lays them out; without tokens, which take most of the time."""
    columns = columns_of(task)
    opened = open_source(task.options, columns, root=root)
    return take_rows(
        task.options, columns, opened, "train", lambda record: task.example(record.values)
    )


@pytest.mark.parametrize("ending", [*WRITERS, "tab", "jsonl", "json.gz", "csv.zst"])
@QUICK
@given(content=st.binary(max_size=200), cut=st.integers(0, 400))
def test_any_bytes_are_rows_or_one_error_that_names_the_file(
    tmp_path: Path, ending: str, content: bytes, cut: int
) -> None:
    whole = WRITERS[ending]([GOOD, GOOD]) if ending in WRITERS else b""
    for number, found in enumerate((content, whole[:cut], whole[:cut] + content)):
        path = tmp_path / f"{number}.{ending}"
        path.write_bytes(found)
        try:
            records = list(read_records(path, dict(zip(NAMES, NAMES, strict=True))))
        except DataError as error:
            assert str(path) in str(error)
        else:
            assert all(record.problem or set(record.values) == set(NAMES) for record in records)
