"""Several files, patterns, folders of shards and saved data sets, and splits that are missing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bakeoff.data.options import SplitShares, TaskOptions
from bakeoff.data.readers import OptionalColumn, Record
from bakeoff.data.rows import take_rows
from bakeoff.data.sources import (
    UNREAD,
    Source,
    digests_of,
    in_natural_order,
    is_whole,
    notes_of,
    open_source,
    open_test_source,
    split_by_hash,
)
from bakeoff.errors import ConfigError, DataError
from bakeoff.types import SPLITS, Split

COLUMNS = {"document": "document", "summary": "summary"}
Row = dict[str, Any]


def options(source: Any, **changes: Any) -> TaskOptions:
    task = TaskOptions(kind="test", source=source, **changes)
    task.validate()
    return task


def opened(root: Path, source: Any, columns: dict[str, str] = COLUMNS, **changes: Any) -> Source:
    return open_source(options(source, **changes), columns, root=root)


def rows_of(name: str, count: int = 2) -> list[Row]:
    return [{"document": f"{name} {i}", "summary": "s"} for i in range(1, count + 1)]


def fill(folder: Path, *names: str, count: int = 2) -> None:
    for name in names:
        save(folder / name, rows_of(name, count))


def save(path: Path, rows: Sequence[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    elif path.suffix == ".csv":
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def documents(source: Source, split: Split) -> list[object]:
    return [record.values["document"] for record in source.records(split)]


def everything(source: Source) -> list[Record]:
    return sorted((r for s in SPLITS for r in source.records(s)), key=lambda record: record.row)


def refused(root: Path, source: Any, **changes: Any) -> str:
    with pytest.raises(DataError) as caught:
        found = opened(root, source, **changes)
        for split in SPLITS:
            list(found.records(split))
    return str(caught.value)


# Patterns and lists


def test_a_pattern_is_one_table_in_natural_order(tmp_path: Path) -> None:
    fill(tmp_path, "data/p10.jsonl", "data/p2.jsonl", "data/p1.csv", "data/readme.md")
    source = opened(tmp_path, "data/p*")
    assert is_whole(source)
    records = everything(source)
    assert [record.name for record in records] == [
        *("row 1 of p1.csv", "row 2 of p1.csv", "row 1 of p2.jsonl", "row 2 of p2.jsonl"),
        *("row 1 of p10.jsonl", "row 2 of p10.jsonl"),
    ]
    assert [record.row for record in records] == [1, 2, 3, 4, 5, 6]
    assert source.column_names() == ["document", "summary"]


def test_several_files_are_split_as_one_of_the_same_rows(tmp_path: Path) -> None:
    rows = [{"document": f"d {i}", "summary": "s"} for i in range(60)]
    save(tmp_path / "all.jsonl", rows)
    save(tmp_path / "b.jsonl", rows[20:])
    save(tmp_path / "a.jsonl", rows[:20])
    one, many = opened(tmp_path, "all.jsonl"), opened(tmp_path, ["a.jsonl", "b.jsonl"])
    for split in SPLITS:
        assert documents(one, split) == documents(many, split)
    assert many.place("train") == f"{tmp_path}/a.jsonl and 1 more file (train, split by hash)"
    assert one.fingerprint() != many.fingerprint()
    assert many.fingerprint() == opened(tmp_path, ["a.jsonl", "b.jsonl"]).fingerprint()
    assert many.fingerprint() != opened(tmp_path, ["b.jsonl", "a.jsonl"]).fingerprint()


def test_splits_may_have_lists_and_patterns(tmp_path: Path) -> None:
    fill(tmp_path, "a.jsonl", "b.csv", "v.jsonl", "test-2.jsonl", "test-10.jsonl")
    source = opened(
        tmp_path,
        {"train": ["b.csv", "a.jsonl"], "validation": "v.jsonl", "test": "test-*.jsonl"},
    )
    assert documents(source, "train") == ["b.csv 1", "b.csv 2", "a.jsonl 1", "a.jsonl 2"]
    assert documents(source, "test")[0] == "test-2.jsonl 1"
    assert len(source.fingerprint()) == 5 + 2 + 5
    assert source.place("validation") == str(tmp_path / "v.jsonl")


def test_rows_moved_between_splits_are_other_data(tmp_path: Path) -> None:
    fill(tmp_path, "a.jsonl", "b.jsonl", "c.jsonl", "t.jsonl")
    sources = [
        {"train": ["a.jsonl", "b.jsonl"], "validation": "c.jsonl", "test": "t.jsonl"},
        {"train": "a.jsonl", "validation": ["b.jsonl", "c.jsonl"], "test": "t.jsonl"},
        {"train": ["a.jsonl", "b.jsonl", "c.jsonl"], "test": "t.jsonl"},
        ["a.jsonl", "b.jsonl", "c.jsonl", "t.jsonl"],
    ]
    found = {tuple(opened(tmp_path, source).fingerprint()) for source in sources}
    assert len(found) == len(sources)


def test_a_file_may_be_called_as_a_pattern(tmp_path: Path) -> None:
    fill(tmp_path, "a[1].jsonl", "a1.jsonl")
    assert opened(tmp_path, "a[1].jsonl").place("test").startswith(f"{tmp_path}/a[1].jsonl (")
    (tmp_path / "a[1].jsonl").unlink()
    assert opened(tmp_path, "a[1].jsonl").place("test").startswith(f"{tmp_path}/a1.jsonl (")


def test_a_folder_s_own_name_is_no_pattern(tmp_path: Path) -> None:
    fill(tmp_path / "data [v2]", "a.jsonl", "b.jsonl")
    assert len(everything(opened(tmp_path / "data [v2]", "*.jsonl"))) == 4
    assert len(everything(opened(tmp_path, "data [[]v2]/*.jsonl"))) == 4


def test_links_go_by_their_own_name(tmp_path: Path) -> None:
    fill(tmp_path, "blobs/0a1b")
    (tmp_path / "rows.jsonl").symlink_to(tmp_path / "blobs/0a1b")
    assert len(everything(opened(tmp_path, "rows.jsonl"))) == 2
    (tmp_path / "blobs/0a1b").rename(tmp_path / "blobs/export.txt")
    (tmp_path / "more.jsonl").symlink_to(tmp_path / "blobs/export.txt")
    assert len(everything(opened(tmp_path, "more.jsonl"))) == 2
    (tmp_path / "blobs/export.txt").rename(tmp_path / "blobs/0a1b")
    assert len(everything(opened(tmp_path, "*.jsonl"))) == 2


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        (
            "data/*.csv",
            ["task.source is 'data/*.csv'", "no file matches", "a.jsonl, b.md, c.txt, sub/"],
        ),
        ("none/*.csv", ["no file matches", "There is no folder"]),
        ("data/[ac]*", ["a.jsonl and the plain text", "c.txt, which is a note"]),
        ("data/b*", ["b.md, which is of no known kind", "Let the pattern end"]),
        (["data/a.jsonl", "x.csv"], ["task.source[1] is 'x.csv': there is no file"]),
        (["data/a.jsonl", "data/*.jsonl"], ["task.source[1]", "named twice"]),
        (["data/a.jsonl", "data"], ["task.source[1]", "is a folder", "data/*.jsonl"]),
        (["data/a.jsonl", "-"], ["task.source[1] is '-'", "standard input is one table"]),
        ({"train": ["data/a.jsonl", "y"], "test": "z"}, ["task.source.train[1] is 'y'"]),
        ({"train": "data/a.jsonl", "test": "z*"}, ["task.source.test is 'z*': no file matches"]),
        ("-", ["task.source is '-'", "read once"]),
    ],
)
def test_names_that_lead_nowhere(tmp_path: Path, source: Any, parts: list[str]) -> None:
    fill(tmp_path, "data/a.jsonl", "data/b.md", "data/c.txt", "data/sub/c.jsonl")
    text = refused(tmp_path, source)
    for part in parts:
        assert part in text


@pytest.mark.parametrize(
    "source", [[], [""], ["a", " "], {"train": [], "test": "a"}, {"test": "a"}, {"train": "a"}]
)
def test_sources_that_name_nothing(source: Any) -> None:
    with pytest.raises(ConfigError, match=r"task\.source"):
        options(source)


def test_config_belongs_to_the_hub(tmp_path: Path) -> None:
    fill(tmp_path, "a.jsonl")
    for source in (["a.jsonl"], "*.jsonl"):
        with pytest.raises(ConfigError, match=r"task\.config is 'x'"):
            opened(tmp_path, source, config="x")


# What is wrong in one of several files


def test_a_bad_row_is_named_by_its_file(tmp_path: Path) -> None:
    fill(tmp_path, "a.jsonl")
    (tmp_path / "b.jsonl").write_text('{"document": "x", "summary": "y"}\nno JSON\n[1]\n')
    source = {"train": ["a.jsonl", "b.jsonl"], "validation": "a.jsonl", "test": "a.jsonl"}
    task = options(source)
    with pytest.raises(DataError) as caught:
        take_rows(task, COLUMNS, open_source(task, COLUMNS, root=tmp_path), "train", lambda r: r)  # type: ignore[arg-type,return-value]
    text = str(caught.value)
    assert "row 2 of b.jsonl, row 3 of b.jsonl (2 in all); in row 2 of b.jsonl it is not" in text


def test_files_of_equal_names_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    fill(tmp_path, "x/a.jsonl", "y/a.jsonl")
    names = [record.name for record in everything(opened(tmp_path, "*/a.jsonl"))]
    assert names[::2] == ["row 1 of x/a.jsonl", "row 1 of y/a.jsonl"]


def test_tables_of_different_columns_are_refused_by_both_names(tmp_path: Path) -> None:
    save(tmp_path / "a.csv", rows_of("a"))
    save(tmp_path / "b.parquet", [{"document": "x", "summary": "y", "id": 1}])
    text = refused(tmp_path, ["a.csv", "b.parquet"])
    assert f"{tmp_path}/a.csv and {tmp_path}/b.parquet have different columns" in text
    assert "only the former has none, only the latter 'id'" in text
    save(tmp_path / "c.csv", [{"summary": "y", "document": "x"}])
    assert len(everything(opened(tmp_path, ["a.csv", "c.csv"]))) == 3  # the order does not matter


def test_json_that_lacks_a_column_names_the_file_that_has_it(tmp_path: Path) -> None:
    fill(tmp_path, "a.jsonl")
    save(tmp_path / "b.jsonl", [{"Document": "x", "summary": "y"}])
    text = refused(tmp_path, ["a.jsonl", "b.jsonl"])
    assert f"{tmp_path}/b.jsonl has no such column; did you mean 'Document'?" in text
    assert f"{tmp_path}/a.jsonl, which is read before it, has it" in text


def test_a_torn_file_among_several_is_named(tmp_path: Path) -> None:
    fill(tmp_path, "a.jsonl")
    (tmp_path / "b.jsonl.gz").write_bytes(b"no gzip")
    assert f"{tmp_path}/b.jsonl.gz is not a whole gzip file" in refused(tmp_path, "*.jsonl*")


# Folders


@pytest.mark.parametrize(
    "names",
    [
        ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"],
        ["train-1.jsonl", "train-2.jsonl"],
        ["train_a.jsonl", "train_b.jsonl"],
        ["train.1.jsonl", "train.2.jsonl"],
        ["train/x2.jsonl", "train/x10.jsonl"],
        ["data/train/x2.jsonl", "data/train/x10.jsonl"],
        ["train-00000-of-00002-0a1b2c.parquet", "train-00001-of-00002-99ff.parquet"],
    ],
)
def test_folders_of_shards(tmp_path: Path, names: list[str]) -> None:
    others = [name.replace("train", split) for split in ("dev", "test") for name in names]
    fill(tmp_path / "set", *names, *others, ".hidden.jsonl", "readme.md", "_tmp/train.jsonl")
    source = opened(tmp_path, "set")
    assert documents(source, "train") == [f"{name} {i}" for name in names for i in (1, 2)]
    assert len(documents(source, "validation")) == len(documents(source, "test")) == 4
    assert notes_of(source) == []
    test = open_test_source(options("set"), COLUMNS, root=tmp_path)
    assert documents(test, "train") == documents(source, "test")


def test_a_split_s_own_file_wins_over_what_is_called_like_it(tmp_path: Path) -> None:
    fill(tmp_path, "train.jsonl", "train-old.jsonl", "val.jsonl", "test.jsonl", "test_labels.csv")
    source = opened(tmp_path.parent, tmp_path.name)
    assert documents(source, "train") == ["train.jsonl 1", "train.jsonl 2"]
    assert documents(source, "test") == ["test.jsonl 1", "test.jsonl 2"]


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (["train-00000-of-00002.jsonl", "test.jsonl"], "has not each shard of 2 once"),
        (
            ["train-00000-of-00001.jsonl", "train-00000-of-00002.jsonl", "test.jsonl"],
            "has not each shard of 2 once",
        ),
        (["train-1.jsonl", "train-2.csv", "test.jsonl"], "files of several formats"),
        (["val/a.jsonl", "dev/a.jsonl", "train/a.jsonl", "test/a.jsonl"], "2 folders for valid"),
        (["train.jsonl", "val.jsonl"], "it has none for test. The folder holds"),
        (["val.jsonl", "test.jsonl"], "it has none for train"),
        (["a/b.jsonl"], "no data files"),
    ],
)
def test_folders_that_are_not_clear(tmp_path: Path, names: list[str], part: str) -> None:
    fill(tmp_path / "set", *names)
    assert part in refused(tmp_path, "set")


def saved(rows: list[Row]) -> datasets.Dataset:
    return datasets.Dataset.from_list(rows)


def test_a_saved_data_set_is_one_table(tmp_path: Path) -> None:
    saved(rows_of("d", 50)).save_to_disk(str(tmp_path / "set"), num_shards=3)
    source = opened(tmp_path, "set")
    assert is_whole(source)
    assert [record.values["document"] for record in everything(source)] == [
        f"d {i}" for i in range(1, 51)
    ]
    assert source.column_names() == ["document", "summary"]


def test_saved_splits(tmp_path: Path) -> None:
    by_split = {name: saved(rows_of(name, 4)) for name in ("train", "validation", "test", "more")}
    datasets.DatasetDict(by_split).save_to_disk(
        str(tmp_path / "set"), num_shards={"train": 2, "validation": 1, "test": 1, "more": 1}
    )
    source = opened(tmp_path, "set")
    assert [documents(source, split) for split in SPLITS] == [
        [f"{split} {i}" for i in range(1, 5)] for split in SPLITS
    ]
    datasets.DatasetDict({"train": saved(rows_of("t", 9))}).save_to_disk(str(tmp_path / "one"))
    assert is_whole(opened(tmp_path, "one"))


def test_a_saved_data_set_that_is_torn_or_leaves_its_folder(tmp_path: Path) -> None:
    fill(tmp_path, "secret.jsonl")
    saved(rows_of("d", 50)).save_to_disk(str(tmp_path / "set"))
    state = tmp_path / "set/state.json"
    whole = json.loads(state.read_text())
    for names, part in (
        (["../secret.jsonl"], "no list of files of this folder"),
        ([str(tmp_path / "secret.jsonl")], "no list of files of this folder"),
        ([], "no list of files of this folder"),
        (["none.arrow"], "it names none.arrow, which is not there"),
    ):
        state.write_text(json.dumps({**whole, "_data_files": [{"filename": n} for n in names]}))
        text = refused(tmp_path, "set")
        assert part in text
        assert "state.json" in text
    state.write_text("{")
    assert "Save the data set again" in refused(tmp_path, "set")
    (tmp_path / "set/dataset_dict.json").write_text('{"splits": ["../set"]}')
    assert "its splits are no list of names" in refused(tmp_path, "set")


# A missing validation set


def test_rows_of_train_are_held_out_where_validation_is_missing(tmp_path: Path) -> None:
    rows = [{"document": f"Storm {i}", "summary": "s"} for i in range(400)]
    save(tmp_path / "set/train.jsonl", rows)
    fill(tmp_path / "set", "test.jsonl")
    shares = SplitShares(validation=0.2, test=0.7)  # of which only the former counts
    source = opened(tmp_path, "set", split_by_hash=shares)
    train, held = documents(source, "train"), documents(source, "validation")
    assert not set(train) & set(held)
    assert len(train) + len(held) == 400
    assert held == [
        row["document"]
        for row in rows
        if split_by_hash(row["document"], SplitShares(validation=0.2, test=0.0)) == "validation"
    ]
    assert 50 < len(held) < 110
    assert documents(source, "test") == ["test.jsonl 1", "test.jsonl 2"]
    [note] = notes_of(source)
    assert "There is no validation set, so about 20% of the rows of" in note
    assert "hash of each input (task.split_by_hash.validation)" in note
    named = opened(
        tmp_path,
        {"train": "set/train.jsonl", "test": "set/test.jsonl"},
        split_by_hash=shares,
    )
    assert documents(named, "validation") == held


def test_rows_that_are_held_out_keep_groups_together(tmp_path: Path) -> None:
    rows = [{"document": f"d {i}", "summary": "s", "case": f"c {i % 40}"} for i in range(400)]
    save(tmp_path / "set/train.jsonl", rows)
    save(tmp_path / "set/test.jsonl", rows[:1])
    columns = {**COLUMNS, "group": "case"}
    source = opened(tmp_path, "set", columns, group="case")
    groups = [{r.values["case"] for r in source.records(s)} for s in ("train", "validation")]
    assert not groups[0] & groups[1]
    assert groups[1] and len(groups[0] | groups[1]) == 40
    assert "by a hash of each group" in notes_of(source)[0]


def test_columns_that_are_only_kept_do_not_move_rows(tmp_path: Path) -> None:
    rows = [{"document": f"d {i}", "summary": "s", "id": f"{i * i}"} for i in range(200)]
    save(tmp_path / "set/train.jsonl", rows)
    save(tmp_path / "set/test.jsonl", rows[:1])
    source = opened(tmp_path, "set")
    with_all = opened(tmp_path, "set", {**COLUMNS, f"{UNREAD}id)": OptionalColumn("id")})
    assert documents(with_all, "validation") == documents(source, "validation")


def test_a_hub_data_set_without_validation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"train": saved(rows_of("t", 100)), "test": saved(rows_of("e", 3))}
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: datasets.DatasetDict(found))
    source = opened(tmp_path, "some/set")
    held = documents(source, "validation")
    assert held and len(held) + len(documents(source, "train")) == 100
    assert documents(source, "test") == ["e 1", "e 2", "e 3"]
    assert "rows of some/set, train are held out" in notes_of(source)[0]
    test = open_test_source(options("some/set"), COLUMNS, root=tmp_path)
    assert documents(test, "test") == ["e 1", "e 2", "e 3"]


# Equal files, and order


def test_equal_files_have_equal_digests(tmp_path: Path) -> None:
    fill(tmp_path, "train.jsonl", "val.jsonl")
    (tmp_path / "test.jsonl").write_bytes((tmp_path / "val.jsonl").read_bytes())
    source = opened(tmp_path.parent, tmp_path.name)
    train, validation, test = (digests_of(source, split) for split in SPLITS)
    assert validation == test != train
    assert len(train) == 1
    assert digests_of(opened(tmp_path, "train.jsonl"), "train") == ()
    assert digests_of(opened(tmp_path, "wire"), "train") == ()


def test_natural_order() -> None:
    names = ["p10", "p9", "p1-2", "p1", "q", "2", "10", "P3"]
    assert [p.name for p in in_natural_order(map(Path, names))] == [
        *("2", "10", "P3", "p1", "p1-2", "p9", "p10", "q")
    ]


def test_a_further_test_set_of_several_files(tmp_path: Path) -> None:
    fill(tmp_path, "a.jsonl", "b.jsonl")
    source = open_test_source(options(["b.jsonl", "a.jsonl"]), COLUMNS, root=tmp_path)
    assert documents(source, "test") == documents(source, "train")
    assert [record.name for record in source.records("test")][2] == "row 1 of a.jsonl"
    fill(tmp_path, "set/train.jsonl")
    with pytest.raises(DataError, match="none for test"):
        open_test_source(options("set"), COLUMNS, root=tmp_path)
