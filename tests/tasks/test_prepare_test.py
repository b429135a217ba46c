"""A further test set by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bakeoff.tasks.complete import Complete
from bakeoff.tasks.contract import Task
from bakeoff.tasks.preparation.prepare_test import PreparedTest, prepare_test
from tests.tasks.preparing import Row, Write, task_of

ROWS: list[Row] = [{"document": "the storm hit the coast " * 40, "summary": "towns"}]


def prepared(
    task: Task, tokenizer: Any, root: Path, trained: dict[str, Any], room: int
) -> PreparedTest:
    """The set of ``task``, beside training that chose ``trained``."""
    return prepare_test(
        task,
        tokenizer,
        where="also_test.more",
        root=root,
        cache_dir=None,
        tokenizer_id="small",
        trained=trained,
        room=room,
    )


@pytest.mark.parametrize(
    ("given", "room", "trained", "length"),
    [
        (None, 96, {}, 96),
        (None, 96, {"max_length": 64}, 64),
        (80, 96, {"max_length": 64}, 80),
    ],
)
def test_rows_are_cut_to_the_set_s_own_length_or_training_s(
    write: Write,
    tokenizer: Any,
    given: int | None,
    room: int,
    trained: dict[str, Any],
    length: int,
) -> None:
    root = write("test.jsonl", ROWS).parent
    task = task_of(source="test.jsonl", max_length=given, max_target_tokens=16)
    found = prepared(task, tokenizer, root, trained, room)
    assert found.task.max_length == length
    assert len(found.data.prompts[0]) == length - 16


@pytest.mark.parametrize(
    ("trained", "cut"),
    [
        ({}, "context"),
        ({"cut": "question"}, "question"),
        ({"cut": "document"}, "context"),  # of a study with another template
    ],
)
def test_what_gives_way_is_what_training_cut_where_the_set_has_it(
    write: Write, tokenizer: Any, trained: dict[str, Any], cut: str
) -> None:
    row = {"context": "the storm hit the coast", "question": "When?", "answer": "on Monday"}
    root = write("test.jsonl", [row]).parent
    template = "{context}\n\nQ: {question}\nA: {answer}"
    task = task_of(kind="complete", source="test.jsonl", template=template, target="answer")
    found = prepared(task, tokenizer, root, trained, 256)
    assert isinstance(found.task, Complete)
    assert found.task.cut_field == cut


TALK = [{"role": "user", "content": "A storm?"}, {"role": "assistant", "content": "Two towns."}]


@pytest.mark.parametrize(
    ("trained", "row"),
    [
        ({"instruction": "instruction", "input": "input", "output": "output"}, {"messages": TALK}),
        ({"messages": "messages"}, {"instruction": "A storm?", "output": "Two towns."}),
        ({"messages": "conversations"}, {"messages": TALK}),
    ],
)
def test_conversations_of_another_form_are_read_by_their_own_columns(
    write: Write, tokenizer: Any, trained: dict[str, Any], row: Row
) -> None:
    root = write("test.jsonl", [row] * 2).parent
    task = task_of(kind="chat", source="test.jsonl", max_target_tokens=16)
    assert len(prepared(task, tokenizer, root, trained, 256).data) == 2
