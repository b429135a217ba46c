"""A prompt in, its completion out: by two columns, or by a template over any of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bakeoff.errors import ConfigError, DataError
from bakeoff.metrics.contract import Ask
from bakeoff.tasks.complete import Complete
from bakeoff.tasks.summarize import Summarize, SummarizeOptions
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

SKY = [
    {"prompt": "The storm hit", "completion": " the coast."},
    {"prompt": "Shares rose on", "completion": " Tuesday."},
]
QUESTIONS = [
    {"context": "A storm hit the coast on Monday.", "question": "When?", "answer": "on Monday"},
    {"context": "Shares rose after a profit.", "question": "What rose?", "answer": "Shares"},
]
TEMPLATE = "{context}\n\nQ: {question}\nA: {answer}"


def asked(**options: Any) -> Complete:
    options = {"template": TEMPLATE, "target": "answer", **options}
    task = task_of(kind="complete", **options)
    assert isinstance(task, Complete)
    return task


def completed(write: Write, tokenizer: Any, train: Sequence[Row], **options: Any) -> Any:
    return prepared_rows(write, tokenizer, train, **{"kind": "complete", **options})


def message_of(write: Write, tokenizer: Any, train: Sequence[Row], **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        completed(write, tokenizer, train, **options)
    return str(caught.value)


# What it makes of rows


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prompt_and_a_completion_are_joined_as_they_are(write: Write, family: str) -> None:
    tokenizer = tokenizer_of(family)
    _, data = completed(write, tokenizer, SKY)
    train = data.splits["train"]
    for i, row in enumerate(SKY):
        whole = tokenizer(row["prompt"] + row["completion"], add_special_tokens=False)["input_ids"]
        assert train.tokens[i].tolist()[-len(whole) - 1 :] == [*whole, tokenizer.eos_token_id]
        assert read_of(train, i) == train.prompts[i].tolist()
        assert tokenizer.decode(learnt_of(train, i)[:-1]).strip() == row["completion"].strip()
        assert train.references[i] == [row["completion"]]


def test_white_space_of_the_data_stays() -> None:
    task = task_of(kind="complete")
    example = task.example({"prompt": " a\n", "completion": "\n b "})
    assert example.text == " a\n\n b "
    assert example.prompt == " a\n"
    assert example.target == "\n b "


def test_cleaning_leaves_the_white_space_that_joins() -> None:
    task = task_of(kind="complete", cleaning=["lowercase", "collapse_whitespace"])
    example = task.example({"prompt": "\tThe  Sky is ", "completion": "\n BLUE  now."})
    assert example.text == "\tthe sky is \n blue now."


@pytest.mark.parametrize("family", FAMILIES)
def test_a_template_lays_out_any_columns(write: Write, family: str) -> None:
    tokenizer = tokenizer_of(family)
    options = {"template": TEMPLATE + "\n###", "target": "answer"}
    _, data = completed(write, tokenizer, QUESTIONS, **options)
    train = data.splits["train"]
    for i, row in enumerate(QUESTIONS):
        text = f"{row['context']}\n\nQ: {row['question']}\nA: {row['answer']}\n###"
        whole = tokenizer(text, add_special_tokens=False)["input_ids"]
        if tokenizer.is_fast:
            assert train.tokens[i].tolist()[-len(whole) - 1 : -1] == whole
        # What the template has after the answer is learnt, and so is the end of the text.
        assert tokenizer.decode(learnt_of(train, i)[:-1]).strip() == f"{row['answer']}\n###"
        assert learnt_of(train, i)[-1] == tokenizer.eos_token_id
        assert train.references[i] == [row["answer"]]


def test_the_input_that_is_longest_on_average_gives_way(write: Write, tokenizer: Any) -> None:
    rows = [
        {"context": "storm " * 90, "question": "coast " * 5, "answer": "power"},
        {"context": "storm", "question": "coast " * 20, "answer": "power"},
    ]
    options = {"template": "{question} {context} = {answer}", "target": "answer"}
    lengths = {"max_length": 60, "max_target_tokens": 4}
    task, data = completed(write, tokenizer, rows, **options, **lengths)
    assert data.found == {"cut": "context"}
    assert task.options.cut == "context"
    train = data.splits["train"]
    assert train.rows_cut == 1
    text = tokenizer.decode(train.tokens[0])
    assert text.count("coast") == 5 and 0 < text.count("storm") < 90
    assert " = power" in text


def test_what_gives_way_may_be_named(write: Write, tokenizer: Any) -> None:
    rows = [{"context": "storm " * 90, "question": "coast " * 30, "answer": "power"}]
    options = {"template": TEMPLATE, "target": "answer", "cut": "question", "max_length": 120}
    _, data = completed(write, tokenizer, rows, max_target_tokens=4, **options)
    assert data.found == {}
    text = tokenizer.decode(data.splits["train"].tokens[0])
    assert text.count("storm") == 90 and 0 < text.count("coast") < 30


def test_one_input_gives_way_without_a_look_at_the_rows(write: Write, tokenizer: Any) -> None:
    _, data = completed(write, tokenizer, SKY)
    assert data.found == {}


def test_references_in_a_field_of_an_object(write: Write, tokenizer: Any) -> None:
    rows: list[Row] = [
        {**row, "answers": {"text": [row["answer"], "7"], "start": [1, 2]}} for row in QUESTIONS
    ]
    template = "{context}\n\nQ: {question}\nA: {answers.text}"
    _, data = completed(write, tokenizer, rows, template=template, target="answers.text")
    train = data.splits["train"]
    assert train.references[0] == ["on Monday", "7"]
    _, plain = completed(write, tokenizer, QUESTIONS, template=TEMPLATE, target="answer")
    assert train.tokens[0].tolist() == plain.splits["train"].tokens[0].tolist()


def test_several_references_the_first_is_learnt(write: Write, tokenizer: Any) -> None:
    rows: list[Row] = [{"prompt": "Storm", "completion": [" power", " the power", 7]}, *SKY]
    _, data = completed(write, tokenizer, rows)
    train = data.splits["train"]
    assert train.references[0] == [" power", " the power", "7"]
    assert tokenizer.decode(learnt_of(train, 0)[:-1]) == " power"
    assert list(train.expected[0].references) == [" power", " the power", "7"]


def test_a_list_in_a_csv_file_is_a_text(tmp_path: Path, tokenizer: Any) -> None:
    for name in ("train", "validation", "test"):
        (tmp_path / f"{name}.csv").write_text('prompt,completion\na storm,"[""a"", ""b""]"\n')
    data = prepared(task_of(kind="complete", source="."), tokenizer, tmp_path)
    assert data.splits["test"].references == [['["a", "b"]']]


@pytest.mark.parametrize(
    ("value", "text"),
    [(7, "7"), (-1.5, "-1.5"), (True, "true"), (False, "false"), (10**30, "1" + "0" * 30)],
)
def test_numbers_and_booleans_are_texts(value: object, text: str) -> None:
    example = asked().example({"context": value, "question": value, "answer": value})
    assert example.text == f"{text}\n\nQ: {text}\nA: {text}"
    assert example.references == (text,)


def test_a_column_of_numbers_may_be_all_that_is_read(write: Write, tokenizer: Any) -> None:
    rows = [{"prompt": n, "completion": n * n} for n in range(3)]
    _, data = completed(write, tokenizer, rows, template="{prompt} squared is {completion}")
    assert tokenizer.decode(data.splits["train"].prompts[2]) == "2 squared is"


def test_one_of_several_inputs_may_be_empty(write: Write, tokenizer: Any) -> None:
    row = {"context": "", "question": "When?", "answer": "on Monday"}
    assert asked().example(row).text == "\n\nQ: When?\nA: on Monday"
    assert asked(cut="context").prompt(row).text == "\n\nQ: When?\nA:"


def test_role_names_stand_for_their_columns() -> None:
    options = {"prompt": "question", "completion": "answer", "target": "completion"}
    task = asked(template="{context} {prompt} {completion}", **options)
    assert dict(task.column_keys) == {
        "template's {context}": "context",
        "prompt": "question",
        "completion": "answer",
    }
    assert list(task.input_keys.values()) == ["context", "question"]
    assert task.example(QUESTIONS[1]).text == "Shares rose after a profit. What rose? Shares"


def test_special_tokens_are_meant_in_the_template_and_text_in_the_data(
    write: Write, tokenizer: Any
) -> None:
    eos = tokenizer.eos_token
    rows = [{"prompt": f"a {eos} storm", "completion": f"the {eos} coast"}]
    _, data = completed(write, tokenizer, rows, template="{prompt}" + eos + "{completion}")
    ids = data.splits["train"].tokens[0].tolist()
    assert ids.count(tokenizer.eos_token_id) == 2, "the template's and the end"
    assert tokenizer.decode(ids) == f"a {eos} storm{eos}the {eos} coast{eos}"


def test_a_row_without_its_answer_can_be_asked() -> None:
    prompt = asked(cut="context").prompt({"context": "a storm", "question": "When?"})
    assert prompt.text == prompt.prompt == prompt.shown == "a storm\n\nQ: When?\nA:"
    assert not prompt.target_spans and not prompt.references


def test_what_is_asked_and_scored() -> None:
    task = asked()
    assert [m.name for m in task.metrics] == ["nll", "exact_match", "f1", "rougeL"]
    assert task.asks == {Ask.LIKELIHOOD, Ask.TEXT}
    assert [b.name for b in task.baselines] == ["zero_shot"]
    # A score of the text that the study names decides.
    assert [m.name for m in asked(metrics=["number"]).metrics] == ["number", "nll"]


def test_words_that_run_together_are_a_warning(write: Write, tokenizer: Any) -> None:
    rows = [{"prompt": "What rose?", "completion": "a"}, {"prompt": "storm", "completion": "coast"}]
    _, data = completed(write, tokenizer, rows)
    [warning] = [w for w in data.warnings if "one word" in w]
    assert warning.startswith("In 1 of 2 training rows nothing stands between the last word")
    assert '"{prompt}\\n{completion}"' in warning
    for others in (SKY, [*rows, SKY[0]]):
        _, data = completed(write, tokenizer, others)
        assert not any("one word" in w for w in data.warnings)


def test_equal_contexts_with_other_questions_are_no_overlap(write: Write, tokenizer: Any) -> None:
    first, second = QUESTIONS[0], {**QUESTIONS[0], "question": "Where?", "answer": "the coast"}
    _, data = prepared_rows(
        write, tokenizer, [first], [second], [first], kind="complete", template=TEMPLATE,
        target="answer",
    )  # fmt: skip
    assert data.overlap.train_validation == 0
    assert data.overlap.train_test == 1


def test_all_inputs_decide_where_a_row_goes(tmp_path: Path, tokenizer: Any) -> None:
    """An instruction that all rows share must not send them into one split."""
    rows = [{"task": "Say it.", "n": n, "answer": f"storm {n}"} for n in range(60)]
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {"template": "{task} {n}: {answer}", "target": "answer", "source": "all.jsonl"}
    data = prepared(task_of(kind="complete", **options), tokenizer, tmp_path)
    sizes = {split: len(part) for split, part in data.splits.items()}
    assert sum(sizes.values()) == 60
    assert all(sizes.values())


def test_other_kinds_templates_take_other_columns_too() -> None:
    task = Summarize(
        SummarizeOptions(
            source="x",
            document="article",
            summary="short",
            template="{year} {{{desk}}}: {document}\nTL;DR: {summary}",
        )
    )
    assert dict(task.column_keys) == {
        "document": "article",
        "template's {year}": "year",
        "template's {desk}": "desk",
        "summary": "short",
    }
    row = {"year": 1999, "desk": "", "article": " A storm. ", "short": "Storm."}
    example = task.example(row)
    assert example.text == "1999 {}: A storm.\nTL;DR: Storm."
    assert example.cut_span is not None
    assert example.text[slice(*example.cut_span)] == "A storm."
    assert example.shown == " A storm. "
    assert task.prompt({k: v for k, v in row.items() if k != "short"}).prompt == example.prompt
    with pytest.raises(DataError, match=r"the value \(column 'year'\) is missing"):
        task.example({**row, "year": None})


# Bad input


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "is missing"),
        (float("nan"), "is missing"),
        ("", "is empty"),
        (" \n", "is empty"),
        ([], "is an empty list"),
        ({"text": "a"}, "is not text but dict"),
        ("\ud800", "is not UTF-8 text"),
    ],
)
def test_an_answer_that_cannot_be_learnt_is_a_bad_row(
    write: Write, tokenizer: Any, value: object, reason: str
) -> None:
    rows: list[Row] = [*SKY, {"prompt": "a storm", "completion": value}]
    message = message_of(write, tokenizer, rows)
    assert "train.jsonl has bad rows: row 3" in message
    assert f"in row 3 the completion (column 'completion') {reason}. Correct them" in message
    assert "set task.on_bad_row: skip" in message
    _, data = completed(write, tokenizer, rows, on_bad_row="skip")
    assert data.splits["train"].rows_skipped == 1


def test_an_entry_of_a_list_is_named(write: Write, tokenizer: Any) -> None:
    rows: list[Row] = [{"prompt": "a storm", "completion": ["a", None]}]
    message = message_of(write, tokenizer, rows)
    assert "the completion 2 of 2 (column 'completion') is missing" in message


def test_an_integer_too_long_to_write_is_a_bad_row() -> None:
    with pytest.raises(DataError, match=r"\(column 'prompt'\) is a number of too many digits"):
        task_of(kind="complete").example({"prompt": 10**5000, "completion": "x"})


def test_a_column_that_is_not_there_is_named(write: Write, tokenizer: Any) -> None:
    message = message_of(write, tokenizer, QUESTIONS, template="{contxt} {answer}", target="answer")
    assert "task.template's {contxt} is 'contxt'" in message
    assert "It has: 'answer', 'context', 'question'" in message
    message = message_of(write, tokenizer, QUESTIONS)
    assert "task.prompt is 'prompt'" in message


@pytest.mark.parametrize(
    ("options", "place", "words"),
    [
        ({"template": TEMPLATE}, "task.target is 'completion'", "such as 'answer'"),
        ({"template": "Say it."}, "task.target is 'completion'", "{context}"),
        ({"template": "{answer}", "target": "answer"}, "task.template", "nothing to read"),
        ({"template": TEMPLATE, "target": "question"}, "task.template", "comes before {answer}"),
        (
            {"template": "{context} {answer} {answer}", "target": "answer"},
            "task.template",
            "{answer} 2 times",
        ),
        (
            {"template": "{prompt} {q} {completion}", "prompt": "q"},
            "task.template",
            "both the column 'q'",
        ),
        (
            {"template": "{completion} {answer}", "completion": "answer", "target": "answer"},
            "task.template",
            "both the column 'answer'",
        ),
        (
            {"template": TEMPLATE, "target": "answer", "prompt": "q"},
            "task.prompt is 'q'",
            "does not have {prompt}",
        ),
        ({"cut": "context"}, "task.cut is 'context'", "'prompt'"),
        ({"cut": "completion"}, "task.cut is 'completion'", "before what is learnt"),
        ({"prompt": ""}, "task.prompt", "empty"),
        ({"completion": ""}, "task.completion", "empty"),
        ({"template": "{prompt} { {completion}"}, "task.template", "'{' at character 10"),
        ({"max_target_tokens": 0}, "task.max_target_tokens", "0"),
    ],
)
def test_an_option_that_breaks_a_rule_names_place_value_and_remedy(
    options: dict[str, Any], place: str, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        task_of(kind="complete", **options)
    assert place in str(caught.value)
    assert words in str(caught.value)


def test_an_answer_among_the_inputs_is_refused_for_other_kinds_too() -> None:
    with pytest.raises(ConfigError, match="both the column 'short'"):
        task_of(summary="short", template="{short} {document} {summary}")
