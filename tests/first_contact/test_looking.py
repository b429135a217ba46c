"""What is looked at, and what cannot be: each error names place, rule and remedy."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bakeoff.errors import DataError
from bakeoff.first_contact.looking import look_at
from bakeoff.first_contact.names import name_of
from bakeoff.tasks.guess.guessing import guess_task

Row = dict[str, Any]


def rows(count: int, start: int = 0) -> list[Row]:
    return [
        {"text": f"the text of row {i} is here", "label": i % 2}
        for i in range(start, start + count)
    ]


def lines(found: list[Row]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in found).encode()


def test_a_file_is_read_whole_and_its_first_rows_kept(tmp_path: Path) -> None:
    file = tmp_path / "reviews.jsonl.gz"
    file.write_bytes(gzip.compress(lines(rows(50))))
    data = look_at(file, first=5)
    assert data.is_whole
    assert data.num_rows == data.table.num_rows == 50
    assert [column.name for column in data.table.columns] == ["text", "label"]
    assert data.first["train"].num_rows == 5
    assert data.first["train"].columns[0].values[0] == "the text of row 0 is here"


def test_rows_are_drawn_from_the_whole_of_a_large_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bakeoff.first_contact.looking._ROWS_KEPT", 40)
    file = tmp_path / "sorted.jsonl"
    file.write_bytes(lines([{"text": f"row {i}", "label": i // 200} for i in range(400)]))
    table = look_at(file, first=5).table
    assert table.num_rows == 40
    assert 10 < sum(value == 1 for value in table.columns[1].values) < 30


def test_a_folder_of_splits_keeps_them(tmp_path: Path) -> None:
    for start, split in enumerate(("train", "dev", "test")):
        (tmp_path / f"{split}.jsonl").write_bytes(lines(rows(20, 100 * start)))
    data = look_at(tmp_path, first=5)
    assert not data.is_whole
    assert dict(data.counts) == {"train": 20, "validation": 20, "test": 20}
    assert data.notes == ()


def test_the_only_file_of_a_folder_is_taken_and_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_bytes(lines(rows(40)))
    data = look_at(tmp_path, first=5)
    assert data.source == str(tmp_path / "test.jsonl")
    assert "holds one file, test.jsonl, which is split by a hash" in data.notes[0]


def test_a_folder_without_validation_holds_out_rows_of_train(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / f"{split}.jsonl").write_bytes(lines(rows(40)))
    data = look_at(tmp_path, first=5)
    assert data.source == str(tmp_path)
    assert not data.is_whole
    assert dict(data.counts) == {"train": 36, "validation": 4, "test": 40}


def test_a_folder_without_test_goes_by_its_training_files(tmp_path: Path) -> None:
    (tmp_path / "dev.jsonl").write_bytes(lines(rows(40)))
    for shard in (2, 10):
        (tmp_path / f"train-{shard}.jsonl").write_bytes(lines(rows(20, shard * 100)))
    data = look_at(tmp_path, first=1)
    assert data.source == [str(tmp_path / "train-2.jsonl"), str(tmp_path / "train-10.jsonl")]
    assert data.is_whole
    assert data.num_rows == 40
    assert "has no file for test, so train-2.jsonl, train-10.jsonl alone" in data.notes[0]
    assert "dev.jsonl is not read" in data.notes[0]


BAD: dict[str, tuple[bytes, str, list[str]]] = {
    "empty": (b"", "x.csv", ["is empty", "at least one row"]),
    "a header alone": (b"text,label\n", "x.csv", ["holds 0 usable rows", "10 at the very least"]),
    "one row": (b"text,label\na b c,1\n", "x.csv", ["holds 1 usable row.", "some hundred"]),
    "all missing": (
        lines([{"text": None, "label": None}] * 20),
        "x.jsonl",
        ["all values of all 20 rows are missing", "'text', 'label'"],
    ),
    "a title above the names": (
        b"Report of feedback,,\nid,text,label\n" + b"1,a b c,ok\n" * 20,
        "x.csv",
        ["its first row has nothing but 'Report of feedback'", "Remove the rows above"],
    ),
    "bars": (
        b"text|label\n" + b"a b|1\n" * 20,
        "x.csv",
        ["one column, 'text|label'", "Save it with commas"],
    ),
    "Latin-1": (
        b"text,label\n" + "Das Gerät läuft,1\n".encode("latin-1") * 20,
        "x.csv",
        ["20 of 20 rows are not UTF-8", "row 1", "iconv -f cp1252 -t utf-8"],
    ),
    "UTF-16": ("text,label\n".encode("utf-16"), "x.csv", ["is UTF-16"]),
    "no JSON": (b"a b c\n" * 20, "x.jsonl", ["holds 0 usable rows", "row 1", "not JSON"]),
    "lists in place of objects": (
        b'["The text", 0]\n' * 20,
        "x.jsonl",
        ["holds 0 usable rows", "row 1", "not an object but list"],
    ),
    "more fields than the header in most rows": (
        b"text,label\n" + b"a b, c,1\n" * 11 + b"a b c,1\n" * 10,
        "x.csv",
        ["11 of 21 rows do not have the columns of the header", "row 1, it has 3 fields", "quoted"],
    ),
    "a header in Latin-1": (
        "Erklärung;Größe\n".encode("latin-1") + b"the text of it;large\n" * 20,
        "x.csv",
        ["header is not UTF-8", "iconv -f cp1252 -t utf-8"],
    ),
    "an unknown ending": (b"a", "x.docx", ["is of no known kind"]),
    "a text": (b"a", "x.md", ["is of no known kind", 'one JSON line {"text": ...} for each']),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused(tmp_path: Path, name: str) -> None:
    content, file, parts = BAD[name]
    (tmp_path / file).write_bytes(content)
    with pytest.raises(DataError) as caught:
        look_at(tmp_path / file, first=5)
    for part in (file, *parts):
        assert part in str(caught.value)


def test_as_many_rows_of_the_header_s_columns_as_others_are_read(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_bytes(b"text,label\n" + b"a b, c,1\n" * 10 + b"a b c,1\n" * 10)
    assert look_at(file, first=5).num_bad == 10


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file or folder"):
        look_at(tmp_path / "none.csv", first=5)


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data files"):
        look_at(tmp_path, first=5)


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("reviews.csv", "reviews"),
        ("a/my data (2).jsonl.gz", "my-data-2"),
        ("a/v1.5/", "v1.5"),
        ("größe.csv", "gr-e"),
        ("日本.csv", "study"),
    ],
)
def test_a_study_is_called_after_its_data(place: str, name: str) -> None:
    assert name_of(place) == name


def test_a_split_s_file_is_called_after_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail/train.csv").touch()
    assert name_of(tmp_path / "mail/train.csv") == "mail"


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("The box was late and wet\tbad", True),
        ("5\tThe box was late and wet", True),
        ("bad\treview", False),  # a name that is also one of its labels
        ("review\tlabel", False),
    ],
)
def test_a_file_without_a_header_is_noticed(tmp_path: Path, header: str, says: bool) -> None:
    first = header.startswith(("5", "bad"))
    labels = ("5", "1") if header.startswith("5") else ("bad", "good")
    rows = [(labels[i % 2], f"The parcel {i} came late") for i in range(40)]
    file = tmp_path / "reviews.tsv"
    file.write_text(
        "\n".join([header, *("\t".join(r if first else r[::-1]) for r in rows)]) + "\n",
        encoding="utf-8",
    )
    notes = [note for note in look_at(file, first=5).notes if "seems to be data" in note]
    assert bool(notes) is says
    if says:
        assert "also stands in it 20 times" in notes[0]


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("The parcel 41 came late\tDas Paket 41 kam", True),
        ("en\tDas Paket 41 kam", False),
        ("What was said\tWhat was meant", False),
    ],
)
def test_texts_of_which_each_is_there_once_as_names(
    tmp_path: Path, header: str, says: bool
) -> None:
    file = tmp_path / "pairs.tsv"
    rows = [f"The parcel {i} came as late as ever\tDas Paket {i} kam sehr spät" for i in range(40)]
    if "What" in header:  # names of few words for texts of many
        rows = ["\t".join(f"{text} " * 3 for text in row.split("\t")) for row in rows]
    file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    notes = [note for note in look_at(file, first=5).notes if "seems to be data" in note]
    assert bool(notes) is says
    assert not says or notes[0].startswith("all columns have names like their values, such as 'The")


@pytest.mark.parametrize("header", [["", "review text"], ["text", ""], ["review text", None, ""]])
def test_a_column_of_its_own_beside_empty_ones_is_no_title(
    tmp_path: Path, header: list[str | None]
) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(header)
    for i in range(20):
        text = f"the text {i}"
        book.active.append(
            [i, text] if not header[0] else [text, i] if header[0] == "text" else [text]
        )
    book.save(tmp_path / "rows.xlsx")
    data = look_at(tmp_path / "rows.xlsx", first=5)
    assert [column.name for column in data.table.columns] == [name for name in header if name]


def test_a_title_in_a_sheet_is_refused(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["Report of feedback"], ["id", "text"], *([i, f"the text {i}"] for i in range(20))):
        book.active.append(row)
    book.save(tmp_path / "rows.xlsx")
    with pytest.raises(DataError, match="has nothing but 'Report of feedback'"):
        look_at(tmp_path / "rows.xlsx", first=5)


def test_a_folder_of_texts_says_what_to_write(tmp_path: Path) -> None:
    for name in ("a.md", "b.md", "c.pdf"):
        (tmp_path / name).write_text("words", encoding="utf-8")
    with pytest.raises(DataError, match=r"no data files, but 2 files ending in \.md.*one JSON"):
        look_at(tmp_path, first=5)


def test_plain_text_is_read_but_not_beside_tables(tmp_path: Path) -> None:
    for name in ("train.txt", "test.txt"):
        text = "\n\n".join(f"paragraph {i} of {name}" for i in range(20))
        (tmp_path / name).write_text(text, encoding="utf-8")
    looked = look_at(tmp_path, first=5)
    [column] = looked.first["train"].columns
    assert (column.name, column.values[0]) == ("text", "paragraph 0 of train.txt")
    assert looked.counts["train"] + looked.counts["validation"] == looked.counts["test"] == 20
    assert "each paragraph of train.txt is a row" in looked.notes
    (tmp_path / "train.txt").write_text("a\nb\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"each line of .*train\.txt.*not be alike"):
        look_at(tmp_path, first=5)
    for name in ("train.jsonl", "test.jsonl"):
        lines = (json.dumps({"body": f"row {i} of {name}"}) for i in range(20))
        (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
    assert [one.name for one in look_at(tmp_path, first=5).first["train"].columns] == ["body"]


def test_texts_in_folders_of_a_folder_are_found_too(tmp_path: Path) -> None:
    for name in ("train/pos/a.txt", "train/neg/b.txt", "test/pos/c.txt"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("words", encoding="utf-8")
    with pytest.raises(DataError, match=r"3 files ending in \.txt in folders of it.*one JSON line"):
        look_at(tmp_path, first=5)


@pytest.mark.parametrize("at", [3, 30])
def test_a_bad_line_is_counted_wherever_it_is(tmp_path: Path, at: int) -> None:
    found = rows(40)
    file = tmp_path / "x.jsonl"
    file.write_bytes(lines(found[:at]) + b"no JSON\n" + lines(found[at:]))
    data = look_at(file, first=5)
    assert (data.num_rows, data.num_bad) == (40, 1)
    assert [column.name for column in data.table.columns] == ["text", "label"]


def of_bytes(count: int, is_text: Callable[[int], bool]) -> pa.Array:
    """A column of bytes, of which some are texts."""
    return pa.array([b"ab" if is_text(i) else bytes([200, i % 256]) for i in range(count)])


def test_bytes_that_are_texts_are_read_as_such(tmp_path: Path) -> None:
    texts = [row["text"].encode() for row in rows(40)]
    file = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": pa.array(texts), "label": [i % 2 for i in range(40)]}), file)
    data = look_at(file, first=5)
    assert data.table.columns[0].values[0] == "the text of row 0 is here"
    assert guess_task(data.table).best.options == {"text": "text", "label": "label"}


@pytest.mark.parametrize("is_text", [lambda i: False, lambda i: i % 9 == 0, lambda i: i % 20 > 0])
def test_a_column_of_bytes_makes_no_row_bad_and_that_it_is_not_read_is_said(
    tmp_path: Path, is_text: Callable[[int], bool]
) -> None:
    file = tmp_path / "x.parquet"
    table = pa.Table.from_pylist(rows(40)).append_column("digest", of_bytes(40, is_text))
    pq.write_table(table, file)
    data = look_at(file, first=5)
    assert (data.num_rows, data.num_bad) == (40, 0)
    best = guess_task(data.table).best
    assert best.options == {"text": "text", "label": "label"}
    assert best.notes == (
        "'digest' holds bytes that are no text in UTF-8, which are not read; to have them read, "
        "write them as texts",
    )


def test_bytes_alone_are_refused_with_the_reason(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": of_bytes(40, lambda i: False)}), file)
    with pytest.raises(DataError, match="'text' holds bytes that are no text in UTF-8"):
        guess_task(look_at(file, first=5).table)


def test_a_row_of_bytes_among_many_texts_is_a_bad_row(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    texts = [row["text"].encode() for row in rows(300)]
    table = pa.table({"text": pa.array([*texts, b"\xff"]), "label": [i % 2 for i in range(301)]})
    pq.write_table(table, file)
    data = look_at(file, first=5)
    assert (data.num_rows, data.num_bad) == (300, 1)


def test_a_column_that_comes_late_is_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(lines(rows(120)) + lines([{**row, "input": "more"} for row in rows(60, 120)]))
    names = [column.name for column in look_at(file, first=5).table.columns]
    assert names == ["text", "label", "input"]


def test_a_column_without_a_name_is_not_looked_at(tmp_path: Path) -> None:
    # pandas writes its index so.
    file = tmp_path / "rows.csv"
    file.write_text(",text, \n" + "".join(f"{i},the text {i},{i % 2}\n" for i in range(20)))
    data = look_at(file, first=5)
    assert [column.name for column in data.table.columns] == ["text"]
