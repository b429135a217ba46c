"""Rows that hold only what cannot be seen count as empty, whatever the kind of task."""

from __future__ import annotations

from typing import Any

import pytest

from bakeoff.data.cleaning import is_blank
from bakeoff.errors import DataError
from tests.tasks.preparing import task_of

BLANK = "\u200b\ufeff \u2060\u00ad\n"
TALK = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Good day."}]
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "summarize": (
        {"document": "d", "summary": "s"},
        {"d": "A storm came.", "s": "Storm"},
        ("d", "s"),
    ),
    "classify": ({"text": "t", "label": "l"}, {"t": "A storm.", "l": "bad"}, ("t", "l")),
    "choose": (
        {"question": "q", "choices": ["a", "b"], "answer": "r"},
        {"q": "What?", "a": "storm", "b": "sun", "r": "storm"},
        ("q", "a", "b", "r"),
    ),
    "complete": ({"prompt": "p", "completion": "c"}, {"p": "One,", "c": " two"}, ("p", "c")),
    "text": ({"text": "t"}, {"t": "A storm."}, ("t",)),
    "chat": ({"messages": "m"}, {"m": TALK}, ()),
}


@pytest.mark.parametrize(
    ("kind", "column"),
    [(kind, column) for kind, (_, _, columns) in KINDS.items() for column in columns],
)
def test_a_column_without_width_is_empty(kind: str, column: str) -> None:
    options, row, _ = KINDS[kind]
    task = task_of(kind=kind, **options)
    for blank in (BLANK, "\u200b", "\u00ad", "\u3164", "\u2800", "\ufe0f"):
        with pytest.raises(DataError, match="empty"):
            task.example({**row, column: blank})


@pytest.mark.parametrize(
    ("place", "said"), [(0, "nothing before the assistant"), (1, "last message .* is empty")]
)
def test_a_message_without_width_is_empty(place: int, said: str) -> None:
    talk = [dict(message) for message in TALK]
    talk[place]["content"] = BLANK
    with pytest.raises(DataError, match=said):
        task_of(kind="chat", messages="m").example({"m": talk})


def test_what_has_width_is_no_blank() -> None:
    assert is_blank("") and is_blank(BLANK)
    for text in ("a", "\u200ba", "0", ".", "\U0001f600\ufe0f", "\u0e33", "\u4e00"):
        assert not is_blank(text)
