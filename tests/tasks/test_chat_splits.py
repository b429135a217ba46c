"""Conversations in one table: rows that ask the same are in one split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bakeoff.data.options import SplitShares
from bakeoff.data.sources import Source, open_source
from bakeoff.tasks.contract import columns_of
from bakeoff.tasks.preparation.known import known_beforehand, source_of, with_found
from bakeoff.tasks.registry import read_task
from bakeoff.types import SPLITS, Split
from tests.tasks.preparing import Row, Write

TOOL = {"name": "look", "parameters": {"type": "object"}}
NUM_PROMPTS = 100


def talk(prompt: int, answer: str) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": f"What is there on page {prompt}?"},
        {"role": "assistant", "content": answer},
    ]


def opened(file: Path, **options: Any) -> Source:
    task = read_task({"kind": "chat", "source": file.name, **options})
    known = known_beforehand(task, None, lambda o, c: open_source(o, c, root=file.parent))
    return source_of(with_found(task, known), file.parent)


def prompts_in(source: Source, split: Split) -> set[str]:
    values: list[Any] = [record.values["messages"] for record in source.records(split)]
    talks = [json.loads(value) if isinstance(value, str) else value for value in values]
    return {talk[0]["content"] for talk in talks}


@pytest.mark.parametrize("options", [{}, {"messages": "messages"}, {"tools": "tools"}])
@pytest.mark.parametrize("with_tools", [False, True])
def test_answers_to_one_prompt_are_in_one_split(
    write: Write, with_tools: bool, options: dict[str, Any]
) -> None:
    rows: list[Row] = [
        {"messages": talk(i, f"Answer {j}"), "tools": [TOOL] if with_tools else None}
        for i in range(NUM_PROMPTS)
        for j in range(4)
    ]
    source = opened(write("rows.jsonl", rows), **options)
    found = {split: prompts_in(source, split) for split in SPLITS}
    assert all(found.values())
    assert sum(map(len, found.values())) == NUM_PROMPTS, "no prompt is in two splits"


def test_validation_rows_out_of_train_have_prompts_of_their_own(write: Write) -> None:
    rows = [{"messages": talk(i, f"Answer {j}")} for i in range(NUM_PROMPTS) for j in range(4)]
    folder = write("train.jsonl", rows).parent
    write("test.jsonl", rows[:4])
    source = opened(folder / "train.jsonl", source={s: f"{s}.jsonl" for s in ("train", "test")})
    assert not prompts_in(source, "train") & prompts_in(source, "validation")


def test_a_conversation_written_as_json_is_where_the_list_of_it_is(write: Write) -> None:
    rows = [{"messages": talk(i, "Yes.")} for i in range(NUM_PROMPTS)]
    texts = [{"messages": json.dumps(row["messages"])} for row in rows]
    lists, spelt = opened(write("a.jsonl", rows)), opened(write("b.jsonl", texts))
    for split in SPLITS:
        assert prompts_in(lists, split) == prompts_in(spelt, split)


def test_a_conversation_that_cannot_be_read_is_reported_in_train(write: Write) -> None:
    rows = [{"messages": talk(i, "Yes.")[:1]} for i in range(20)]
    source = opened(write("rows.jsonl", rows))
    assert len(list(source.records("train"))) == 20


@pytest.mark.parametrize("options", [{}, {"input": "input", "instruction": "instruction"}])
def test_rows_without_an_input_are_in_all_splits(write: Write, options: dict[str, Any]) -> None:
    """Whether or not the study names the column, as the one that ``init`` writes does."""
    rows: list[Row] = [
        {"instruction": f"Say {i}.", "input": f"As {i}." if i % 2 else None, "output": "Yes."}
        for i in range(400)
    ]
    source = opened(write("rows.jsonl", rows), **options)
    for split in SPLITS:
        lacking = sum(record.values["input"] is None for record in source.records(split))
        assert lacking > 10
    assert source.fingerprint()[-1] == "by what is there"


def test_tools_that_some_rows_lack_leave_them_where_they_are(write: Write) -> None:
    rows: list[Row] = [
        {"prompt": f"Say {i}.", "completion": "Yes.", "tools": [TOOL] if i % 2 else None}
        for i in range(400)
    ]
    two = {"messages": ["prompt", "completion"]}
    found = opened(write("rows.jsonl", rows), **two)
    named = opened(write("rows.jsonl", rows), tools="tools", **two)
    for split in SPLITS:
        rows_of_split = [record.row for record in found.records(split)]
        assert rows_of_split == [record.row for record in named.records(split)]
        assert any(row % 2 for row in rows_of_split), "rows without tools"


def test_a_group_decides_before_all_else(write: Write) -> None:
    rows = [{"messages": talk(i, "Yes."), "shop": f"shop {i // 5}"} for i in range(NUM_PROMPTS)]
    source = opened(write("rows.jsonl", rows), group="shop")
    shops = [{record.values["shop"] for record in source.records(s)} for s in SPLITS]
    assert sum(map(len, shops)) == NUM_PROMPTS / 5
    assert "by what is before the last answer" not in source.fingerprint()


def test_the_fingerprint_tells_rows_that_were_divided_by_whole_conversations(
    write: Write,
) -> None:
    file = write("rows.jsonl", [{"messages": talk(i, "Yes.")} for i in range(20)])
    task = read_task({"kind": "chat", "source": file.name, "messages": "messages"})
    now = source_of(task, file.parent).fingerprint()
    assert now[-1] == "by what is before the last answer"
    assert open_source(task.options, columns_of(task), root=file.parent).fingerprint() == now[:-1]
    files = {"train": file.name, "test": write("test.jsonl", [{"messages": talk(1, "a")}]).name}
    held_out = read_task({"kind": "chat", "source": files, "messages": "messages"})
    assert source_of(held_out, file.parent).fingerprint()[-1] == now[-1]
    assert held_out.options.split_by_hash == SplitShares()
