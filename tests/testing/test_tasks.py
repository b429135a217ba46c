"""The shipped contract of tasks, over the tasks that bakeoff brings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from bakeoff.data.examples import Example
from bakeoff.tasks import registry
from bakeoff.tasks.classify import Classify
from bakeoff.tasks.contract import Row
from bakeoff.tasks.preparation.prepare import with_found
from bakeoff.tasks.registry import _BUILT_IN
from bakeoff.testing import TaskContract

CITIES = ("Arden", "Brill", "Corvo", "Delft")


class TestSummarize(TaskContract):
    kind = "summarize"
    options: ClassVar[dict[str, Any]] = {
        "document": "text",
        "summary": "short",
        "max_length": 128,
        "max_target_tokens": 32,
    }
    rows: ClassVar[list[dict[str, Any]]] = [
        {"text": f"The fair of {city} drew {n} people.\nIt rained <|endoftext|>.", "short": city}
        for n, city in enumerate(CITIES)
    ]
    bad: ClassVar[list[tuple[dict[str, Any], str]]] = [
        ({"text": "  ", "short": "x"}, "is empty"),
        ({"text": "x", "short": ["a"]}, "is not text"),
        ({"text": "\ud800", "short": "x"}, "is not UTF-8"),
    ]


class TestClassify(TaskContract):
    kind = "classify"
    options: ClassVar[dict[str, Any]] = {"text": "words", "label": "side"}
    rows: ClassVar[list[dict[str, Any]]] = [
        {"words": f"{city} lies to the {side}", "side": side}
        for city, side in zip(CITIES, ("left", "right", "left", "middle"), strict=True)
    ]
    bad: ClassVar[list[tuple[dict[str, Any], str]]] = [
        ({"words": "x", "side": "above"}, "is 'above', which is none of"),
        ({"words": b"x", "side": "left"}, "is not UTF-8 text"),
    ]


class TestClassifyWritten(TestClassify):
    options: ClassVar[dict[str, Any]] = {"text": "words", "label": "side", "answer": "generate"}


class TestChoose(TaskContract):
    kind = "choose"
    options: ClassVar[dict[str, Any]] = {"question": "words", "answer": "right"}
    rows: ClassVar[list[dict[str, Any]]] = [
        {"words": f"Where is {city}?", "choices": [f"in {city}", "left", n], "right": n % 3}
        for n, city in enumerate(CITIES)
    ]
    bad: ClassVar[list[tuple[dict[str, Any], str]]] = [
        ({"words": "x", "choices": ["a", "b"], "right": 2}, "is '2', which is not an index"),
        ({"words": "x", "choices": ["a", "a"], "right": 0}, "hold 'a' twice"),
        ({"words": "x", "choices": ["a", ["b"]], "right": 0}, "is not text but list"),
        ({"words": "x", "choices": ["\ud800", "b"], "right": 1}, "is not UTF-8 text"),
    ]


class TestChooseColumns(TaskContract):
    kind = "choose"
    options: ClassVar[dict[str, Any]] = {"choices": ["a", "b"], "template": "{question}: {answer}."}
    rows: ClassVar[list[dict[str, Any]]] = [
        {"question": f"Where is {city}?", "a": f"in {city}", "b": "left", "answer": "BA"[n % 2]}
        for n, city in enumerate(CITIES)
    ]
    bad: ClassVar[list[tuple[dict[str, Any], str]]] = [
        ({"question": "x", "a": "a", "b": "b", "answer": "C"}, "is 'C', which is not a letter"),
    ]


class TestChat(TaskContract):
    kind = "chat"
    rows: ClassVar[list[dict[str, Any]]] = [
        {
            "messages": [
                {"role": "user", "content": f"What lies {n} miles away <|im_end|>?"},
                {"role": "assistant", "content": city},
                {"role": "user", "content": "And beyond it?"},
                {"role": "assistant", "content": f"Beyond {city}, nothing."},
            ]
        }
        for n, city in enumerate(CITIES)
    ]
    bad: ClassVar[list[tuple[dict[str, Any], str]]] = [
        ({"messages": [{"role": "user", "content": "x"}]}, "no message of the assistant"),
        ({"messages": "x"}, "is not JSON"),
    ]


class TestComplete(TaskContract):
    kind = "complete"
    options: ClassVar[dict[str, Any]] = {
        "template": "{context}\n\nQ: {prompt} {{in words}}\nA: {answer}",
        "target": "answer",
        "prompt": "question",
        "cut": "context",
    }
    rows: ClassVar[list[dict[str, Any]]] = [
        {
            "context": f"The fair of {city} drew {n} people.\nIt rained <|endoftext|>.",
            "question": n,
            "answer": [city, "the city", True],
        }
        for n, city in enumerate(CITIES)
    ]
    bad: ClassVar[list[tuple[dict[str, Any], str]]] = [
        ({"context": "x", "question": "x", "answer": []}, "is an empty list"),
        ({"context": "x", "question": "x", "answer": ["a", ["b"]]}, "2 of 2 (column 'answer')"),
        ({"context": {"a": 1}, "question": "x", "answer": "a"}, "is not text but dict"),
        ({"context": "", "question": " ", "answer": "a"}, "are all empty"),
    ]


class TestText(TaskContract):
    kind = "text"
    options: ClassVar[dict[str, Any]] = {"text": "body", "max_length": 512}
    rows: ClassVar[list[dict[str, Any]]] = [
        {"body": f"The fair of {city} drew {n} people.\nIt rained <|endoftext|>.\n"}
        for n, city in enumerate(CITIES)
    ]
    bad: ClassVar[list[tuple[dict[str, Any], str]]] = [
        ({"body": " \n"}, "is empty"),
        ({"body": ["a"]}, "is not text but list"),
    ]


def test_no_task_is_left_out() -> None:
    classes = [value for name, value in globals().items() if name.startswith("Test")]
    assert {cls.kind for cls in classes} == set(_BUILT_IN)


class Careless(Classify):
    """Marks a span beyond its text, and takes a missing text for an empty one."""

    def example(self, row: Row, shots: Sequence[Example] = ()) -> Example:
        found = super().example({**row, "words": row.get("words") or "nothing"}, shots)
        return replace(found, target_spans=((0, len(found.text) + 1),))

    def shorten(self, example: Example) -> Example | None:
        return replace(example)


@pytest.mark.parametrize(
    "test",
    [
        "test_spans_lie_in_the_text",
        "test_shortened_step_by_step_it_comes_to_an_end",
        "test_a_row_that_lacks_a_column_is_refused_by_name",
    ],
)
def test_a_defect_is_found(test: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._registered, "classify", Careless)
    contract = TestClassify()
    read = contract.read()
    task = with_found(read, read.found(contract.rows))
    assert isinstance(task, Careless)
    given: list[Any] = [] if "lacks" in test else [[task.example(row) for row in contract.rows]]
    if "spans" not in test:
        given.insert(0, task)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(contract, test)(*given)
