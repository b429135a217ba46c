from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bakeoff.data.examples import Example
from bakeoff.data.options import ExamplesOptions, TaskOptions
from bakeoff.data.readers import Record, column_names, format_of, read_records
from bakeoff.data.readers.arrow_values import Binary
from bakeoff.data.rows import take_rows
from bakeoff.data.sources import open_source
from bakeoff.errors import DataError

COLUMNS = {"document": "article", "summary": "highlights"}
KAGGLE = (
    "\ufeffid,article,highlights\r\n"
    '1,"(CNN) -- ""No,"" he said.\nMore, later.","First point.\nSecond point."\r\n'
    "\r\n"
    "2,plain,short\r\n"
)


def row(number: int, article: object, highlights: object) -> Record:
    return Record(number, {"article": article, "highlights": highlights})


def read(path: Path) -> list[Record]:
    return list(read_records(path, COLUMNS))


def message(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read(path)
    assert "Traceback" not in str(caught.value)
    return str(caught.value)


def save(path: Path, content: str | bytes) -> Path:
    data = content.encode("utf-8") if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "A.CSV"])
def test_csv_with_bom_quotes_and_line_ends(tmp_path: Path, name: str) -> None:
    assert read(save(tmp_path / name, KAGGLE)) == [
        row(1, '(CNN) -- "No," he said.\nMore, later.', "First point.\nSecond point."),
        row(2, "plain", "short"),
    ]


def test_csv_fields_may_be_longer_than_the_library_s_limit(tmp_path: Path) -> None:
    long = "word " * 100_000
    path = save(tmp_path / "a.csv", f'article,highlights\n"{long}",short\n')
    assert read(path) == [row(1, long, "short")]


def test_csv_rows_of_the_wrong_width_are_bad(tmp_path: Path) -> None:
    path = save(tmp_path / "a.csv", "article,highlights\na,b\na,b,c\na\n")
    problems = [record.problem for record in read(path)]
    assert problems == [
        None,
        "it has 3 fields where the header has 2",
        "it has 1 fields where the header has 2",
    ]


def test_csv_bytes_that_are_not_utf8_spoil_their_own_row_only(tmp_path: Path) -> None:
    content = b'article,highlights\n"caf\xe9\nau lait",short\ngood,fine\n'
    first, second = read(save(tmp_path / "a.csv", content))
    assert isinstance(first.values["article"], str)
    with pytest.raises(UnicodeEncodeError):
        first.values["article"].encode("utf-8")
    assert second == row(2, "good", "fine")


def test_csv_with_an_open_quote_is_an_error_with_its_line(tmp_path: Path) -> None:
    path = save(tmp_path / "a.csv", 'article,highlights\na,b\n"open,c\n')
    assert "a.csv, line 3" in message(path)


def test_csv_with_a_column_twice(tmp_path: Path) -> None:
    path = save(tmp_path / "a.csv", "article,highlights,article\na,b,c\n")
    assert "'article' 2 times" in message(path)


def test_json_lines(tmp_path: Path) -> None:
    lines = '\ufeff{"article": "a\u2028b", "highlights": "c", "id": 3}\n\n{"article": "d"}\n'
    assert read(save(tmp_path / "a.jsonl.gz", lines)) == [
        row(1, "a\u2028b", "c"),
        row(3, "d", None),
    ]


def test_json_lines_that_are_bad_keep_their_number(tmp_path: Path) -> None:
    content = (
        b'{"article": "a", "highlights": "b"}\n{"article": "caf\xe9"}\n{"article": \n[1]\n'
        + b"[" * 100_000
    )
    records = read(save(tmp_path / "a.jsonl", content))
    assert [record.row for record in records] == [1, 2, 3, 4, 5]
    assert records[1].problem == "it is not UTF-8 at byte 17"
    assert (records[2].problem or "").startswith("it is not JSON")
    assert records[3].problem == "it is not an object but list"
    assert (records[4].problem or "").startswith("it is not JSON")


@pytest.mark.parametrize("wrap", [False, True])
def test_json(tmp_path: Path, wrap: bool) -> None:
    rows = [{"article": "a", "highlights": "b"}, "text"]
    path = save(tmp_path / "a.json", json.dumps({"data": rows} if wrap else rows))
    assert read(path) == [
        row(1, "a", "b"),
        Record(2, problem="it is not an object but str"),
    ]


def test_json_that_cannot_be_read_as_a_whole(tmp_path: Path) -> None:
    assert "byte offset 3" in message(save(tmp_path / "a.json", b'["a\xe9"]'))
    assert ".jsonl" in message(save(tmp_path / "b.json", '{"article": }\n{"article": 2}\n'))
    assert "no list of rows" in message(save(tmp_path / "c.json", '{"rows": []}'))


@pytest.mark.parametrize(
    "content",
    [
        {"article": {"0": "a"}, "highlights": {"0": "b"}},
        {"0": {"article": "a", "highlights": "b"}},
        {"columns": ["article", "highlights"], "index": [0], "data": [["a", "b"]]},
        [["article", "highlights"], ["a", "b"]],
    ],
)
def test_layouts_of_pandas_that_are_no_rows_name_the_one_that_is(
    tmp_path: Path, content: object
) -> None:
    path = save(tmp_path / "a.json", json.dumps(content))
    assert 'to_json(orient="records")' in message(path)


@pytest.mark.parametrize("start", ["", "\ufeff", "\n"])
def test_json_lines_in_a_file_of_json(tmp_path: Path, start: str) -> None:
    lines = '{"article": "a", "highlights": "b"}\nno JSON\n{"article": "c", "id": 1}\n'
    path = save(tmp_path / "a.json", start + lines)
    before = start.count("\n")
    first, bad, last = read(path)
    assert first == row(1 + before, "a", "b") and last == row(3 + before, "c", None)
    assert bad.row == 2 + before and (bad.problem or "").startswith("it is not JSON")
    assert column_names(path) == ["article", "highlights", "id"]


def test_columns_of_json_are_the_keys_of_all_of_its_objects(tmp_path: Path) -> None:
    rows = [{"article": "a"}] * 150 + [{"late": "b"}, [1, 2.5], None]
    assert column_names(save(tmp_path / "a.json", json.dumps(rows))) == ["article", "late"]
    lines = "no JSON\n" + "".join(json.dumps(value) + "\n" for value in rows)
    assert column_names(save(tmp_path / "a.jsonl", lines)) == ["article", "late"]


def test_a_header_that_is_not_utf8_is_refused_where_it_is_read(tmp_path: Path) -> None:
    content = "article,highlights,größe\na,b,c\n".encode("cp1252")
    path = save(tmp_path / "a.csv", content)
    assert read(path) == [row(1, "a", "b")]
    *_, name = column_names(path)
    with pytest.raises(DataError, match=r"header is not UTF-8 \(column 'gr.*iconv -f cp1252"):
        list(read_records(path, {"text": name}))


def test_parquet(tmp_path: Path) -> None:
    table = pa.table({"article": ["a", None], "highlights": ["b", "c"], "id": [1, 2]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == [row(1, "a", "b"), row(2, None, "c")]


def test_parquet_with_a_column_twice(tmp_path: Path) -> None:
    names = ["article", "article", "highlights", "more", "more"]
    pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * 5, names=names), tmp_path / "a.parquet")
    error = message(tmp_path / "a.parquet")
    assert "a.parquet has the column 'article' 2 times; a column may appear only once" in error
    names[0] = "first"
    pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * 5, names=names), tmp_path / "b.parquet")
    assert read(tmp_path / "b.parquet") == [row(1, "a", "a")], "others may be there twice"


def test_parquet_with_decimals_as_databases_write_them(tmp_path: Path) -> None:
    kind = pa.decimal128(12, 2)
    found = [Decimal("1.00"), None, Decimal("-2.50")]
    table = pa.table(
        {
            "article": pa.array(found, kind),
            "highlights": pa.array([found, None, []], pa.list_(kind)),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    records = read(tmp_path / "a.parquet")
    assert records == [row(1, 1, [1, None, -2.5]), row(2, None, None), row(3, -2.5, [])]
    assert repr(records[0].values["article"]) == "1"


@pytest.mark.parametrize(
    ("kind", "number", "shortest"),
    [
        (pa.float16(), 2.8, "2.8"),
        (pa.float32(), 2.8, "2.8"),
        (pa.float32(), 16777216.0, "16777216.0"),
        (pa.float32(), float("nan"), "nan"),
        (pa.float64(), 2.799999952316284, "2.799999952316284"),
    ],
)
def test_numbers_of_few_bits_have_the_digits_that_stand_for_them(
    tmp_path: Path, kind: pa.DataType, number: float, shortest: str
) -> None:
    values = np.array([number], dtype=kind.to_pandas_dtype())
    fields = pa.StructArray.from_arrays([pa.array(values, kind), pa.array(["a"])], ["n", "t"])
    table = pa.table(
        {
            "article": pa.array([*values, None], kind),
            "highlights": pa.array([[{"n": values[0], "t": "a"}], None], pa.list_(fields.type)),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    first, second = read(tmp_path / "a.parquet")
    assert repr(first.values) == (
        f"{{'article': {shortest}, 'highlights': [{{'n': {shortest}, 't': 'a'}}]}}"
    )
    assert second == row(2, None, None)


def test_parquet_with_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    broken = pa.StringArray.from_buffers(
        2, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xe9")
    )
    pq.write_table(pa.table({"article": broken, "highlights": ["b", "c"]}), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == [row(1, "a", "b"), row(2, b"\xe9", "c")]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary(3)])
def test_parquet_with_columns_of_bytes(tmp_path: Path, kind: pa.DataType) -> None:
    values = [b"gr.", b"\xff\xd8.", None]
    table = pa.table({"article": pa.array(values, kind), "highlights": pa.array([values] * 3)})
    pq.write_table(table, tmp_path / "a.parquet")
    first, second, third = read(tmp_path / "a.parquet")
    assert first == row(1, "gr.", ["gr.", b"\xff\xd8.", None])
    assert isinstance(second.values["article"], Binary)
    assert third.values["article"] is None


def test_parquet_that_is_torn(tmp_path: Path) -> None:
    pq.write_table(pa.table({"article": ["a"], "highlights": ["b"]}), tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    assert "not a whole parquet" in message(save(tmp_path / "b.parquet", content[:-20]))
    garbled = content.replace(b"article", b"articl\xff")
    assert "not a whole parquet" in message(save(tmp_path / "c.parquet", garbled))


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.jsonl", "a.parquet"])
def test_a_missing_column_names_those_that_exist(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    rows = [{"text": "a", "highlights": "b"}]
    match path.suffix:
        case ".csv":
            save(path, "text,highlights\na,b\n")
        case ".json":
            save(path, json.dumps(rows))
        case ".jsonl":
            save(path, json.dumps(rows[0]))
        case _:
            pq.write_table(pa.Table.from_pylist(rows), path)
    text = message(path)
    assert "task.document is 'article'" in text
    assert "'highlights', 'text'" in text


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.jsonl.gz", "a.parquet"])
def test_every_column_that_is_asked_for_is_read_once(tmp_path: Path, name: str) -> None:
    path, rows = tmp_path / name, [{"a": "x", "b": "y", "c": "z", "d": "unread"}]
    match path.suffix:
        case ".csv":
            save(path, "a,b,c,d\nx,y,z,unread\n")
        case ".json" | ".gz":
            save(path, json.dumps(rows if path.suffix == ".json" else rows[0]))
        case _:
            pq.write_table(pa.Table.from_pylist(rows), path)
    columns = {"text": "c", "label": "a", "group": "c"}
    assert list(read_records(path, columns)) == [Record(1, {"c": "z", "a": "x"})]
    assert column_names(path) == ["a", "b", "c", "d"]


def test_columns_of_files_that_cannot_be_read_are_not_known(tmp_path: Path) -> None:
    assert column_names(save(tmp_path / "a.json", '{"data": [{"a": 1}]}')) == ["a"]
    for name, content in (
        ("a.csv", b""),
        ("b.json", b"[]"),
        ("c.json", b'{"rows": 1}'),
        ("d.jsonl", b"not JSON"),
        ("e.jsonl", b"3"),
        ("f.csv.gz", b"x"),
        ("g.parquet", b"PAR1"),
        ("h.md", b"a,b"),
        ("i.txt", b""),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        assert column_names(path) == [], name
    assert column_names(tmp_path / "none.csv") == []


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.jsonl", "a.csv.gz", "a.jsonl.gz"])
def test_an_empty_file(tmp_path: Path, name: str) -> None:
    assert f"{name} is empty" in message(save(tmp_path / name, b""))


def test_other_encodings_and_torn_gzip(tmp_path: Path) -> None:
    assert "UTF-16" in message(save(tmp_path / "a.csv", KAGGLE[1:].encode("utf-16")))
    whole = gzip.compress(KAGGLE.encode("utf-8") * 50)
    (tmp_path / "b.csv.gz").write_bytes(whole[:-30])
    assert "gzip" in message(tmp_path / "b.csv.gz")
    (tmp_path / "c.csv.gz").write_bytes(b"plain text")
    assert "gzip" in message(tmp_path / "c.csv.gz")


def test_files_that_are_not_there_or_of_no_known_kind(tmp_path: Path) -> None:
    assert "cannot be read" in message(tmp_path / "a.csv")
    assert message(save(tmp_path / "a.docx", b"x")).endswith("Rename or convert it.")
    said = message(save(tmp_path / "a.md", b"x"))
    assert "no known kind" in said and "Of texts, write a table: one JSON line" in said


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"\xef\xbb\xbfone\ntwo\n\n \n  three\n", [(1, "one\ntwo"), (5, "  three")]),
        (b"\n\none\r\ntwo\r\n\r\nthree", [(3, "one\ntwo"), (6, "three")]),
        (b"one\ntwo \n", [(1, "one"), (2, "two ")]),  # no blank line between texts
        (b"\none\n \n", [(2, "one")]),
        (
            "\u2028\u65e5\x0c\u672c\n\n\u8a9e".encode(),
            [(1, "\u2028\u65e5\x0c\u672c"), (3, "\u8a9e")],
        ),
        # One stray blank line among texts of a line each.
        (
            b"a\n" * 30 + b"\n" + b"b\n" * 30,
            [*((i, "a") for i in range(1, 31)), *((i, "b") for i in range(32, 62))],
        ),
    ],
)
def test_plain_text_is_a_table_of_paragraphs_or_of_lines(
    tmp_path: Path, content: bytes, rows: list[tuple[int, str]]
) -> None:
    for name in ("a.txt", "a.TXT.gz"):
        path = save(tmp_path / name, content)
        assert column_names(path) == ["text"]
        assert list(read_records(path, {"text": "text"})) == [
            Record(row, {"text": text}) for row, text in rows
        ]


def test_plain_text_has_no_other_column_and_bad_bytes_are_one_row_s(tmp_path: Path) -> None:
    path = save(tmp_path / "a.txt", b"one\n\ntwo \xff\n\nthree\n")
    problems = [found.problem for found in read_records(path, {"text": "text"})]
    assert problems == [None, "it is not UTF-8 at byte 5", None]
    with pytest.raises(DataError, match=r"no such column. It has: 'text'"):
        list(read_records(path, {"text": "body"}))


@pytest.mark.parametrize(
    ("line", "ending"),
    [("so good\t1", ".tsv"), ("so good;joy", ".csv"), ("a|b", ".csv"), ('{"text": "a"}', ".jsonl")],
)
def test_a_table_that_is_called_plain_text_is_refused(
    tmp_path: Path, line: str, ending: str
) -> None:
    path = save(tmp_path / "a.txt", f"{line}\n" * 6)
    with pytest.raises(DataError, match=rf"rows of a table\. Save it as \{ending}"):
        list(read_records(path, {"text": "text"}))
    assert len(list(read_records(save(path, f"{line}\n" * 6 + "more, or not: a text\n"), {}))) == 7


def test_lines_that_end_by_cr_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="by CR alone"):
        list(read_records(save(tmp_path / "a.txt", b"one\rtwo\rthree"), {"text": "text"}))


def test_format_of() -> None:
    names = ["a.csv", "a.CSV.GZ", "a.json", "a.jsonl.gz", "a.parquet", "a.parquet.gz", "csv", "a"]
    expected = ["csv", "csv", "json", "jsonl", "parquet", None, None, None]
    assert [format_of(Path(name)) for name in names] == expected


def test_reading_can_stop_early(tmp_path: Path) -> None:
    path = save(tmp_path / "a.csv", 'article,highlights\na,b\n"never closed')
    assert next(read_records(path, COLUMNS)) == row(1, "a", "b")


def damaged(data: bytes) -> dict[str, bytes]:
    whole = gzip.compress(data)
    return {
        "checksum": whole[:-8] + bytes(4) + whole[-4:],
        "length": whole[:-4] + bytes(4),
        "trailing bytes": whole + b"garbage",
    }


@pytest.mark.parametrize("what", ["checksum", "length", "trailing bytes"])
def test_a_damaged_gzip_file_is_named_however_few_rows_are_taken(tmp_path: Path, what: str) -> None:
    rows = [{"article": f"text {number}", "highlights": "x"} for number in range(9)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(damaged(lines.encode())[what])
    assert f"{path} is not a whole gzip file" in message(path)

    task = TaskOptions(
        kind="summarize",
        source={"train": str(path), "validation": str(path), "test": str(path)},
        examples=ExamplesOptions(train=2),
    )
    source = open_source(task, COLUMNS, root=tmp_path)
    with pytest.raises(DataError, match="is not a whole gzip file"):
        take_rows(task, COLUMNS, source, "train", lambda record: Example(text="x", target_spans=()))
