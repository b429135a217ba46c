from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets
import pytest

from bakeoff.data.options import ExamplesOptions, SplitShares, TaskOptions
from bakeoff.data.readers import OptionalColumn, Record
from bakeoff.data.sources import UNREAD, WIRE_EXAMPLES, Source, open_source, split_by_hash
from bakeoff.errors import ConfigError, DataError
from bakeoff.types import SPLITS, Split

ROW = {"document": "a storm", "summary": "storm"}
COLUMNS = {"document": "document", "summary": "summary"}
KAGGLE = {"document": "article", "summary": "highlights"}


def options(source: Any, **changes: Any) -> TaskOptions:
    return TaskOptions(kind="test", source=source, **changes)


def opened(task: TaskOptions, root: Path, **columns: str) -> Source:
    return open_source(task, {**COLUMNS, **columns}, root=root)


def lines(*rows: dict[str, str]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def fill(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        text = lines({"document": f"document of {name}", "summary": "storm"})
        if name.endswith(".gz"):
            (folder / name).write_bytes(gzip.compress(text.encode()))
        else:
            (folder / name).write_text(text)


def documents(task: TaskOptions, root: Path, split: Split) -> list[object]:
    return [record.values["document"] for record in opened(task, root).records(split)]


# Local files


@pytest.mark.parametrize("name", ["validation", "valid", "val", "dev", "Validation"])
def test_a_folder_with_split_files(tmp_path: Path, name: str) -> None:
    names = ("train.jsonl", f"{name}.jsonl.gz", "test.jsonl")
    fill(tmp_path / "data", *names, "readme.txt", "labels.md")
    task = options("data")
    assert [documents(task, tmp_path, split) for split in SPLITS] == [
        [f"document of {name}"] for name in names
    ]


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        (["train.csv", "val.csv"], "none for test. The folder holds: train.csv, val.csv. Hold out"),
        (["train.csv", "val.csv", "dev.csv", "test.csv"], "found dev.csv, val.csv"),
        (["train.csv", "train.json", "val.csv", "test.csv"], "found train.csv, train.json"),
        (["everything.csv"], "for train"),
        ([], "no data files"),
    ],
)
def test_a_folder_that_is_not_clear_lists_what_it_holds(
    tmp_path: Path, names: list[str], wrong: str
) -> None:
    fill(tmp_path / "data", *names)
    with pytest.raises(DataError) as caught:
        opened(options("data"), tmp_path)
    assert wrong in str(caught.value)
    assert all(name in str(caught.value) for name in names)


def test_named_files(tmp_path: Path) -> None:
    fill(tmp_path, "one.jsonl", "two.jsonl", "three.jsonl")
    source = {
        "train": "one.jsonl",
        "validation": str(tmp_path / "two.jsonl"),
        "test": "three.jsonl",
    }
    assert documents(options(source), tmp_path, "validation") == ["document of two.jsonl"]
    with pytest.raises(DataError, match=r"task\.source\.test is 'none\.csv'"):
        opened(options({**source, "test": "none.csv"}), tmp_path)


@pytest.mark.parametrize("name", ["none.csv", "./none", "a/b/c", "/none", "none/"])
def test_a_path_that_is_not_there_is_not_sought_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(datasets, "load_dataset", lambda *_: pytest.fail("asked the hub"))
    with pytest.raises(DataError, match="no file or folder"):
        opened(options(name), tmp_path)


def test_a_folder_called_wire_needs_a_path(tmp_path: Path) -> None:
    fill(tmp_path / "wire", "train.jsonl", "val.jsonl", "test.jsonl")
    assert documents(options("./wire"), tmp_path, "train") == ["document of train.jsonl"]
    assert documents(options("wire"), tmp_path, "train") != ["document of train.jsonl"]


@pytest.mark.parametrize("source", ["wire", "data", "data/test.jsonl"])
def test_config_belongs_to_the_hub(tmp_path: Path, source: str) -> None:
    fill(tmp_path / "data", "train.jsonl", "val.jsonl", "test.jsonl")
    with pytest.raises(ConfigError, match=r"task\.config is '3\.0\.0'"):
        opened(options(source, config="3.0.0"), tmp_path)


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    fill(tmp_path / "data", "train.jsonl", "val.jsonl", "test.jsonl")
    task = options("data")
    before = opened(task, tmp_path).fingerprint()
    assert opened(task, tmp_path).fingerprint() == before
    (tmp_path / "data").rename(tmp_path / "moved")
    assert opened(options("moved"), tmp_path).fingerprint() == before
    (tmp_path / "moved" / "val.jsonl").write_text(lines(ROW))
    assert opened(options("moved"), tmp_path).fingerprint() != before


# One file, split by hash


def test_columns_that_only_a_metric_reads_do_not_move_rows(tmp_path: Path) -> None:
    """The same inputs stay in one split, whatever else their rows hold."""
    rows = [
        {"document": f"document {i // 2}", "summary": "storm", "tests": f"number {i}"}
        for i in range(64)
    ]
    (tmp_path / "all.jsonl").write_text(lines(*rows))
    task = options("all.jsonl")
    columns: dict[str, str] = {**COLUMNS, f"{UNREAD}tests)": OptionalColumn("tests")}
    source = open_source(task, columns, root=tmp_path)
    for split in SPLITS:
        found = [record.values for record in source.records(split)]
        assert found and all(str(values["tests"]).startswith("number") for values in found)
        assert [values["document"] for values in found] == documents(task, tmp_path, split)


def test_one_file_is_split_by_its_documents(tmp_path: Path) -> None:
    rows = [{"document": f"Storm {i % 500}", "summary": f"s {i}"} for i in range(1000)]
    (tmp_path / "all.jsonl").write_text(lines(*rows))
    shares = SplitShares(validation=0.2, test=0.1)
    source = opened(options("all.jsonl", split_by_hash=shares), tmp_path)
    found = {split: list(source.records(split)) for split in SPLITS}
    numbers = sorted(record.row for records in found.values() for record in records)
    assert numbers == list(range(1, 1001))
    texts = {split: {record.values["document"] for record in found[split]} for split in SPLITS}
    assert not texts["train"] & texts["test"]
    assert not texts["train"] & texts["validation"]
    assert not texts["validation"] & texts["test"]
    assert 150 <= len(found["validation"]) <= 250
    assert 60 <= len(found["test"]) <= 140
    assert list(source.records("test")) == found["test"]


def test_rows_of_a_group_stay_together(tmp_path: Path) -> None:
    rows = [{"document": f"Storm {i}", "summary": "s", "case": f"c {i % 50}"} for i in range(500)]
    (tmp_path / "all.jsonl").write_text(lines(*rows))
    source = opened(options("all.jsonl", group="case"), tmp_path, group="case")
    groups = [{record.values["case"] for record in source.records(split)} for split in SPLITS]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 50
    assert all(groups)


def test_a_row_keeps_its_split() -> None:
    # Golden: a change here moves rows between the splits of everybody's data.
    shares = SplitShares(validation=0.25, test=0.25)
    places = [split_by_hash(f"document {i}", shares) for i in range(32)]
    letters = {"train": "t", "validation": "v", "test": "e"}
    assert "".join(letters[place] for place in places) == "etveteteeettettttvtvteettvttveet"
    assert split_by_hash("A storm", SplitShares()) == split_by_hash(" a\nSTORM ", SplitShares())
    assert split_by_hash(None, SplitShares()) == split_by_hash("", SplitShares())


def test_rows_without_what_they_may_lack_are_in_every_split(tmp_path: Path) -> None:
    """Without what they must have they are in train, which reports them."""
    lines = [json.dumps({"asked": f"Say {i}", "said": "yes"}) for i in range(100)]
    (tmp_path / "all.jsonl").write_text("\n".join([*lines, '{"said": "no"}']), encoding="utf-8")
    columns = {"asked": "asked", "more": OptionalColumn("more"), "said": "said"}
    shares = SplitShares(validation=0.2, test=0.2)
    source = open_source(options("all.jsonl", split_by_hash=shares), columns, root=tmp_path)
    counts = {split: len(list(source.records(split))) for split in SPLITS}
    assert sum(counts.values()) == 101 and min(counts.values()) > 10
    assert [r.row for r in source.records("train") if r.values["asked"] is None] == [101]


def test_a_row_without_a_document_is_reported_with_train(tmp_path: Path) -> None:
    (tmp_path / "all.jsonl").write_text(lines(ROW, {"summary": "s"}))
    source = opened(options("all.jsonl"), tmp_path)
    assert Record(2, {"document": None, "summary": "s"}) in list(source.records("train"))


# wire


def test_wire_makes_what_is_asked_for(tmp_path: Path) -> None:
    task = options("wire", examples=ExamplesOptions(train=3, test=2))
    source = opened(task, tmp_path, label="desk")
    records = list(source.records("train"))
    assert [record.row for record in records] == [1, 2, 3]
    assert [list(record.values) for record in records] == [["document", "summary", "desk"]] * 3
    assert all(isinstance(value, str) and value for r in records for value in r.values.values())
    assert len(list(source.records("validation"))) == WIRE_EXAMPLES["validation"]
    assert len(list(source.records("test"))) == 2


def test_wire_s_fingerprint_follows_seed_and_counts(tmp_path: Path) -> None:
    def fingerprint(**changes: Any) -> list[str]:
        return opened(options("wire", **changes), tmp_path).fingerprint()

    assert fingerprint() == fingerprint()
    assert fingerprint() != fingerprint(seed=1)
    assert fingerprint() != fingerprint(examples=ExamplesOptions(train=3))


def test_wire_s_columns_have_names_of_their_own(tmp_path: Path) -> None:
    opened(options("wire"), tmp_path, **KAGGLE)
    with pytest.raises(ConfigError, match=r"task\.document is 'body'"):
        opened(options("wire"), tmp_path, document="body")


def test_sources_know_all_columns_of_their_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "data", "val.jsonl", "test.jsonl")
    (tmp_path / "data/train.jsonl").write_text(lines({**ROW, "id": "7"}))
    expected = ["document", "summary", "id"]
    assert opened(options("data"), tmp_path).column_names() == expected
    assert opened(options("data/train.jsonl"), tmp_path).column_names() == expected
    assert {"article", "highlights", "desk"} <= set(
        opened(options("wire"), tmp_path).column_names()
    )
    row = {**ROW, "id": "7"}
    on_hub(monkeypatch, train=[row], validation=[row], test=[row])
    assert opened(options("some/set"), tmp_path).column_names() == expected


# The Hub


def on_hub(monkeypatch: pytest.MonkeyPatch, **splits: list[dict[str, Any]]) -> list[Any]:
    asked: list[Any] = []

    def load_dataset(*args: Any, **kwargs: Any) -> datasets.DatasetDict:
        asked.append((args, kwargs))
        return datasets.DatasetDict(
            {name: datasets.Dataset.from_list(rows) for name, rows in splits.items()}
        )

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def test_a_hub_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"article": "a", "highlights": "b", "id": "x"}
    asked = on_hub(monkeypatch, train=[row, {**row, "article": None}], dev=[row], test=[row])
    source = opened(options("abisee/cnn_dailymail", config="3.0.0"), tmp_path, **KAGGLE)
    assert asked == [(("abisee/cnn_dailymail", "3.0.0"), {})]
    assert list(source.records("train")) == [
        Record(1, {"article": "a", "highlights": "b"}),
        Record(2, {"article": None, "highlights": "b"}),
    ]
    assert list(source.records("validation")) == [Record(1, {"article": "a", "highlights": "b"})]
    assert source.fingerprint() == source.fingerprint()


def test_decimals_of_a_hub_data_set_are_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"article": Decimal("7.00"), "highlights": "b", "id": "x"}
    on_hub(monkeypatch, train=[row], dev=[row], test=[row])
    [record] = opened(options("some/set"), tmp_path, **KAGGLE).records("train")
    assert repr(record.values["article"]) == "7"


def test_numbers_of_few_bits_of_a_hub_data_set_have_few_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = datasets.Features(
        {
            "article": datasets.Value("float32"),
            "highlights": datasets.Array2D((1, 1), "float32"),  # a type of Datasets' own
        }
    )
    rows = datasets.Dataset.from_list([{"article": 2.8, "highlights": [[1.5]]}], features=features)
    loaded = datasets.DatasetDict(dict.fromkeys(SPLITS, rows))
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: loaded)
    source = opened(options("some/set"), tmp_path, **KAGGLE)
    assert list(source.records("train")) == [Record(1, {"article": 2.8, "highlights": [[1.5]]})]


def test_a_hub_data_set_of_one_split_is_split_by_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_hub(monkeypatch, train=[{"document": f"d {i}", "summary": "s"} for i in range(100)])
    source = opened(options("some/set"), tmp_path)
    sizes = [len(list(source.records(split))) for split in SPLITS]
    assert sum(sizes) == 100
    assert min(sizes) > 0


def test_a_hub_data_set_that_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_hub(monkeypatch, train=[ROW], validation=[ROW])
    with pytest.raises(DataError, match="and no test"):
        opened(options("some/set"), tmp_path)
    on_hub(monkeypatch, train=[ROW], validation=[ROW], test=[ROW], extra=[{"other": "x"}])
    with pytest.raises(DataError, match=r"task\.summary is 'title'.*'document', 'summary'"):
        opened(options("some/set"), tmp_path, summary="title")
    opened(options("some/set"), tmp_path)


def test_without_network_the_error_says_what_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_dataset(*_: Any) -> None:
        raise ConnectionError("Couldn't reach the Hub\nand more")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(DataError) as caught:
        opened(options("some/set", config="2"), tmp_path)
    text = str(caught.value)
    assert "'some/set'" in text
    assert str(tmp_path / "some" / "set") in text
    assert "Couldn't reach the Hub)" in text
    assert "`wire` work without network" in text
