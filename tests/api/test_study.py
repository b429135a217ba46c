"""A study made in Python: its keys, its rows, and what is refused."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest

import bakeoff
from bakeoff.data.given import given_rows
from bakeoff.errors import ConfigError, DataError

COLUMNS = {"text": "words", "label": "side"}
ROWS = [{"words": f"text {i}", "side": ("left", "right")[i % 2], "more": i} for i in range(6)]
SPLITS = {"train": ROWS[:2], "validation": ROWS[2:4], "test": ROWS[4:]}


def study_of(source: Any, **changes: Any) -> bakeoff.Study:
    keys: dict[str, Any] = {
        "name": "sides",
        "base": "tiny",
        "task": {"kind": "classify", "source": source, **COLUMNS},
        "methods": {"lora": {"rank": 2}},
    }
    return bakeoff.Study(**{**keys, **changes})


def as_frames(rows: Mapping[str, list[dict[str, Any]]]) -> dict[str, pd.DataFrame]:
    return {split: pd.DataFrame(found) for split, found in rows.items()}


def as_data_sets(rows: Mapping[str, list[dict[str, Any]]]) -> datasets.DatasetDict:
    return datasets.DatasetDict({k: datasets.Dataset.from_list(v) for k, v in rows.items()})


@pytest.mark.parametrize("form", [dict, as_frames, as_data_sets])
def test_every_form_of_the_same_rows_is_the_same_source(form: Any) -> None:
    found = study_of(form(SPLITS)).rows
    expected = given_rows(SPLITS, COLUMNS)
    assert found == expected
    assert expected.name == "rows-84da8ed74e9486f1bea7facd5e066e3f"
    # Only what the task reads is kept.
    assert expected.files["train.jsonl"].splitlines() == [
        b'{"words": "text 0", "side": "left"}',
        b'{"words": "text 1", "side": "right"}',
    ]


@pytest.mark.parametrize(
    "table", [ROWS, pd.DataFrame(ROWS), datasets.Dataset.from_list(ROWS), {"train": ROWS}]
)
def test_one_table_is_split_by_hash(table: Any) -> None:
    study = study_of(table)
    assert study.rows == given_rows(ROWS, COLUMNS)
    assert list(study.rows.files) == ["rows.jsonl"]
    source = study.at(Path("run")).task.options.source
    assert source == f"run/data/{study.rows.name}/rows.jsonl"


def test_splits_may_be_called_as_in_files() -> None:
    renamed = {"TRAIN": ROWS[:2], "dev": ROWS[2:4], "test": ROWS[4:], "unsupervised": ROWS}
    assert study_of(renamed).rows == given_rows(SPLITS, COLUMNS)


def test_values_of_pandas_and_numpy_become_plain() -> None:
    frame = pd.DataFrame(
        {
            "words": pd.array(["a", None], dtype="string"),
            "side": [np.int64(1), np.int64(0)],
            "n": [1.5, np.nan],
            "list": [np.array([1, 2]), [3, (4,)]],
        }
    )
    columns = {key: key for key in ("words", "side", "n", "list")}
    assert given_rows(frame, columns).files["rows.jsonl"].splitlines() == [
        b'{"words": "a", "side": 1, "n": 1.5, "list": [1, 2]}',
        b'{"words": null, "side": 0, "n": null, "list": [3, [4]]}',
    ]


def test_numbers_of_few_bits_keep_the_digits_that_stand_for_them() -> None:
    values = np.array([2.8, np.nan], dtype=np.float32)
    frame = pd.DataFrame({"n": values, "nullable": pd.array([0.1, None], dtype="Float32")})
    frame["one"] = pd.Series([values[0], np.float16(0.1)], dtype=object)
    frame["sparse"] = pd.arrays.SparseArray(np.array([2.8, 0.0], dtype=np.float32))
    columns = {key: key for key in ("n", "nullable", "one", "sparse")}
    expected = [
        b'{"n": 2.8, "nullable": 0.1, "one": 2.8, "sparse": 2.8}',
        b'{"n": null, "nullable": null, "one": 0.1, "sparse": 0.0}',
    ]
    assert given_rows(frame, columns).files["rows.jsonl"].splitlines() == expected
    given = datasets.Dataset.from_dict(
        {"n": [2.8]}, features=datasets.Features({"n": datasets.Value("float32")})
    )
    assert given_rows(given, {"n": "n"}).files["rows.jsonl"] == b'{"n": 2.8}\n'


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"train": ROWS, "dev": ROWS}, "no entries for test .*'train', 'dev'.* all rows"),
        ({**SPLITS, "dev": ROWS}, "2 entries for validation"),
        ([], r"task\.source: holds no rows"),
        ({**SPLITS, "test": []}, r"task\.source\['test'\]: holds no rows"),
        (pd.DataFrame(ROWS)[["words"]], r"task\.label is 'side'.* has no such column.*'words'"),
        ([{"words": "a"}], r"task\.label is 'side'"),
        ([{"words": object(), "side": "a"}], "row 1, column 'words': is of the type object"),
        ([["a"], "b"], "row 1: is of the type list and no mapping"),
        (7, "is of the type int; give a path"),
        (pd.DataFrame([["a", "b", "c"]], columns=["words", "side", "side"]), "two columns 'side'"),
    ],
)
def test_rows_that_are_no_source_are_refused(source: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        study_of(source)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"methods": {"lora": {"rnk": 2}}},
            r"methods\.lora\.rnk = 2: unknown key; did you mean ra",
        ),
        ({"methods": {}}, "methods: there is none"),
        ({"protocol": {"epoch": 3}}, r"protocol\.epoch"),
        ({"slots": 0}, "slots: 0 is out of range; give auto or a number from 1"),
        ({"no_such_key": 1}, "no_such_key"),
        ({"task": {"kind": "clasify", "source": ROWS}}, "did you mean 'classify'"),
        ({"task": {"kind": "classify", "source": None}}, r"task\.source is None"),
        ({"task": ["classify"]}, "task"),
    ],
)
def test_a_study_that_breaks_a_rule_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        study_of(ROWS, **changes)


ASKED = [
    {
        "head": f"Page {i}",
        "body": f"Text {i}",
        "note": f"Short {i}",
        "day": datetime.date(2026, 1, i),
    }
    for i in range(1, 7)
]


def test_rows_have_the_columns_of_every_layout() -> None:
    study = study_of(
        ASKED,
        task={"kind": "complete", "source": ASKED, "target": "note"},
        templates={"long": "{body}\n{note}", "both": "{head}\n{body}\n{note}"},
    )
    assert study.rows is not None
    assert json.loads(study.rows.files["rows.jsonl"].splitlines()[0]) == {
        "body": "Text 1",
        "note": "Short 1",
        "head": "Page 1",
    }
    with pytest.raises(DataError, match=r"\{heads\} is 'heads'.* has no such column; did you mean"):
        study_of(
            ASKED,
            task={"kind": "complete", "source": ASKED, "target": "note"},
            templates={"long": "{body}\n{note}", "both": "{heads}\n{body}\n{note}"},
        )


@pytest.mark.parametrize("form", [list, pd.DataFrame, datasets.Dataset.from_list])
def test_rows_have_all_columns_where_a_metric_reads_them(form: Any, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def score(text, references, row):\n    return row['head'] in text\n")
    task = {"kind": "complete", "prompt": "body", "completion": "note"}
    study = study_of(
        ASKED, task={**task, "source": form(ASKED), "metrics": [f"python: {file}:score"]}
    )
    assert study.rows is not None
    assert json.loads(study.rows.files["rows.jsonl"].splitlines()[1]) == {
        "body": "Text 2",
        "note": "Short 2",
        "head": "Page 2",
        "day": "2026-01-02",
    }
    without = study_of(ASKED, task={**task, "source": form(ASKED)})
    assert without.rows is not None
    assert json.loads(without.rows.files["rows.jsonl"].splitlines()[1]) == {
        "body": "Text 2",
        "note": "Short 2",
    }


def test_a_metric_beside_the_study_s_folder_reads_whole_rows(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def score(text, references, row):\n    return 1.0\n")
    task = {"kind": "complete", "prompt": "body", "completion": "note", "source": ASKED}
    mapping = {
        "name": "pages",
        "base": "tiny",
        "task": {**task, "metrics": ["python: mine.py:score"]},
        "methods": {"lora": {}},
    }
    study = bakeoff.Study.from_mapping(mapping, folder=tmp_path)
    assert study.rows is not None and b"head" in study.rows.files["rows.jsonl"]


def test_a_mapping_and_a_file_are_the_same_study(tmp_path: Path) -> None:
    study = study_of(SPLITS, protocol={"epochs": 2}, slots=3)
    file = tmp_path / "study.yaml"
    file.write_text(study.to_yaml(), encoding="utf-8")
    loaded = bakeoff.Study.load(file)
    assert loaded.to_yaml() == study.to_yaml()
    assert loaded.rows is None
    assert "lora" in repr(study) and loaded.name == "sides"
    assert bakeoff.Study.load(file, ["slots=4"], seeds=2).at(tmp_path).options.slots == 4


def test_what_is_no_study_is_refused() -> None:
    with pytest.raises(ConfigError, match="study is of the type int: give a"):
        bakeoff.run(7)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: the study cannot be read"):
        bakeoff.plan("nowhere.yaml")
    with pytest.raises(ConfigError, match="budget 'soon': is not a duration"):
        bakeoff.run(study_of(ROWS), budget="soon")
