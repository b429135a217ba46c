"""OpenAI's ``weight``: turns of the assistant that are read and not learnt."""

from __future__ import annotations

from typing import Any

import pytest

from bakeoff.data.examples import Example
from bakeoff.errors import DataError
from bakeoff.tasks.conversation.chat_templates import ChatTemplate
from bakeoff.tasks.preparation.prepare import with_found
from tests.chat_shapes import SHAPES
from tests.tasks.preparing import Write, prepared_rows, task_of

NAMES = ("first", "second", "third")


def talk(
    *weights: object, keys: tuple[str, str, str, str] = ("role", "content", "user", "assistant")
) -> Any:
    """A question and an answer for each weight; "" gives none."""
    role, content, user, assistant = keys
    found: list[dict[str, Any]] = []
    for name, weight in zip(NAMES, weights, strict=False):
        found.append({role: user, content: f"The {name} one?"})
        given = {} if weight == "" else {"weight": weight}
        found.append({role: assistant, content: f"That {name} one.", **given})
    return found


def laid(messages: Any, shape: str = "chatml", **options: Any) -> Example:
    template = ChatTemplate(name=shape, text=SHAPES[shape], end="<|im_end|>")
    task = task_of(kind="chat", **options)
    known = {"chat": template.record, **task.found([{"messages": messages}])}
    return with_found(task, known).example({"messages": messages})


def learnt(example: Example) -> list[str]:
    """The names of the answers that are learnt."""
    texts = [example.text[start:stop] for start, stop in example.target_spans]
    return [name for name in NAMES if any(f"That {name}" in text for text in texts)]


@pytest.mark.parametrize("shape", ["chatml", "tagged"])
@pytest.mark.parametrize(
    ("weights", "names"),
    [
        ((0, 1, 1), ["second", "third"]),
        ((1, 0, ""), ["first", "third"]),
        ((0, 0, None), ["third"]),
        ((0.0, 1.0), ["second"]),
        ((1, 1, 0), ["first", "second"]),
        ((0, 1, 0), ["second"]),
    ],
)
def test_turns_of_weight_0_are_not_learnt(
    shape: str, weights: tuple[object, ...], names: list[str]
) -> None:
    example = laid(talk(*weights), shape)
    assert learnt(example) == names
    assert example.references == (f"That {names[-1]} one.",), "the last one that is learnt"
    plain = laid(talk(*[""] * (NAMES.index(names[-1]) + 1)), shape)
    assert example.text == plain.text, "read as without weights"


def test_the_last_turn_that_is_learnt_is_the_last_one() -> None:
    assert learnt(laid(talk(1, 1, 0), train_on="last")) == ["second"]


def test_a_whole_conversation_is_learnt_but_for_such_turns() -> None:
    example = laid(talk(1, 0, 1), train_on="all")
    assert learnt(example) == ["first", "third"]
    (start, edge), (after, stop) = example.target_spans
    assert (start, stop) == (0, len(example.text))
    assert example.text[edge:after] == "That second one.<|im_end|>"


def test_sharegpt_s_turns_have_weights_too() -> None:
    example = laid(talk(0, 1, keys=("from", "value", "human", "gpt")))
    assert learnt(example) == ["second"]
    call = {"from": "function_call", "value": '{"name": "look"}', "weight": 0}
    called = laid([{"from": "human", "value": "Look?"}, call, *talk(1)])
    assert learnt(called) == ["first"] and len(called.target_spans) == 1


def test_of_two_columns_the_second_must_have_a_turn_to_learn() -> None:
    task = task_of(kind="chat", messages=["prompt", "completion"])
    prompt, *rest = talk(0, 1)
    example = task.example({"prompt": [prompt], "completion": rest})
    assert learnt(example) == ["second"]
    with pytest.raises(DataError, match="no message of the assistant that is learnt"):
        task.example({"prompt": talk(1), "completion": talk(0)})


@pytest.mark.parametrize("weight", [2, 0.5, -1, "1", True, [1]])
def test_other_weights_are_refused(weight: object) -> None:
    with pytest.raises(DataError, match=r"message 2 .* has the weight .*learnt \(1\) or not \(0\)"):
        laid(talk(weight, 1))


def test_a_row_with_nothing_to_learn_is_a_bad_row(write: Write, tokenizer: Any) -> None:
    rows = [{"messages": talk(1)}, {"messages": talk(0, 0)}, {"messages": talk(1, 0)}]
    with pytest.raises(
        DataError, match=r"row 2; in row 2 all messages of the assistant .* weight 0"
    ):
        prepared_rows(write, tokenizer, rows, kind="chat", on_bad_row="error")
    _, data = prepared_rows(write, tokenizer, rows, kind="chat", on_bad_row="skip")
    assert data.splits["train"].rows.tolist() == [1, 3]
    assert any("or has weight 0" in warning for warning in data.warnings)
