"""Tasks prepared from rows that a test gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bakeoff.data.taskdata import SplitData, TaskData
from bakeoff.tasks.contract import Task
from bakeoff.tasks.preparation.prepare import prepare, with_found
from bakeoff.tasks.registry import read_task

Row = Mapping[str, object]
Write = Callable[[str, Sequence[Row]], Path]
FILES = {"train": "train.jsonl", "validation": "validation.jsonl", "test": "test.jsonl"}


def task_of(**options: Any) -> Task:
    """A task with some options, on one file for each split, which may hold equal rows."""
    length = 2048 if options.get("kind") == "chat" else 256
    given = {"source": FILES, "allow_overlap": True, "max_length": length, **options}
    return read_task(given)


def prepared(task: Task, tokenizer: Any, root: Path, **arguments: Any) -> TaskData:
    """Prepares a task, without a cache unless one is named."""
    given = {"cache_dir": None, "tokenizer_id": "small", **arguments}
    return prepare(task, tokenizer, root=root, **given)


def prepared_rows(
    write: Write,
    tokenizer: Any,
    train: Sequence[Row],
    validation: Sequence[Row] | None = None,
    test: Sequence[Row] | None = None,
    **options: Any,
) -> tuple[Task, TaskData]:
    """Prepares rows; where only those of train are given, the other splits have its first one.

    Returns:
        The task with what the training rows decided, and its data.
    """
    root = write("train.jsonl", train).parent
    write("validation.jsonl", train[:1] if validation is None else validation)
    write("test.jsonl", train[:1] if test is None else test)
    task = task_of(**options)
    data = prepared(task, tokenizer, root)
    return with_found(task, data.found), data


def read_of(part: SplitData, index: int) -> list[int]:
    """A row's tokens that are not supervised."""
    found: list[int] = part.tokens[index][~mask_of(part, index)].tolist()
    return found


def learnt_of(part: SplitData, index: int) -> list[int]:
    """A row's supervised tokens."""
    found: list[int] = part.tokens[index][mask_of(part, index)].tolist()
    return found


def mask_of(part: SplitData, index: int) -> Any:
    """[T] which of a row's tokens are supervised."""
    return part.is_target[part.tokens.offsets[index] : part.tokens.offsets[index + 1]]
