"""Solved examples before a prompt are training rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bakeoff.tasks.preparation.prepare import prepare
from bakeoff.tasks.preparation.shots import ShotData
from tests.tasks.preparing import Row, Write, task_of

TRAIN: list[Row] = [{"document": f"the storm {i}", "summary": f"coast {i}"} for i in range(5)]
LONG: Row = {"document": "a company " * 40, "summary": "a profit"}
TEST: list[Row] = [{"document": "power", "summary": "towns"}]


@pytest.fixture
def shots(write: Write, tokenizer: Any) -> ShotData:
    root = write("train.jsonl", [LONG, *TRAIN, LONG]).parent
    write("validation.jsonl", TEST)
    write("test.jsonl", TEST)
    return shots_of(root, tokenizer)


def shots_of(root: Path, tokenizer: Any, **options: Any) -> ShotData:
    task = task_of(max_length=48, max_target_tokens=16, **options)
    data = prepare(task, tokenizer, root=root, cache_dir=None, tokenizer_id="small")
    return ShotData(
        task,
        tokenizer,
        tokenizer_id="small",
        root=root,
        positions=None,
        zero={"test": data.splits["test"]},
    )


def test_rows_keep_their_other_columns_where_a_metric_reads_them(
    write: Write, tokenizer: Any, tmp_path: Path
) -> None:
    def paged(rows: list[Row]) -> list[Row]:
        return [{**row, "page": i} for i, row in enumerate(rows)]

    file = tmp_path / "mine.py"
    file.write_text("def score(text, references, row):\n    return row['page']\n", "utf-8")
    root = write("train.jsonl", paged(TRAIN)).parent
    write("validation.jsonl", paged(TEST))
    write("test.jsonl", paged(TEST))
    metric = {"python": {"function": f"{file}:score"}}
    found = shots_of(root, tokenizer, metrics=[metric]).of(2, 0)
    assert found is not None and found["test"].whole_rows == paged(TEST)


def prompt_of(shots: ShotData, count: int, seed: int, tokenizer: Any) -> str:
    found = shots.of(count, seed)
    assert found is not None
    return str(tokenizer.decode(found["test"].prompts[0]))


def test_so_many_training_rows_stand_before_a_prompt(shots: ShotData, tokenizer: Any) -> None:
    solved = [f"the storm {i}\n\nTL;DR: coast {i}" for i in range(5)]
    prompt = prompt_of(shots, 2, 0, tokenizer)
    assert sum(one in prompt for one in solved) == prompt.count("TL;DR: coast") == 2
    assert prompt.endswith("power\n\nTL;DR:")
    assert prompt == prompt_of(shots, 2, 0, tokenizer)
    assert len({prompt_of(shots, 2, seed, tokenizer) for seed in range(4)}) > 1


def test_rows_that_would_be_cut_are_not_drawn(shots: ShotData, tokenizer: Any) -> None:
    assert "profit" not in prompt_of(shots, 5, 0, tokenizer)
    assert shots.of(6, 0) is None
