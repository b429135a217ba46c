"""All columns of rows are kept where a metric reads them, and only there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bakeoff.tasks.contract import Task
from tests.tasks.preparing import Row, Write, prepared_rows, task_of

ROWS: list[Row] = [{"document": "a storm", "summary": "coast", "page": 3}]


def test_metrics_of_texts_need_no_other_columns(write: Write, tokenizer: Any) -> None:
    task: Task = task_of(metrics=["exact_match"])
    assert not task.reads_whole_rows
    _, data = prepared_rows(write, tokenizer, ROWS, metrics=["exact_match"])
    assert data.splits["train"].whole_rows is None


def test_a_function_of_one_s_own_is_given_all_columns(
    write: Write, tokenizer: Any, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def score(text, references, row):\n    return row['page']\n", "utf-8")
    metric = {"python": {"function": f"{file}:score"}}
    _, data = prepared_rows(write, tokenizer, ROWS, metrics=[metric])
    assert data.splits["train"].whole_rows == ROWS
