"""Renderings of conversations: what of them is data, and what the assistant writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bakeoff.errors import ConfigError, DataError
from bakeoff.tasks.conversation.chat_marks import Marks
from bakeoff.tasks.conversation.chat_rendering import template_for
from bakeoff.tasks.conversation.chat_templates import ChatTemplate
from tests.chat_shapes import ENDS, SHAPES, WITHOUT_SYSTEM, chat_tokenizer
from tests.tasks.preparing import task_of
from tests.tokenizer_families import tokenizer_of

HERE = Path()
ONE = [{"role": "user", "content": "A storm?"}, {"role": "assistant", "content": "Two towns."}]
TWO = [
    *ONE,
    {"role": "user", "content": " Which\nones? "},
    {"role": "assistant", "content": "Brill and Esker."},
]
SYSTEM = {"role": "system", "content": "Be brief."}
PREFIX_SHAPES = [name for name in SHAPES if name != "thinking"]


def template_of(shape: str) -> ChatTemplate:
    found = template_for(task_of(kind="chat"), chat_tokenizer(shape), HERE)
    assert found is not None
    return found


def words_of(text: str, spans: Any) -> list[str]:
    return [text[start:stop] for start, stop in spans]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_token_that_ends_a_turn_is_found(shape: str) -> None:
    assert template_of(shape).end == ENDS[shape]
    assert template_of(shape).lead == (" " if shape in ("mistral", "plain") else "")


@pytest.mark.parametrize("shape", SHAPES)
def test_the_text_is_the_library_s(shape: str) -> None:
    tokenizer, template = chat_tokenizer(shape), template_of(shape)
    for messages, asks in ((ONE, False), (TWO, False), (TWO[:3], True)):
        theirs = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=asks, date_string="26 Jul 2024"
        )
        assert template.rendered(messages, asks=asks).text == theirs
        assert template.plain(messages, asks=asks) == theirs


@pytest.mark.parametrize("shape", SHAPES)
def test_data_are_where_messages_say_something(shape: str) -> None:
    template = template_of(shape)
    messages = TWO if shape in WITHOUT_SYSTEM else [SYSTEM, *TWO]
    whole = template.rendered(messages)
    said = [message["content"].strip() for message in messages]
    assert words_of(whole.text, whole.data) == said


@pytest.mark.parametrize("shape", PREFIX_SHAPES)
def test_every_turn_of_the_assistant_is_found_with_its_end(shape: str) -> None:
    template = template_of(shape)
    whole = template.rendered(TWO)
    lead = " " if shape in ("mistral", "plain") else ""
    # Without a token that ends the turn, the line end does.
    end = ENDS[shape] or "\n"
    expected = [f"{lead}{message['content']}{end}" for message in TWO[1::2]]
    assert words_of(whole.text, template.answers(whole, TWO)) == expected
    assert words_of(whole.text, template.answers(whole, TWO, since=len(TWO) - 1)) == expected[1:]


@pytest.mark.parametrize("shape", ["tagged"])
def test_marked_spans_are_the_library_s(shape: str) -> None:
    tokenizer, template = chat_tokenizer(shape), template_of(shape)
    found = tokenizer.apply_chat_template(
        TWO, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    theirs = [i for i, m in zip(found["input_ids"], found["assistant_masks"], strict=True) if m]
    whole = template.rendered(TWO)
    ours = "".join(words_of(whole.text, template.answers(whole, TWO)))
    assert tokenizer.decode(theirs) == ours


def test_a_template_that_takes_thoughts_out_of_earlier_turns() -> None:
    """The first turn by itself is rendered with its thought, as a part of the whole without."""
    talk = [dict(message) for message in TWO]
    talk[1]["content"] = "<think>of towns</think>\nTwo towns."
    template = template_of("thinking")
    whole = template.rendered(talk)
    with pytest.raises(DataError) as caught:
        template.answers(whole, talk)
    message = str(caught.value)
    assert (
        "the base's chat template renders the first 1 messages by themselves otherwise" in message
    )
    assert "message 2" in message
    assert "one has '<think>of towns</think>" in message
    assert "the other 'Two towns.<|im_end|>" in message
    assert "task.train_on: last" in message and "chatml" in message
    # The last turn is rendered alike in both.
    assert words_of(whole.text, template.answers(whole, talk, since=len(talk) - 1)) == [
        "Brill and Esker.<|im_end|>"
    ]
    tagged = template_of("thinking_tagged")
    whole = tagged.rendered(talk)
    expected = ["Two towns.<|im_end|>", "Brill and Esker.<|im_end|>"]
    assert words_of(whole.text, tagged.answers(whole, talk)) == expected
    assert words_of(whole.text, tagged.answers(whole, talk, since=2)) == expected[1:]
    # What is left of the first answer is data all the same.
    assert words_of(whole.text, whole.data)[1] == "Two towns."


def test_a_thought_that_is_spelt_by_the_template_is_no_data() -> None:
    talk = [*ONE, {"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    talk[1] = {"role": "assistant", "content": "<think>a</think>Two towns.<|im_end|>"}
    template = template_of("thinking_tagged")
    whole = template.rendered(talk)
    assert words_of(whole.text, whole.data) == ["A storm?", "Two towns.<|im_end|>", "x", "y"]
    assert words_of(whole.text, template.answers(whole, talk))[0] == (
        "Two towns.<|im_end|><|im_end|>"
    )


def test_a_template_that_looks_for_what_a_message_begins_with_sees_it() -> None:
    text = SHAPES["chatml"].replace(
        "message['role'] + '",
        "('observation' if message['content'].startswith('{') else 'user') + '",
    )
    template = ChatTemplate(name="one", text=text)
    messages = [{"role": "user", "content": "{1}"}, {"role": "user", "content": "a"}]
    whole = template.rendered(messages)
    assert whole.text == "<|im_start|>observation\n{1}<|im_end|>\n<|im_start|>user\na<|im_end|>\n"
    assert words_of(whole.text, whole.data) == ["{1}", "a"]


def test_a_mark_does_not_answer_to_another_message_s() -> None:
    """One message loses its end and the next its beginning; what lies between is the template's."""
    marks = Marks("{", "}")
    whole = marks.found("{A storm o<|im_end|>o towns.}", ["A storm on the coast?", "Two towns."])
    assert words_of(whole.text, whole.data) == ["A storm o", "o towns."]


def test_a_template_s_own_refusal_is_reported() -> None:
    with pytest.raises(DataError) as caught:
        template_of("gemma").plain([SYSTEM, *ONE])
    assert "the base's chat template refuses the conversation (System role" in str(caught.value)
    assert "task.chat_template" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ ''.__class__.__subclasses__() }}",
        "{% for i in range(10 ** 9) %}{% endfor %}",
    ],
)
def test_templates_run_in_the_sandbox(text: str) -> None:
    with pytest.raises(DataError, match="refuses the conversation"):
        ChatTemplate(name="one", text=text).plain(ONE)


def test_a_template_that_is_none_is_refused(tmp_path: Path) -> None:
    tokenizer = chat_tokenizer(None)
    for text, words in (
        ("{% for %}", "cannot render one question and its answer"),
        ("{{ 'always the same' }}", "leaves a question or its answer out"),
    ):
        (tmp_path / "own.jinja").write_text(text)
        with pytest.raises(ConfigError) as caught:
            template_for(task_of(kind="chat", chat_template="own.jinja"), tokenizer, tmp_path)
        assert "task.chat_template" in str(caught.value)
        assert words in str(caught.value)
    with pytest.raises(ConfigError, match=r"task\.chat_template is 'no\.jinja': .* cannot be read"):
        template_for(task_of(kind="chat", chat_template="no.jinja"), tokenizer, tmp_path)


def test_a_template_is_a_file_or_a_text_or_chatml(tmp_path: Path) -> None:
    tokenizer = chat_tokenizer("gemma")
    (tmp_path / "own.jinja").write_text(SHAPES["llama3"])
    by_file = template_for(task_of(kind="chat", chat_template="own.jinja"), tokenizer, tmp_path)
    by_text = template_for(task_of(kind="chat", chat_template=SHAPES["llama3"]), tokenizer, HERE)
    chatml = template_for(task_of(kind="chat", chat_template="chatml"), tokenizer, HERE)
    assert by_file is not None and by_text is not None and chatml is not None
    assert by_file.text == by_text.text == SHAPES["llama3"]
    assert by_file.end == "<|eot_id|>"
    assert chatml.plain(ONE) == (
        "<|im_start|>user\nA storm?<|im_end|>\n<|im_start|>assistant\nTwo towns.<|im_end|>\n"
    )
    assert (chatml.end, chatml.starts, by_file.starts) == ("<|im_end|>", True, False)


def test_chatml_ends_turns_with_a_token_that_there_is() -> None:
    tokenizer = tokenizer_of("byte_level")
    template = template_for(task_of(kind="chat"), tokenizer, HERE)
    assert template is not None
    assert template.end == "<|endoftext|>"
    assert template.plain(ONE).endswith("assistant\nTwo towns.<|endoftext|>\n")


def test_a_record_gives_the_template_again() -> None:
    for shape in SHAPES:
        template = template_of(shape)
        assert ChatTemplate.from_record(template.record) == template


def test_marks_that_a_text_has_are_not_taken() -> None:
    marks = Marks.for_texts(["a\ufdd0b", "\ufdd2"])
    assert {marks.first, marks.last} == {"\ufdd1", "\ufdd3"}
    with pytest.raises(ValueError, match="noncharacters"):
        Marks.for_texts(["".join(chr(code) for code in range(0xFDD0, 0xFDF0))])


# Whatever is said

_SPELT = st.sampled_from(["<|im_end|>", "<|im_start|>", "[/INST]", "{{ x }}", "\ufdd0", "\ufdd1"])
_TEXT = st.lists(
    st.one_of(_SPELT, st.text(st.characters(exclude_categories=["Cs"]), max_size=8)), max_size=4
).map("".join)
_SAID = _TEXT.filter(lambda text: bool(text.strip()))


@settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    shape=st.sampled_from(PREFIX_SHAPES),
    turns=st.lists(st.tuples(_TEXT, _SAID), min_size=1, max_size=3),
    system=st.none() | _SAID,
)
def test_spans_of_any_conversation(
    shape: str, turns: list[tuple[str, str]], system: str | None
) -> None:
    assume(shape != "thinking_tagged" or not any("</think>" in a for _, a in turns))
    template = template_of(shape)
    messages: list[dict[str, str]] = []
    if system is not None and shape not in WITHOUT_SYSTEM:
        messages.append({"role": "system", "content": system})
    for asked, answer in turns:
        messages.append({"role": "user", "content": asked})
        messages.append({"role": "assistant", "content": answer})
    whole = template.rendered(messages)
    said = [core for m in messages if (core := m["content"].strip())]
    assert words_of(whole.text, whole.data) == said
    spans = template.answers(whole, messages)
    assert len(spans) == len(turns)
    end = template.end or "\n"
    for (_, answer), text in zip(turns, words_of(whole.text, spans), strict=True):
        assert text.endswith(end)
        assert text.removesuffix(end).strip() == answer.strip()
    assert template.answers(whole, messages, since=len(messages) - 1) == spans[-1:]
    assert all(a < b for a, b in spans) and list(spans) == sorted(spans)
