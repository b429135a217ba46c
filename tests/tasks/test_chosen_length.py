"""``task.max_length`` where a study leaves it out: what cuts 1 % of the training rows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tasks.preparing import Write, prepared, task_of

WORDS = ("river", "harbour", "bridge", "storm", "market", "council", "winter", "valley")


def text_of(index: int, words: int) -> str:
    return " ".join(f"{WORDS[(index + k) % len(WORDS)]}{index * 7 + k}" for k in range(words))


def rows_of(count: int, words: int, start: int = 0) -> list[dict[str, str]]:
    return [
        {"text": text_of(start + i, words), "label": ("good", "bad")[i % 2]} for i in range(count)
    ]


def prepared_with(
    write: Write,
    tokenizer: Any,
    train: list[dict[str, str]],
    room: int | None = None,
    **options: Any,
) -> Any:
    root = write("train.jsonl", train).parent
    write("validation.jsonl", rows_of(3, 4, 5000))
    write("test.jsonl", rows_of(3, 4, 6000))
    task = task_of(
        kind="classify",
        text="text",
        label="label",
        max_target_tokens=8,
        **{"max_length": None, **options},
    )
    return prepared(task, tokenizer, root, room=room)


def test_it_cuts_one_per_cent_of_the_training_rows(write: Write, tokenizer: Any) -> None:
    """Of 100 rows with room beside the longest answer, the longest one alone is cut."""
    data = prepared_with(write, tokenizer, [*rows_of(99, 5), *rows_of(1, 60, 900)])
    chosen = data.found["max_length"]
    train = data.splits["train"]
    assert train.rows_cut == 1 and chosen % 16 == 0
    shorter = prepared_with(
        write, tokenizer, [*rows_of(99, 5), *rows_of(1, 60, 900)], max_length=chosen - 16
    )
    assert shorter.splits["train"].rows_cut > 1


@pytest.mark.parametrize(("room", "most"), [(None, 512), (100, 100)])
def test_no_more_than_the_kind_and_the_base_allow(
    write: Write, tokenizer: Any, room: int | None, most: int
) -> None:
    data = prepared_with(write, tokenizer, rows_of(4, 400), room)
    assert data.found["max_length"] == most
    assert max(data.splits["train"].tokens.lengths) <= most


def test_what_a_study_says_is_kept(write: Write, tokenizer: Any) -> None:
    data = prepared_with(write, tokenizer, rows_of(4, 30), max_length=60)
    assert "max_length" not in data.found
    assert max(data.splits["train"].tokens.lengths) <= 60
