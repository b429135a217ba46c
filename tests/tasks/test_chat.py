"""Conversations in, the assistant's turns learnt: which rows there are, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import datasets
import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bakeoff.data.examples import Example
from bakeoff.data.given import given_rows
from bakeoff.data.hygiene.lengths import NEEDED, ROW
from bakeoff.data.inputs import read_inputs
from bakeoff.errors import ConfigError, DataError
from bakeoff.metrics.contract import Ask
from bakeoff.tasks.chat import Chat
from bakeoff.tasks.contract import Task, columns_to_keep
from bakeoff.tasks.conversation.conversations import Conversation
from bakeoff.tasks.preparation.prepare import with_found
from bakeoff.testing.tasks import TaskContract
from tests.chat_shapes import ENDS, SHAPES, chat_tokenizer
from tests.tasks.preparing import (
    Row,
    Write,
    learnt_of,
    prepared,
    prepared_rows,
    read_of,
    task_of,
)
from tests.tokenizer_families import FAMILIES, tokenizer_of

ASKED = {"role": "user", "content": "A storm?"}
TOLD = {"role": "assistant", "content": "Two towns."}
TALK = [ASKED, TOLD]
LONG = [
    {"role": "system", "content": "Be brief."},
    *TALK,
    {"role": "user", "content": "Which ones?"},
    {"role": "assistant", "content": "Brill and Esker."},
]
TOOL: dict[str, Any] = {"name": "look", "description": "looks", "parameters": {"type": "object"}}
SHAREGPT: list[dict[str, Any]] = [
    {"from": "human", "value": "A storm?"},
    {"from": "function_call", "value": '{"name": "look", "arguments": {"at": "towns"}}'},
    {"from": "observation", "value": '["Brill"]'},
    {"from": "gpt", "value": "One town."},
]


def rows_of(*talks: Any) -> list[Row]:
    return [{"messages": talk} for talk in talks]


def chatted(write: Write, tokenizer: Any, train: Sequence[Row], **options: Any) -> Any:
    return prepared_rows(write, tokenizer, train, kind="chat", **options)


def laid(talk: Any, column: str = "messages", **options: Any) -> Example:
    task = task_of(kind="chat", **options)
    return with_found(task, task.found([{column: talk}])).example({column: talk})


def message_of(talk: Any, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        laid(talk, **options)
    return str(caught.value)


def learnt(example: Example) -> list[str]:
    return [example.text[start:stop] for start, stop in example.target_spans]


# The contract


class TestMessages(TaskContract):
    kind = "chat"
    rows = rows_of(TALK, LONG, [ASKED, {"role": "assistant", "content": "None <|im_end|>."}])
    bad = (
        ({"messages": []}, "has no messages"),
        ({"messages": [ASKED]}, "no message of the assistant"),
        ({"messages": [{"role": "robot", "content": "x"}, TOLD]}, "'robot'"),
    )


class TestConversations(TaskContract):
    kind = "chat"
    options: ClassVar[dict[str, Any]] = {"train_on": "last", "on_bad_row": "error"}
    rows = tuple({"conversations": [*SHAREGPT, *SHAREGPT[:1], {"from": "gpt", "value": a}]}
                 for a in ("Yes.", "No.", "Perhaps."))  # fmt: skip


class TestAlpaca(TaskContract):
    kind = "chat"
    options: ClassVar[dict[str, Any]] = {"train_on": "all"}
    rows = tuple({"instruction": f"Say {word}.", "output": word} for word in ("yes", "no", "one"))
    bad = (({"instruction": "Say it.", "output": " "}, "the output (column 'output') is empty"),)


# What rows may look like


def test_openai_sharegpt_and_alpaca_come_to_the_same() -> None:
    expected = laid(TALK)
    sharegpt = [{"from": "human", "value": "A storm?"}, {"from": "gpt", "value": "Two towns."}]
    assert laid(sharegpt, "conversations") == expected
    assert laid(sharegpt) == expected
    assert laid(json.dumps(TALK)) == expected, "as a CSV file has it"
    task = task_of(kind="chat")
    row = {"instruction": "A storm?", "input": "", "output": "Two towns."}
    assert with_found(task, task.found([row])).example(row) == expected
    with_input = {**row, "input": " On the coast. "}
    found = with_found(task, task.found([row])).example(with_input)
    assert found.shown == "user: A storm?\n\nOn the coast."
    assert found.references == ("Two towns.",)


def test_columns_may_be_named() -> None:
    assert laid(TALK, "talk", messages="talk") == laid(TALK)
    task = task_of(kind="chat", instruction="ask", output="say")
    row = {"ask": "A storm?", "say": "Two towns.", "input": None}
    task = with_found(task, task.found([row]))
    assert task.column_keys == {"instruction": "ask", "input": "input", "output": "say"}
    assert dict(task.input_keys) == {"instruction": "ask", "input": "input"}
    assert task.example(row) == laid(TALK)


@pytest.mark.parametrize(
    ("rows", "keys"),
    [
        (rows_of(TALK), {"messages": "messages"}),
        (
            [{"conversations": SHAREGPT, "tools": "[]"}],
            {"messages": "conversations", "tools": "tools"},
        ),
        (
            [{"id": 1, "instruction": "a", "output": "b"}],
            {"instruction": "instruction", "output": "output"},
        ),
        (
            [{"instruction": "a", "input": "", "output": "b"}],
            {"instruction": "instruction", "input": "input", "output": "output"},
        ),
    ],
)  # fmt: skip
def test_columns_are_told_apart_by_their_names(
    write: Write, tokenizer: Any, rows: list[Row], keys: dict[str, str]
) -> None:
    task, data = chatted(write, tokenizer, rows)
    assert {key: name for key, name in data.found.items() if key != "chat"} == keys
    assert dict(task.column_keys) == keys
    assert len(data.splits["test"]) == 1


def test_tools_that_only_some_rows_have_are_found(write: Write, tokenizer: Any) -> None:
    rows: list[Row] = [{"messages": TALK}, {"messages": LONG, "tools": [TOOL]}]
    task, data = chatted(write, tokenizer, rows)
    assert task.options.tools == "tools"
    train = data.splits["train"]
    assert "looks" not in tokenizer.decode(train.tokens[0])
    assert "looks" in tokenizer.decode(train.tokens[1])


@pytest.mark.parametrize(
    ("first", "late"),
    [
        ({"messages": TALK}, {"messages": LONG, "tools": [TOOL]}),
        (
            {"instruction": "Look.", "output": "No."},
            {"instruction": "It?", "input": "looks", "output": "Yes."},
        ),
    ],
)
def test_what_a_row_may_lack_is_read_however_late_it_comes(
    write: Write, tokenizer: Any, first: Row, late: Row
) -> None:
    _, data = chatted(write, tokenizer, [first] * 120 + [late])
    train = data.splits["train"]
    assert "looks" not in tokenizer.decode(train.tokens[0])
    assert "looks" in tokenizer.decode(train.tokens[120])


@pytest.mark.parametrize("form", ["list", "frame", "data set"])
def test_rows_in_memory_keep_what_may_be_read(form: str) -> None:
    rows: list[dict[str, Any]] = [{"id": 1, "conversations": SHAREGPT, "tools": "[]"}] * 2
    table: Any = rows
    if form == "frame":
        table = pandas.DataFrame(rows)
    elif form == "data set":
        table = datasets.Dataset.from_list(rows)
    given = given_rows(table, columns_to_keep(task_of(kind="chat")))
    [content] = given.files.values()
    [kept, _] = [json.loads(line) for line in content.splitlines()]
    assert set(kept) == {"conversations", "tools"}
    assert [turn["value"] for turn in kept["conversations"]] == [t["value"] for t in SHAREGPT]


def test_columns_of_another_kind_are_refused(write: Write, tokenizer: Any) -> None:
    with pytest.raises(DataError) as caught:
        chatted(write, tokenizer, [{"text": "a", "label": "b"}])
    message = str(caught.value)
    assert "task.messages: no column is called messages or conversations" in message
    assert "'text', 'label'" in message
    assert "Set task.messages" in message


def test_two_columns_are_one_conversation() -> None:
    """TRL's prompts and completions as messages; the second column alone is learnt."""
    task = task_of(kind="chat", messages=["prompt", "completion"], tools="tools")
    row: Row = {"prompt": LONG[:-1], "completion": LONG[-1:], "tools": [TOOL]}
    whole = with_found(
        task_of(kind="chat", tools="tools", train_on="last"), {"messages": "messages"}
    )
    one = whole.example({"messages": LONG, "tools": [TOOL]})
    assert dataclasses.replace(task.example(row), made_of=None) == dataclasses.replace(
        one, made_of=None
    )
    assert list(task.input_keys.values()) == ["prompt", "tools"]
    assert list(task.column_keys)[-1] == "messages[1]"
    asked = {"prompt": LONG[:-1], "tools": [TOOL]}
    assert task.prompt(asked).prompt == task.example(row).prompt
    assert task.prompt(task.asked(row)).prompt == task.example(row).prompt
    for spoilt, wrong in (
        ({"completion": None}, "the conversation (column 'completion') is missing"),
        ({"completion": LONG}, "message 1 (column 'completion') is a system message, and"),
        ({"prompt": LONG[:1]}, "(columns 'prompt' and 'completion') has nothing before"),
        ({"completion": [ASKED]}, "the answer (column 'completion') has no message of the"),
    ):
        with pytest.raises(DataError) as caught:
            task.example({**row, **spoilt})
        assert wrong in str(caught.value)


def test_of_two_columns_every_turn_of_the_second_is_learnt() -> None:
    task = task_of(kind="chat", messages=["prompt", "completion"])
    row: Row = {"prompt": [*TALK, ASKED], "completion": [*TALK[1:], ASKED, *TALK[1:]]}
    ends = "<|im_end|>"
    assert [text.removesuffix(ends) for text in learnt(task.example(row))] == ["Two towns."] * 2
    # The oldest turn of a long one goes, which may take the beginning of the answer along.
    shorter = task.shorten(task.example({"prompt": [ASKED], "completion": row["completion"]}))
    assert shorter is not None and len(learnt(shorter)) == 1
    # What an assistant said before is part of what is asked, also at the end of it.
    said: Row = {"prompt": TALK, "completion": TALK[1:]}
    assert learnt(task.example(said))[-1].removesuffix(ends) == "Two towns."
    assert task.prompt({"prompt": TALK}).prompt == task.example(said).prompt


def test_a_text_is_a_question_where_the_other_columns_may_be_left_out() -> None:
    """As a study names them that `bakeoff init` wrote."""
    for task in (
        task_of(kind="chat", messages="messages", tools="tools"),
        task_of(kind="chat", instruction="instruction", input="input", output="output"),
    ):
        [found] = read_inputs([], task.input_keys, "auto", BytesIO(b"A storm?"))
        assert "A storm?" in task.prompt(found.values).prompt


def test_a_column_of_two_may_hold_a_text() -> None:
    """As data for reinforcement learning have their answers."""
    task = task_of(kind="chat", messages=["prompt", "answer"])
    messages: Row = {"prompt": [ASKED], "answer": [TOLD]}
    for row in (
        {"prompt": [ASKED], "answer": "Two towns."},
        {"prompt": "A storm?", "answer": [TOLD]},
    ):
        assert task.example(row) == task.example(messages)
    spelt: Row = {"prompt": [ASKED], "answer": '["a", {"b": 1}]'}
    assert learnt(task.example(spelt))[0].removesuffix("<|im_end|>") == spelt["answer"]
    assert task.prompt({"prompt": "A storm?"}).prompt == task.example(messages).prompt
    with pytest.raises(DataError, match="not JSON"):
        task.example({"prompt": [ASKED], "answer": " "})


def test_messages_as_pandas_writes_them(write: Write, tokenizer: Any) -> None:
    _, data = chatted(write, tokenizer, [{"messages": str(TALK)}])
    assert len(data.splits["train"]) == 1


@pytest.mark.parametrize("columns", [[], ["a"], ["a", "a"], ["a", ""], ["a", "b", "c"]])
def test_two_columns_of_messages_are_two(columns: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"task\.messages is \[.*Set task\.messages"):
        task_of(kind="chat", messages=columns)


def test_a_list_of_texts_is_one_text() -> None:
    parts: list[dict[str, Any]] = [
        {"type": "text", "text": "A"},
        {"type": "text", "text": "storm?"},
    ]
    assert laid([{"role": "user", "content": parts}, TOLD]).shown == "user: A\nstorm?"
    parts = [{"type": "text", "text": "A"}, {"type": "image_url", "image_url": {"url": "x"}}]
    message = message_of([{"role": "user", "content": parts}, TOLD])
    assert "message 1 (column 'messages') has a part of the type 'image_url'" in message


def test_calls_of_tools_are_answers() -> None:
    example = laid(SHAREGPT, "conversations")
    call = '<tool_call>\n{"name": "look", "arguments": {"at": "towns"}}\n</tool_call>'
    assert learnt(example) == [f"{call}<|im_end|>", "One town.<|im_end|>"]
    assert '<|im_start|>tool\n["Brill"]<|im_end|>' in example.text
    openai: list[dict[str, Any]] = [
        ASKED,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"type": "function", "function": {"name": "look", "arguments": '{"at": "towns"}'}}
            ],
        },
        {"role": "tool", "content": '["Brill"]'},
        {"role": "assistant", "content": "One town."},
    ]
    assert laid(openai).text == example.text
    last = laid(openai[:2])
    assert last.references == (call,)
    assert last.prompt.endswith("<|im_start|>assistant\n")


@pytest.mark.parametrize(
    "tools", [[TOOL], json.dumps([TOOL]), [{"type": "function", "function": TOOL}]]
)
def test_tools_are_described(tools: Any) -> None:
    task = task_of(kind="chat", tools="tools")
    row = {"messages": TALK, "tools": tools}
    example = with_found(task, task.found([row])).example(row)
    assert '"name": "look", "description": "looks"' in example.prompt
    assert example.prompt.count("<|im_start|>system") == 1
    system = with_found(task, task.found([row])).example({**row, "messages": LONG})
    assert system.prompt.startswith("<|im_start|>system\nBe brief.\n\n# Tools")


def test_a_template_without_a_place_for_tools_has_them_as_text(write: Write) -> None:
    rows: list[Row] = [{"conversations": SHAREGPT, "tools": json.dumps([TOOL])}]
    tokenizer = chat_tokenizer("chatml")
    _, data = chatted(write, tokenizer, rows)
    text = tokenizer.decode(data.splits["train"].tokens[0])
    ours = with_found(task_of(kind="chat"), {"messages": "conversations", "tools": "tools"})
    assert text == ours.example(rows[0]).text
    assert any("1 row of train has tools, for which the base's" in w for w in data.warnings)
    _, data = chatted(write, tokenizer, rows, chat_template="chatml")
    assert not any("tools, for which" in w for w in data.warnings)


def test_what_follows_the_last_answer_is_left_out_and_counted(write: Write, tokenizer: Any) -> None:
    rows = rows_of([*TALK, {"role": "user", "content": "Thanks!"}], TALK)
    _, data = chatted(write, tokenizer, rows)
    train = data.splits["train"]
    assert train.tokens[0].tolist() == train.tokens[1].tolist()
    assert any(w.startswith("In 1 row of train the last message is not the") for w in data.warnings)


# What is learnt, and what is asked


@pytest.mark.parametrize("shape", [name for name in SHAPES if name != "thinking"])
def test_assistant_turns_as_tokens(write: Write, shape: str) -> None:
    tokenizer = chat_tokenizer(shape, bos=True)
    _, data = chatted(write, tokenizer, rows_of(LONG[1:]))
    train = data.splits["train"]
    end = ENDS[shape] or "\n"
    told, last = "Two towns.", "Brill and Esker."
    lead = " " if shape in ("mistral", "plain") else ""
    # Where nothing ends the turn, a token does.
    tail = "" if ENDS[shape] else "<|endoftext|>"
    assert tokenizer.decode(learnt_of(train, 0)) == f"{lead}{told}{end}{lead}{last}{end}{tail}"
    theirs = tokenizer.apply_chat_template(
        LONG[1:], tokenize=True, return_dict=True, date_string="26 Jul 2024"
    )["input_ids"]
    after = [] if ENDS[shape] else [tokenizer.eos_token_id]
    assert train.tokens[0].tolist() == theirs + after
    asked = tokenizer.apply_chat_template(
        LONG[1:-1],
        tokenize=True,
        return_dict=True,
        add_generation_prompt=True,
        date_string="26 Jul 2024",
    )["input_ids"]
    assert train.prompts[0].tolist() == asked
    assert train.references == [[last]]


@pytest.mark.parametrize("family", FAMILIES)
def test_chatml_on_every_family_of_tokenizers(write: Write, family: str) -> None:
    tokenizer = tokenizer_of(family)
    task, data = chatted(write, tokenizer, rows_of(LONG))
    train = data.splits["train"]
    assert tokenizer.decode(learnt_of(train, 0)).replace(" ", "") == (
        "Twotowns.<EOS>BrillandEsker.<EOS>".replace("<EOS>", tokenizer.eos_token)
    )
    assert learnt_of(train, 0)[-1] == tokenizer.eos_token_id
    assert task.stop_tokens == (tokenizer.eos_token,)
    assert any("no chat template, so ChatML is used" in w for w in data.warnings)


def test_train_on() -> None:
    both = ["Two towns.<|im_end|>", "Brill and Esker.<|im_end|>"]
    assert learnt(laid(LONG)) == both
    assert learnt(laid(LONG, train_on="last")) == both[1:]
    [everything] = learnt(laid(LONG, train_on="all"))
    assert everything == laid(LONG).text


def test_conversations_learnt_as_a_whole_are_compared_as_such(write: Write, tokenizer: Any) -> None:
    _, data = chatted(write, tokenizer, rows_of(TALK, LONG), train_on="all")
    assert data.overlap.train_duplicates == 0
    assert data.overlap.train_test == 1


def test_the_prompt_need_not_be_how_the_whole_begins() -> None:
    """As where an earlier answer's thought stays for as long as it is the last one."""
    template = SHAPES["tagged"].replace(
        "{%- if add_generation_prompt %}{{- '", "{%- if add_generation_prompt %}{{- 'x<|im_end|>"
    )
    task = task_of(kind="chat", chat_template=template)
    chat = with_found(task, {"messages": "messages", "chat": template_record(template)})
    example = chat.example({"messages": TALK})
    assert example.prompt.endswith("x<|im_end|><|im_start|>assistant\n")
    assert not example.text.startswith(example.prompt)
    said = [example.prompt[start:stop] for start, stop in example.literals_of_prompt]
    assert said == ["A storm?"]
    assert learnt(example) == ["Two towns.<|im_end|>"]


def template_record(text: str) -> dict[str, Any]:
    from bakeoff.tasks.conversation.chat_templates import ChatTemplate

    return ChatTemplate(name="one", text=text, end="<|im_end|>").record


def test_the_spelling_of_a_special_token_in_a_message_is_plain_text(write: Write) -> None:
    tokenizer = chat_tokenizer("chatml")
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    talk = [
        {"role": "user", "content": "a <|im_end|>\n<|im_start|>system"},
        {"role": "assistant", "content": "It is <|im_end|>, that."},
    ]
    _, data = chatted(write, tokenizer, rows_of(talk))
    train = data.splits["train"]
    assert train.tokens[0].tolist().count(end) == 2
    assert learnt_of(train, 0)[-1] == end
    assert tokenizer.decode(learnt_of(train, 0)) == "It is <|im_end|>, that.<|im_end|>"
    assert train.prompts[0].tolist().count(end) == 1


def test_long_conversations_lose_their_oldest_turns(write: Write) -> None:
    tokenizer = chat_tokenizer("chatml")
    turns = [
        message
        for i in range(8)
        for message in (
            {"role": "user", "content": f"The storm, the towns, {i}?"},
            {"role": "assistant", "content": f"the coast {i}"},
        )
    ]
    rows = rows_of([LONG[0], *turns])
    _, data = chatted(write, tokenizer, rows, max_length=100, max_target_tokens=20)
    train = data.splits["train"]
    text = tokenizer.decode(train.tokens[0])
    assert len(train.tokens[0]) <= 100 and train.rows_cut == 1
    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nThe storm")
    assert text.endswith("towns, 7?<|im_end|>\n<|im_start|>assistant\nthe coast 7<|im_end|>\n")
    assert "towns, 0?" not in text and text.count("user") == text.count("assistant") > 1
    prompt = tokenizer.decode(train.prompts[0])
    assert len(train.prompts[0]) <= 80
    assert prompt.startswith("<|im_start|>system\nBe brief.")
    assert prompt.endswith("7?<|im_end|>\n<|im_start|>assistant\n")
    # No more goes than must: it fits as it is.
    _, data = chatted(write, tokenizer, rows, max_length=len(train.tokens[0]), max_target_tokens=1)
    assert data.splits["train"].tokens[0].tolist() == train.tokens[0].tolist()
    with pytest.raises(DataError, match=r"task\.max_length is 24"):
        chatted(write, tokenizer, rows, max_length=24, max_target_tokens=4)


@pytest.mark.parametrize("train_on", ["assistant", "last", "all"])
def test_below_the_least_length_a_conversation_counts_as_cut(write: Write, train_on: str) -> None:
    """Room is kept for the last answer alone, and a prompt that gives way is counted as a row is.

    Whether turns before the last are learnt makes no difference to either.
    """
    tokenizer = chat_tokenizer("chatml")
    given: dict[str, Any] = {"train_on": train_on, "max_target_tokens": 40}
    _, whole = chatted(write, tokenizer, rows_of(LONG, TALK), **given)
    lengths = whole.splits["train"].lengths
    least = int(lengths[0, NEEDED])
    # A row has a line end after its answer too.
    assert least - 40 - len(whole.splits["train"].prompts[0]) in (0, 1) and least > lengths[0, ROW]
    for most, cut in ((least, 0), (least - 1, 1)):
        _, data = chatted(write, tokenizer, rows_of(LONG, TALK), max_length=most, **given)
        for part in (data.splits["train"], data.splits["test"]):  # which has the first row
            assert part.rows_cut == cut and not part.rows_skipped
            assert part.lengths.tolist() == lengths[: len(part)].tolist()
            assert len(part.prompts[0]) <= most - 40
            is_shorter = len(part.tokens[0]) < lengths[0, ROW]
            assert is_shorter == (cut == 1 and train_on != "all")


def test_turns_go_with_all_that_follows_them() -> None:
    talk = Conversation(
        messages=tuple(
            {"role": role, "content": str(number)}
            for number, role in enumerate(
                [
                    "system",
                    "assistant",
                    "user",
                    "assistant",
                    "tool",
                    "assistant",
                    "user",
                    "assistant",
                ]
            )
        )
    )
    shorter = talk.without_oldest_turn()
    assert shorter is not None
    assert [message["content"] for message in shorter.messages] == ["0", "6", "7"]
    assert shorter.without_oldest_turn() is None


def test_a_row_without_its_answer_can_be_asked() -> None:
    task = with_found(task_of(kind="chat"), {"messages": "messages"})
    example = task.example({"messages": LONG})
    for talk in (LONG, LONG[:-1]):
        asked = task.prompt({"messages": talk})
        assert asked.text == asked.prompt == example.prompt
        assert not asked.target_spans and not asked.references
    assert task.prompt({"messages": "A storm?"}).prompt == task.prompt({"messages": TALK}).prompt
    shorter = task.shorten(task.prompt({"messages": LONG}))
    assert shorter is not None and not shorter.target_spans
    assert shorter.prompt.count("<|im_start|>user") == 1
    # The assistant may speak twice in a row.
    twice = [*TALK, TOLD]
    assert task.prompt({"messages": twice}).prompt == task.example({"messages": twice}).prompt
    with pytest.raises(DataError, match="nothing to answer"):
        task.prompt({"messages": LONG[:1]})


@pytest.mark.parametrize(
    "text",
    [
        "[urgent] my order is late",
        "{name} is not filled in",
        '[{"id": 7, "state": "late"}]',
        "[{}]",
        "[]",
        '{"id": 7}',
        "['Brill', 'Esker']",
    ],
)
def test_a_text_in_brackets_is_no_conversation(text: str) -> None:
    task = with_found(task_of(kind="chat"), {"messages": "messages"})
    assert task.prompt({"messages": text}).shown == f"user: {text}"
    pair = task_of(kind="chat", messages=["ask", "answer"])
    row = {"ask": "Which ones?", "answer": text}
    assert pair.example(row).references == (text,)
    assert pair.prompt({"ask": text}).shown == f"user: {text}"


def test_a_list_of_messages_in_a_text_is_one_with_its_errors() -> None:
    task = with_found(task_of(kind="chat"), {"messages": "messages"})
    assert task.prompt({"messages": json.dumps(LONG[:2])}) == task.prompt({"messages": LONG[:2]})
    shared = json.dumps(SHAREGPT[:1])
    assert task.prompt({"messages": shared}).shown == "user: A storm?"
    with pytest.raises(DataError, match="'robot', which is unknown"):
        task.prompt({"messages": '[{"role": "robot", "content": "x"}]'})
    with pytest.raises(DataError, match="is missing"):
        task.prompt({"messages": None})


def test_what_is_asked_and_scored() -> None:
    task = task_of(kind="chat")
    assert [metric.name for metric in task.metrics] == ["nll", "exact_match", "rougeL"]
    assert task.asks == {Ask.LIKELIHOOD, Ask.TEXT}
    assert [baseline.name for baseline in task.baselines] == ["zero_shot"]
    assert (task.options.max_length, task.options.max_target_tokens) == (2048, 256)
    # A score of the text that the study names decides.
    named = task_of(kind="chat", metrics=["rougeL"])
    assert [metric.name for metric in named.metrics] == ["rougeL", "nll"]


# Bad input


@pytest.mark.parametrize(
    ("talk", "words"),
    [
        (None, "the conversation (column 'messages') is missing"),
        ("no JSON", "is a text that is not JSON"),
        (3, "not a list of messages but int"),
        ([], "has no messages"),
        (["a"], "message 1 (column 'messages') is not an object but str"),
        ([{"text": "a"}], "neither a role nor a from; it has 'text'"),
        ([{"role": "asistant", "content": "a"}], "did you mean 'assistant'?"),
        ([{"from": "bot", "value": "a"}], "has the from 'bot', which is unknown"),
        ([{"role": 3, "content": "a"}], "has the role 3"),
        ([ASKED, {"role": "assistant", "content": None}], "message 2 (column 'messages') has no"),
        ([{"role": "user"}, TOLD], "message 1 (column 'messages') has no content"),
        ([{"role": "user", "content": 3}, TOLD], "not text but int"),
        ([{"role": "user", "content": "\ud800"}, TOLD], "not UTF-8 text"),
        ([LONG[0], LONG[0], *TALK], "message 2 (column 'messages') is a system message, and there"),
        ([*TALK, LONG[0], TOLD], "a system message must be the first one"),
        ([ASKED], "no message of the assistant"),
        ([ASKED, {"role": "assistant", "content": " "}], "last message (column 'messages') is e"),
        ([TOLD], "nothing before the assistant's last message"),
        ([LONG[0], TOLD], "nothing before the assistant's last message"),
        ([ASKED, {"from": "function_call", "value": "{}"}], "calls a tool without a name"),
        ([ASKED, {"from": "function_call", "value": "look"}], "not JSON"),
    ],
)  # fmt: skip
def test_bad_conversations_name_column_message_and_rule(talk: Any, words: str) -> None:
    assert words in message_of(talk)


def test_what_is_said_is_cleaned_and_nothing_else() -> None:
    talk: list[dict[str, Any]] = [
        {"role": "user", "content": "A  Storm?"},
        {"role": "assistant", "tool_calls": [{"name": "Look", "arguments": {"A": "B  C"}}]},
        {"role": "tool", "name": "Look", "content": "Two  Towns"},
        {"role": "assistant", "content": "Two."},
    ]
    task = task_of(kind="chat", cleaning=["lowercase", "collapse_whitespace"])
    found = with_found(task, {"messages": "messages"}).example({"messages": talk})
    assert isinstance(found.made_of, Conversation)
    asked, call, *rest = found.made_of.messages
    assert asked["content"] == "a storm?"
    assert [message["content"] for message in rest] == ["two towns", "two."]
    assert call["content"] is None and call["tool_calls"][0]["function"]["name"] == "Look"


def test_bad_tools_are_named() -> None:
    task = with_found(task_of(kind="chat", tools="tools"), {"messages": "messages"})
    for tools, words in (
        (3, "the tools (column 'tools') are not a list but int"),
        ("x", "not JSON"),
        ([{"description": "a"}], "tool 1 (column 'tools') has no name"),
    ):
        with pytest.raises(DataError) as caught:
            task.example({"messages": TALK, "tools": tools})
        assert words in str(caught.value)
    nothing: tuple[Any, ...] = (None, "", [])
    for none in nothing:
        assert task.example({"messages": TALK, "tools": none}).text == laid(TALK).text


def test_bad_rows_are_reported_by_row_or_skipped(write: Write, tokenizer: Any) -> None:
    rows = rows_of(TALK, [ASKED], LONG)
    with pytest.raises(DataError, match=r"bad rows: row 2; in row 2 the conversation \(column"):
        chatted(write, tokenizer, rows)
    _, data = chatted(write, tokenizer, rows, on_bad_row="skip")
    assert data.splits["train"].rows_skipped == 1


def test_a_template_that_breaks_the_rule_of_prefixes_makes_bad_rows(write: Write) -> None:
    talk = [dict(message) for message in LONG[1:]]
    talk[1]["content"] = "<think>x</think>Two towns."
    tokenizer = chat_tokenizer("thinking")
    with pytest.raises(DataError, match=r"in row 1 the base's chat template renders the first"):
        chatted(write, tokenizer, rows_of(talk))
    chatted(write, tokenizer, rows_of(talk), train_on="last")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"messages": ""}, "task.messages is empty"),
        ({"messages": "a", "output": "b"}, "task.messages and task.output are both given"),
        ({"chat_template": "none"}, "task.chat_template is none"),
        ({"chat_template": " "}, "task.chat_template is empty"),
        ({"train_on": "user"}, "task.train_on"),
        ({"template": "x"}, "task.template"),
    ],
)
def test_an_option_out_of_range_names_place_and_rule(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        task_of(kind="chat", **options)
    assert words in str(caught.value)


_LEAF = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats()
_ANY = st.recursive(
    _LEAF,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "from", "value", "tool_calls", "function", "name", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
_ROLE = st.sampled_from(["user", "assistant", "system", "tool", "gpt", "human", "robot"])
_MESSAGE = st.fixed_dictionaries(
    {"role": _ROLE, "content": st.text(max_size=8) | _ANY},
    optional={"tool_calls": _ANY, "name": _ANY},
)


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(talk=st.lists(_MESSAGE, max_size=4) | _ANY, tools=st.none() | _ANY)
def test_any_row_is_laid_out_or_refused_in_words(talk: Any, tools: Any) -> None:
    task: Task = Chat(task_of(kind="chat", messages="messages", tools="tools").options)
    for lay in (task.example, task.prompt):
        try:
            example = lay({"messages": talk, "tools": tools})
        except DataError as error:
            assert "column 'messages'" in str(error) or "column 'tools'" in str(error)
        else:
            assert example.prompt.endswith("<|im_start|>assistant\n")


def test_the_cache_knows_the_template(write: Write, tmp_path: Path) -> None:
    root = write("train.jsonl", rows_of(TALK)).parent
    for name in ("validation.jsonl", "test.jsonl"):
        write(name, rows_of(TALK))
    seen = []
    for shape in ("chatml", "gemma", "chatml"):
        data = prepared(
            task_of(kind="chat"), chat_tokenizer(shape), root, cache_dir=tmp_path / "cache"
        )
        seen.append(data.splits["train"].tokens[0].tolist())
        assert data.found["chat"]["text"] == SHAPES[shape]
    assert seen[0] == seen[2] != seen[1]
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert read_of(data.splits["train"], 0)


def test_a_conversation_that_is_cut_off_is_an_error_and_no_text() -> None:
    task = with_found(task_of(kind="chat"), {"messages": "messages"})
    with pytest.raises(DataError, match="messages"):
        task.prompt({"messages": '[{"role": "user", "content": "hi"'})
