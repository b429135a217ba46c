"""Delimiters, zstd, Arrow and Excel: what is read, and what is refused by name."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import datasets
import openpyxl
import pyarrow as pa
import pytest

from bakeoff.data.readers import Record, column_names, format_of, missing_column, read_records
from bakeoff.data.readers.delimited import delimiter_of
from bakeoff.errors import DataError

COLUMNS = {"document": "article", "summary": "highlights"}
Cell = object


def row(number: int, article: object, highlights: object) -> Record:
    return Record(number, {"article": article, "highlights": highlights})


def read(path: Path) -> list[Record]:
    return list(read_records(path, COLUMNS))


def message(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def zstd(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content, asbytes=True))


def save(path: Path, content: str | bytes) -> Path:
    data = content.encode("utf-8") if isinstance(content, str) else content
    if path.suffix in (".gz", ".zst"):
        data = gzip.compress(data) if path.suffix == ".gz" else zstd(data)
    path.write_bytes(data)
    return path


# Delimiters

ODD = (
    "\ufeffid{0}article{0}highlights\r\n"
    '1{0}"(CNN) ""No,; \t""\nMore."{0}日本 \u2028\r\n\r\n'
    "2{0}b{0}\r\n"
)


@pytest.mark.parametrize("name", ["a.tsv", "A.TAB", "a.tsv.gz", "a.tab.zst"])
def test_tsv(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, ODD.format("\t"))
    assert read(path) == [row(1, '(CNN) "No,; \t"\nMore.', "日本 \u2028"), row(2, "b", "")]
    assert column_names(path) == ["id", "article", "highlights"]


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst"])
def test_csv_of_other_delimiters(tmp_path: Path, name: str, mark: str) -> None:
    path = save(tmp_path / name, ODD.format(mark))
    assert read(path) == [row(1, '(CNN) "No,; \t"\nMore.', "日本 \u2028"), row(2, "b", "")]
    assert column_names(path) == ["id", "article", "highlights"]


@pytest.mark.parametrize(
    ("header", "mark"),
    [
        ("text", ","),
        ("", ","),
        ("a,b", ","),
        ("a;b", ";"),
        ("a\tb", "\t"),
        ("a;b;c,d", ","),  # whatever the counts are
        ("a\tb;c", ";"),
        ('"a,b";c', ";"),
        ('"a ""x"", b";c', ";"),
        ('"a;b"\t"c,d"', "\t"),
        ('a "b, c;d', ","),  # a quote inside a field is a character
    ],
)
def test_the_header_alone_shows_the_delimiter(header: str, mark: str) -> None:
    assert delimiter_of(header) == mark


@pytest.mark.parametrize(
    ("content", "mark"),
    [
        ("Kommentar (gut, schlecht);Klasse\n" + "so;1\n" * 3 + "so, so;1\n", ";"),
        ("Kommentar (gut, schlecht)\tKlasse\nso\t1\nso, so\t1\n", "\t"),
        ('a (b; c),"d\ne"\n"1\n2",3\n4;5,6\n', ","),
        ("a,b;c\n1,2;3\n", ","),  # both fit, and a comma goes before
        ("a (b, c);d\n", ","),  # without rows as well
        ("a (b, c);d\nso;1\nso, so;1\n" + 'x;"open', ";"),
        ("a (b, c);d\n" + f"so;{'y' * 140_000}\n", ";"),
        ("a,b;c\n1,2,3\n1;2;3\n", ","),
    ],
)
def test_the_first_rows_decide_between_the_delimiters_of_a_header(content: str, mark: str) -> None:
    lines = io.StringIO(content, newline="").readlines()
    head = 2 if "d\ne" in content else 1
    assert delimiter_of("".join(lines[:head]), lines[head:]) == mark


def test_a_comma_in_a_name_does_not_tear_rows_divided_by_semicolons(tmp_path: Path) -> None:
    rows = "".join(f"so{', so' * (i % 4 == 0)};b{i}\n" for i in range(600))
    path = save(tmp_path / "a.csv", f"article;highlights (good, bad)\n{rows}")
    assert column_names(path) == ["article", "highlights (good, bad)"]
    found = list(read_records(path, {"text": "article"}))
    assert len(found) == 600 and all(record.problem is None for record in found)


def test_only_the_header_line_is_looked_at(tmp_path: Path) -> None:
    path = save(tmp_path / "a.csv", "article;highlights\na,1;b,2\n")
    assert read(path) == [row(1, "a,1", "b,2")]


def test_a_name_in_the_header_may_hold_a_line_end(tmp_path: Path) -> None:
    path = save(tmp_path / "a.csv", '"first,\nline";article;highlights\n1;a;b\n')
    assert read(path) == [row(1, "a", "b")]
    assert column_names(path) == ["first,\nline", "article", "highlights"]


def test_an_open_quote_in_the_header_does_not_eat_the_file(tmp_path: Path) -> None:
    path = save(tmp_path / "a.csv", '"article;highlights\n' + "a;b\n" * 500)
    assert "unexpected end of data" in message(path)


@pytest.mark.parametrize(
    ("content", "word"), [("a,b\n", "comma"), ("a;b\n", "semicolon"), ("a\tb\n", "tab")]
)
def test_a_missing_column_names_the_delimiter(tmp_path: Path, content: str, word: str) -> None:
    assert f"(delimiter: {word})" in message(save(tmp_path / "a.csv", content))


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("start", ["sep={}", '\ufeff"sep={}"', "SEP={}"])
def test_the_line_that_tells_excel_the_delimiter_is_no_header(
    tmp_path: Path, start: str, mark: str
) -> None:
    said = start.format(mark)
    path = save(tmp_path / "a.csv", f"{said}\r\narticle{mark}highlights\r\na{mark}b\r\n")
    assert read(path) == [row(1, "a", "b")]
    assert column_names(path) == ["article", "highlights"]
    torn = save(tmp_path / "b.csv", f'{said}\r\narticle{mark}highlights\r\n"a"x{mark}b\r\n')
    assert "b.csv, line 3:" in message(torn)


def test_a_header_alone_has_no_rows(tmp_path: Path) -> None:
    assert read(save(tmp_path / "a.tsv", "article\thighlights\n")) == []


def test_other_ends_of_json_lines(tmp_path: Path) -> None:
    content = json.dumps({"article": "a", "highlights": "b"})
    for name in ("a.ndjson", "a.ndjson.gz", "a.jsonl.zst", "a.ndjson.zst"):
        assert read(save(tmp_path / name, content)) == [row(1, "a", "b")]
    assert read(save(tmp_path / "a.json.zst", f"[{content}]")) == [row(1, "a", "b")]


def test_format_of_new_endings() -> None:
    names = ["a.tab.gz", "a.TSV", "a.ndjson.zst", "a.arrow", "a.xlsx", "a.arrow.zst", "a.zst"]
    expected = ["tsv", "tsv", "jsonl", "arrow", "xlsx", None, None]
    assert [format_of(Path(name)) for name in names] == expected


# zstd


def test_zstd_of_several_frames_is_read_whole(tmp_path: Path) -> None:
    lines = [json.dumps({"article": f"{i}" * 50, "highlights": "b"}) + "\n" for i in range(3000)]
    frames = [zstd("".join(lines[i : i + 700]).encode()) for i in range(0, 3000, 700)]
    (tmp_path / "a.jsonl.zst").write_bytes(b"".join(frames) + zstd(b""))
    assert [record.row for record in read(tmp_path / "a.jsonl.zst")] == list(range(1, 3001))


def test_zstd_that_is_torn_anywhere_is_an_error(tmp_path: Path) -> None:
    lines = [json.dumps({"article": f"{i}" * 9, "highlights": "b"}) + "\n" for i in range(60)]
    first = zstd("".join(lines[:30]).encode())
    whole = first + zstd("".join(lines[30:]).encode())
    path = tmp_path / "a.jsonl.zst"
    for end in range(1, len(whole)):
        path.write_bytes(whole[:end])
        if end == len(first):
            assert len(read(path)) == 30  # a whole file
        else:
            assert "is not a whole zstd file" in message(path)
        assert column_names(path) in ([], ["article", "highlights"])


@pytest.mark.parametrize("content", [b"plain text", zstd(b"article,highlights\na,b\n") + b"more"])
def test_what_is_no_zstd_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv.zst").write_bytes(content)
    assert "is not a whole zstd file" in message(tmp_path / "a.csv.zst")


def test_empty_and_absent_zstd(tmp_path: Path) -> None:
    assert "is empty" in message(save(tmp_path / "a.csv.zst", b""))
    (tmp_path / "b.csv.zst").write_bytes(b"")
    assert "is empty" in message(tmp_path / "b.csv.zst")
    assert "cannot be read: No such file" in message(tmp_path / "none.csv.zst")


# Arrow

TABLE = pa.table({"article": ["a", None, "ü"], "highlights": ["b", "c", ""], "id": [1, 2, 3]})


def write_arrow(path: Path, table: Any, *, stream: bool) -> Path:
    make = pa.ipc.new_stream if stream else pa.ipc.new_file
    with pa.OSFile(str(path), "wb") as file, make(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return path


@pytest.mark.parametrize("stream", [True, False])
def test_arrow_of_both_formats(tmp_path: Path, stream: bool) -> None:
    path = write_arrow(tmp_path / "a.arrow", TABLE, stream=stream)
    assert read(path) == [row(1, "a", "b"), row(2, None, "c"), row(3, "ü", "")]
    assert column_names(path) == ["article", "highlights", "id"]
    none = write_arrow(tmp_path / "b.arrow", TABLE.slice(0, 0), stream=stream)
    assert read(none) == []


@pytest.mark.parametrize("stream", [True, False])
def test_arrow_that_is_torn_anywhere_is_an_error(tmp_path: Path, stream: bool) -> None:
    whole = write_arrow(tmp_path / "a.arrow", TABLE, stream=stream).read_bytes()
    for end in range(8, len(whole), 8):
        path = tmp_path / "b.arrow"
        path.write_bytes(whole[:end])
        if stream and end == len(whole) - 8:
            assert "lacks the mark that ends a stream" in message(path)
        assert "is not a whole Arrow file" in message(path)


def test_arrow_that_lacks_a_column_or_has_it_twice(tmp_path: Path) -> None:
    path = write_arrow(tmp_path / "a.arrow", TABLE.drop_columns(["article"]), stream=True)
    assert "task.document is 'article'" in message(path)
    twice = pa.Table.from_arrays([pa.array(["a"])] * 3, names=["article", "article", "highlights"])
    path = write_arrow(tmp_path / "b.arrow", twice, stream=True)
    assert "'article' 2 times" in message(path)
    path.write_bytes(b"")
    assert "is empty" in message(path)


def test_arrow_as_datasets_writes_it(tmp_path: Path) -> None:
    data = datasets.Dataset.from_dict({"article": ["a", "b"], "highlights": ["c", "d"]})
    data.save_to_disk(str(tmp_path / "saved"))
    [file] = (tmp_path / "saved").glob("*.arrow")
    assert read(file) == [row(1, "a", "c"), row(2, "b", "d")]


# Excel


def book(path: Path, **sheets: list[list[Cell]]) -> Path:
    made = openpyxl.Workbook()
    made.remove(made.active)
    for name, rows in sheets.items():
        sheet = made.create_sheet(name)
        for cells in rows:
            sheet.append(cells)
    made.save(path)
    return path


def test_excel(tmp_path: Path) -> None:
    day, moment = datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 0, 0)
    rows: list[list[Cell]] = [
        [],
        ["article", "highlights", 2024],
        ["=text", 3.0, None],
        [day, moment, "unread"],
        [None, None, None],
        [1.5, True],
        ['Ünï "code"\nline\u2028', datetime.time(9, 30), None, "no name"],
        [None, " "],
    ]
    path = book(tmp_path / "a.xlsx", Data=rows, Empty=[])
    cells = openpyxl.load_workbook(path)
    cells["Data"]["A3"].data_type = "s"
    cells.save(path)
    assert column_names(path) == ["article", "highlights", "2024"]
    assert read(path) == [  # rows as Excel numbers them
        row(3, "=text", 3),
        row(4, "2024-02-29", "2024-02-29T00:00:00"),
        row(6, 1.5, True),
        row(7, 'Ünï "code"\nline\u2028', "09:30:00"),
        row(8, None, " "),
    ]
    assert type(read(path)[0].values["highlights"]) is int


def test_an_error_in_a_cell_that_is_read_spoils_its_row(tmp_path: Path) -> None:
    path = book(
        tmp_path / "a.xlsx",
        Data=[["article", "highlights", "id"], ["a", "#DIV/0!", 1], ["a", "b", "#N/A"]],
    )
    assert read(path) == [
        Record(2, problem="its cell in column 'highlights' holds the error #DIV/0!"),
        row(3, "a", "b"),
    ]


def test_excel_of_several_sheets_that_hold_something(tmp_path: Path) -> None:
    rows: list[list[Cell]] = [["article", "highlights"], ["a", "b"]]
    path = book(tmp_path / "a.xlsx", One=rows, Empty=[[None]], Two=rows)
    text = message(path)
    assert "2 sheets that hold something ('One', 'Two')" in text
    assert "Save the one to learn from" in text
    second = book(tmp_path / "b.xlsx", Empty=[], Two=rows)
    assert read(second) == [row(2, "a", "b")]


def test_excel_without_rows_or_columns(tmp_path: Path) -> None:
    assert read(book(tmp_path / "a.xlsx", Data=[["article", "highlights"]])) == []
    assert "It has: none" in message(book(tmp_path / "b.xlsx", Data=[]))
    path = book(tmp_path / "c.xlsx", Data=[["Article", "highlights"], ["a", "b"]])
    assert "did you mean 'Article'?" in message(path)
    path = book(tmp_path / "d.xlsx", Data=[["article", "highlights", "article"]])
    assert "'article' 2 times" in message(path)


def test_excel_that_is_damaged(tmp_path: Path) -> None:
    whole = book(tmp_path / "a.xlsx", Data=[["article", "highlights"], ["a", "b"]]).read_bytes()
    path = tmp_path / "b.xlsx"
    for content in (whole[: len(whole) // 2], b"text", whole[:10]):
        path.write_bytes(content)
        assert "is not a whole .xlsx file" in message(path)
    path.write_bytes(b"")
    assert "is empty" in message(path)
    assert "cannot be read: No such file" in message(tmp_path / "none.xlsx")
    torn = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(torn, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content[:-40] if name.endswith("sheet1.xml") else content)
    path.write_bytes(torn.getvalue())
    assert "is not a whole .xlsx file" in message(path)
    assert column_names(path) in ([], ["article", "highlights"])


def test_without_openpyxl_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = book(tmp_path / "a.xlsx", Data=[["article", "highlights"], ["a", "b"]])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    assert "pip install 'bakeoff[excel]'" in message(path)


# Misspelt columns


@pytest.mark.parametrize(
    ("asked", "names", "near"),
    [
        ("Article", ["id", "article"], "did you mean 'article'?"),
        ("artcle", ["id", "article"], "did you mean 'article'?"),
        (" text", ["text", "test"], "did you mean 'text' or 'test'?"),
        ("TEXT", ["Text", "text"], "did you mean 'Text' or 'text'?"),
        ("label", ["x", "y"], "no such column. It has: 'x', 'y'."),
    ],
)
def test_a_misspelt_column_names_the_nearest(asked: str, names: list[str], near: str) -> None:
    error = missing_column("a.csv", {"text": asked}, names)
    assert error is not None
    assert near in str(error)
    assert "It has: " + ", ".join(map(repr, sorted(names))) in str(error)


ANSWERS: list[dict[str, Any]] = [
    {"q": "who?", "answers": {"text": ["Ann", "A."], "start": [3, 4]}, "c": [{"t": "x"}, {}]},
    {"q": "why?", "answers": {"text": [], "start": []}, "c": [{"t": "y"}, {"t": "z"}]},
    {"q": "how?", "answers": None, "c": None},
]
PATHS = {"prompt": "q", "completion": "answers.text", "other": "c.t"}


@pytest.mark.parametrize("ending", ["jsonl", "json", "parquet", "arrow", "csv"])
def test_a_path_reads_the_field_of_a_column_of_objects(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows.{ending}"
    table = pa.Table.from_pylist(ANSWERS)
    if ending == "jsonl":
        save(path, "".join(json.dumps(row) + "\n" for row in ANSWERS))
    elif ending == "json":
        save(path, json.dumps(ANSWERS))
    elif ending == "parquet":
        import pyarrow.parquet

        pyarrow.parquet.write_table(table, path)
    elif ending == "arrow":
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(ANSWERS[0])
            rows.writerows([json.dumps(v) for v in row.values()] for row in ANSWERS)
    found = [(r.values["answers.text"], r.values["c.t"]) for r in read_records(path, PATHS)]
    assert found == [(["Ann", "A."], ["x", None]), ([], ["y", "z"]), (None, None)]


def test_a_column_with_dots_in_its_name_comes_before_a_path(tmp_path: Path) -> None:
    path = save(tmp_path / "rows.jsonl", '{"a.b": 1, "a": {"b": 2, "b.c": 3}}\n')
    [record] = read_records(path, {"x": "a.b", "y": "a.b.c"})
    assert record.values["a.b"] == 1 and record.values["a.b.c"] is None
    [error] = [missing_column(path, {"text": "b.c"}, ["a", "a.b"])]
    assert error is not None and "task.text is 'b.c'" in str(error)
