"""Long texts are read as far as they are needed, and come out as if they had been read whole."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.data import encode, layout
from bakeoff.data.encode import TextEncoder
from bakeoff.data.taskdata import SplitData
from bakeoff.errors import DataError
from tests.tasks.preparing import prepared, task_of
from tests.tokenizer_families import LINES, train_tokenizer

WORDS = " ".join(LINES).split()
ROW: dict[str, Any] = {
    **{"context": "A storm.", "answer": "storm", "text": "A storm."},
    "choices": ["storm", "power"],
}
LAYOUTS: dict[str, dict[str, Any]] = {
    "summarize": {"document": "context", "summary": "answer"},
    "complete": {"template": "Read: {context}\nA: {answer}", "target": "answer"},
    "choose": {"question": "context", "choices": "choices", "answer": "answer"},
    "in chat": {
        "kind": "complete",
        "template": "Read: {context}\nA: {answer}",
        "target": "answer",
        "chat_template": "chatml",
    },
}


def words(count: int, seed: int = 0) -> str:
    draw = random.Random(seed)
    return "".join(
        draw.choice(WORDS) + draw.choice((" ", " ", "\n", "  ", ". ")) for _ in range(count)
    )


def part_of(folder: Path, long: dict[str, Any], **options: Any) -> SplitData:
    for split in ("train", "validation", "test"):
        rows = [ROW, long] if split == "train" else [ROW]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")
    task = task_of(**{"max_length": 64, "max_target_tokens": 8, "on_bad_row": "skip", **options})
    return prepared(task, train_tokenizer(), folder).splits["train"]


@pytest.fixture
def most_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The most characters that were tokenised at once."""
    called, most = TextEncoder._called, [0]

    def spy(self: TextEncoder, texts: Any, *, literal: bool) -> Any:
        most[0] = max(most[0], *map(len, texts), 0)
        return called(self, texts, literal=literal)

    monkeypatch.setattr(TextEncoder, "_called", spy)
    return most


@pytest.mark.parametrize("kind", LAYOUTS)
def test_the_tokens_that_stay_are_those_of_the_whole_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_read: list[int], kind: str
) -> None:
    options = {"kind": kind, **LAYOUTS[kind]}
    long = {**ROW, "context": words(20_000)}
    part = part_of(tmp_path, long, **options)
    assert most_read[0] < 3000
    monkeypatch.setattr(layout, "CHARACTERS_PER_TOKEN", 1 << 30)
    whole = part_of(tmp_path, long, **options)
    assert most_read[0] > 100_000
    for name in ("tokens", "prompts"):
        assert getattr(part, name)[1].tolist() == getattr(whole, name)[1].tolist()
    assert (part.is_target == whole.is_target).all()
    assert part.targets[1] == whole.targets[1] and part.shown[1] == whole.shown[1]
    # What is counted is said to be a bound.
    assert 64 < part.lengths[1][0] < whole.lengths[1][0]
    assert part.at_least == part.lengths[1][0] and whole.at_least is None


def test_where_few_tokens_stand_for_many_characters_more_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = {**ROW, "context": "A" + "." * 3000 + words(4000)}
    tokenizer = train_tokenizer()
    tokenizer.add_tokens(["." * 100])
    monkeypatch.setattr("tests.data.test_reach.train_tokenizer", lambda: tokenizer)
    options = LAYOUTS["summarize"] | {"kind": "summarize"}
    part = part_of(tmp_path, long, **options)
    monkeypatch.setattr(layout, "CHARACTERS_PER_TOKEN", 1 << 30)
    assert part.tokens[1].tolist() == part_of(tmp_path, long, **options).tokens[1].tolist()
    assert part.at_least is not None


def test_an_answer_that_cannot_fit_is_not_read_to_its_end(
    tmp_path: Path, most_read: list[int]
) -> None:
    long = {**ROW, "answer": words(20_000)}
    options = LAYOUTS["summarize"] | {"kind": "summarize"}
    part = part_of(tmp_path, long, **options)
    assert len(part) == 1 and part.rows_skipped == 1
    assert most_read[0] < 3000
    with pytest.raises(DataError, match=r"too small for the summary of row 2 .*: it is never cut"):
        part_of(tmp_path, long, **options, on_bad_row="error")


def test_turns_that_surely_do_not_fit_go_before_they_are_tokenised(
    tmp_path: Path, most_read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(number: int) -> list[dict[str, str]]:
        return [
            {"role": "user", "content": words(4000, number)},
            {"role": "assistant", "content": "A storm."},
        ]

    last = [{"role": "user", "content": "And?"}, {"role": "assistant", "content": "Storm."}]
    long = {"messages": [*said(1), *said(2), *last]}
    monkeypatch.setitem(ROW, "messages", last)
    options = {"kind": "chat", "max_length": 128}
    part = part_of(tmp_path, long, **options)
    assert most_read[0] < 5000
    monkeypatch.setattr(layout, "CHARACTERS_PER_TOKEN", 1 << 30)
    whole = part_of(tmp_path, long, **options)
    assert part.tokens[1].tolist() == whole.tokens[1].tolist()
    assert part.rows_cut == whole.rows_cut == 1
    assert part.lengths[1][0] > 128


@pytest.mark.parametrize("family", [{}, {"dummy_prefix": True}, {"trim": True}])
def test_long_texts_in_stretches_have_the_tokens_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, family: dict[str, bool]
) -> None:
    encoder = TextEncoder(train_tokenizer(**family), tokenizer_id="small")
    text = words(20_000) + "." * 50 + words(10)
    [whole] = encoder.encode([text], [[(0, len(text))]])
    monkeypatch.setattr(encode, "_LONG", 5000)
    monkeypatch.setattr(encode, "_OVERLAP", 400)
    sizes: list[int] = []
    called: Callable[..., Any] = encoder._called

    def spy(texts: Any, *, literal: bool) -> Any:
        sizes.extend(map(len, texts))
        return called(texts, literal=literal)

    monkeypatch.setattr(encoder, "_called", spy)
    [found] = encoder.encode([text], [[(0, len(text))]])
    assert np.array_equal(found.ids, whole.ids)
    assert np.array_equal(found.offsets, whole.offsets)
    assert max(sizes) == 5000


def test_stretches_that_never_agree_are_taken_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = TextEncoder(train_tokenizer(), tokenizer_id="small")
    monkeypatch.setattr(encode, "_joint", lambda *_: None)
    monkeypatch.setattr(encode, "_LONG", 5000)
    text = words(3000)
    [found] = encoder.encode([text], [[]])
    assert found.offsets[-1, 1] == len(text)


def test_no_word_of_a_long_text_that_is_learnt_whole_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode, "_LONG", 20_000)
    text = words(20_000)
    part = part_of(tmp_path, {**ROW, "text": text}, kind="text", max_target_tokens=1)
    pieces = [target for row, target in zip(part.rows, part.targets, strict=True) if row == 2]
    assert "".join(pieces) == text
