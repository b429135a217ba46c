"""A text in, a label out: which labels there are, how they follow the prompt, what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.errors import ConfigError, DataError
from bakeoff.metrics.contract import Ask
from bakeoff.tasks.classify import Classify, ClassifyOptions
from tests.tasks.preparing import (
    Row,
    Write,
    learnt_of,
    prepared,
    prepared_rows,
    read_of,
    task_of,
)
from tests.tokenizer_families import FAMILIES, FAST, tokenizer_of, train_tokenizer

ROWS = [
    {"text": "A storm hit the coast.", "label": "weather"},
    {"text": "Shares rose on Tuesday.", "label": "business"},
    {"text": "Storm leaves towns without power.", "label": "weather"},
    {"text": "The company reported a profit.", "label": "business"},
]


def rows_of(*labels: object) -> list[Row]:
    """A row for each label, no two of one text."""
    return [{"text": f"A storm of {i}.", "label": label} for i, label in enumerate(labels)]


def classified(write: Write, tokenizer: Any, train: Sequence[Row], **options: Any) -> Any:
    return prepared_rows(write, tokenizer, train, **{"kind": "classify", **options})


def message_of(write: Write, tokenizer: Any, train: Sequence[Row], **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        classified(write, tokenizer, train, **options)
    return str(caught.value)


# What it makes of rows


@pytest.mark.parametrize("family", FAMILIES)
def test_the_labels_are_those_of_the_training_rows_sorted(write: Write, family: str) -> None:
    tokenizer = tokenizer_of(family)
    task, data = classified(write, tokenizer, ROWS)
    assert data.found == {"labels": ["business", "weather"]}
    assert task.options.labels == ("business", "weather")
    train = data.splits["train"]
    assert train.gold.tolist() == [1, 0, 1, 0]
    assert train.choice_set.tolist() == [0] * 4
    [choices] = train.choice_sets
    assert choices.texts == (" business", " weather")
    assert train.references == [["weather"], ["business"], ["weather"], ["business"]]
    for i, row in enumerate(ROWS):
        # What is learnt is what the right choice says, no more: no end of text.
        assert learnt_of(train, i) == choices.tokens[train.gold[i]].tolist()
        assert read_of(train, i) == train.prompts[i].tolist()
        text = f"{row['text']}\n\nLabel: {row['label']}"
        whole = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert train.tokens[i].tolist()[-len(whole) :] == whole
        assert tokenizer.eos_token_id not in train.tokens[i]
    assert [e.gold for e in train.expected] == [1, 0, 1, 0]


def test_booleans_are_words(write: Write, tokenizer: Any) -> None:
    task, data = classified(write, tokenizer, rows_of(True, False, True))
    assert task.options.labels == ("false", "true")
    assert data.splits["train"].gold.tolist() == [1, 0, 1]
    assert data.splits["train"].references[0] == ["true"]


def test_booleans_may_have_words_of_their_own(write: Write, tokenizer: Any) -> None:
    task, data = classified(write, tokenizer, rows_of(True, False), labels=["ham", "spam"])
    assert data.found == {}
    assert data.splits["train"].references == [["spam"], ["ham"]]
    assert data.splits["train"].gold.tolist() == [1, 0]
    assert task.options.labels == ("ham", "spam")


def test_whole_numbers_count_the_words_from_zero(write: Write, tokenizer: Any) -> None:
    options = {"labels": ["negative", "neutral", "positive"]}
    for labels in ((2, 0, 1), ("2", " 0", "1"), ("positive", 0, "neutral")):
        _, data = classified(write, tokenizer, rows_of(*labels), **options)
        assert data.splits["train"].gold.tolist() == [2, 0, 1]
        assert data.splits["train"].references[0] == ["positive"]


def test_a_number_that_is_a_word_is_that_word(write: Write, tokenizer: Any) -> None:
    _, data = classified(write, tokenizer, rows_of(1, "2", 2), labels=["2", "1"])
    assert data.splits["train"].gold.tolist() == [1, 0, 0]


def test_numbers_that_count_words_from_one_are_seen(write: Write, tokenizer: Any) -> None:
    """Each star means the next one, and rows of the most stars are bad."""
    words = ["one star", "two stars", "three stars"]
    rows = rows_of(*[1 + n % 3 for n in range(60)])
    assert "count its words from 0" in message_of(write, tokenizer, rows, labels=words)
    _, data = classified(write, tokenizer, rows, labels=words, on_bad_row="skip")
    [said] = [warning for warning in data.warnings if "No training row" in warning]
    assert "if yours count from 1" in said
    # The words themselves, and numbers of which some are 0, say nothing of that.
    for given in (["one star", "two stars"] * 4, [0, 2] * 4):
        _, data = classified(write, tokenizer, rows_of(*given), labels=words)
        assert not any("count from 1" in warning for warning in data.warnings)


def test_numbers_without_words_are_their_own(write: Write, tokenizer: Any) -> None:
    task, _ = classified(write, tokenizer, rows_of(7, 5, "6"))
    assert task.options.labels == ("5", "6", "7")


def test_a_csv_file_s_numbers_are_numbers(tmp_path: Path, tokenizer: Any) -> None:
    for name in ("train", "validation", "test"):
        (tmp_path / f"{name}.csv").write_text("text,label\na storm,1\nshares,0\n")
    task = task_of(kind="classify", source=".", labels=["negative", "positive"])
    data = prepared(task, tokenizer, tmp_path)
    assert data.splits["test"].references == [["positive"], ["negative"]]


def test_labels_are_not_cleaned_and_white_space_around_them_is_nothing(
    write: Write, tokenizer: Any
) -> None:
    rows = rows_of(" C++ ", "C#", "C++")
    task, data = classified(write, tokenizer, rows, cleaning=["lowercase", "strip_punctuation"])
    assert task.options.labels == ("C#", "C++")
    assert data.splits["train"].gold.tolist() == [1, 0, 1]
    assert data.splits["train"].shown[0] == "A storm of 0."
    assert tokenizer.decode(data.splits["train"].prompts[0]) == "a storm of 0\n\nLabel:"


def test_the_template_goes_on_after_the_label(write: Write, tokenizer: Any) -> None:
    task, data = classified(write, tokenizer, ROWS, template="Text: {text}\nLabel: {label}\n###")
    [choices] = data.splits["train"].choice_sets
    assert choices.texts == (" business\n###", " weather\n###")
    assert tokenizer.decode(learnt_of(data.splits["train"], 0)) == " weather\n###"
    assert task.example({"text": "a", "label": "weather"}).choices == choices.texts


@pytest.mark.parametrize(
    "template", ["{text}\n{label}", "{text}: {label} \n", "{text}({label})\n###"]
)
def test_a_choice_is_shown_as_the_references_spell_it(template: str) -> None:
    labels = ("a (b)", "###")
    task = Classify(ClassifyOptions(source="x", labels=labels, template=template))
    example = task.example({"text": "a storm", "label": "###"})
    assert [task.answer_shown(choice) for choice in example.choices] == list(labels)
    assert example.references == ("###",)


def test_the_text_is_cut_and_the_label_is_not(write: Write, tokenizer: Any) -> None:
    rows = [{"text": "storm coast " * 60, "label": label} for label in ("weather", "business")]
    _, data = classified(write, tokenizer, rows, max_length=32)
    train = data.splits["train"]
    assert train.rows_cut == 2
    assert np.diff(train.tokens.offsets).max() <= 32
    assert np.diff(train.prompts.offsets).tolist() == [16, 16]
    assert tokenizer.decode(learnt_of(train, 1)) == " business"


def test_equal_labels_in_two_splits_are_no_overlap(write: Write, tokenizer: Any) -> None:
    _, data = prepared_rows(
        write,
        tokenizer,
        ROWS,
        [{"text": "a storm HIT  the coast.", "label": "weather"}],
        [{"text": "towns", "label": "weather"}],
        kind="classify",
    )
    assert data.overlap.train_validation == 1
    assert data.overlap.train_test_targets == data.overlap.validation_test_targets == 0
    assert data.warnings == ["1 row of validation has a text that is in train too."]


def test_a_row_without_its_label_can_be_asked() -> None:
    task = Classify(ClassifyOptions(source="x", labels=("no", "yes")))
    prompt = task.prompt({"text": "a storm"})
    assert prompt.text == prompt.prompt == "a storm\n\nLabel:"
    assert prompt.choices == (" no", " yes")
    assert prompt.gold is None
    assert not prompt.target_spans and not prompt.references
    assert dict(task.input_keys) == {"text": "text"}
    assert (task.input_word, task.output_word) == ("text", "label")


def test_what_is_asked_and_scored() -> None:
    task = Classify(ClassifyOptions(source="x", labels=("no", "yes")))
    assert [m.name for m in task.metrics] == ["accuracy", "macro_f1", "mcc", "nll", "label_nll"]
    assert task.asks == {Ask.CHOICE, Ask.LIKELIHOOD}


def test_the_most_frequent_label_is_a_baseline(write: Write, tokenizer: Any) -> None:
    rows = rows_of("b", "a", "b", "c")
    task, data = prepared_rows(write, tokenizer, rows, rows[:2], rows[1:4], kind="classify")
    majority, zero_shot = task.baselines
    assert (majority.name, majority.title) == ("majority", "majority")
    assert zero_shot.outputs is None
    assert majority.outputs is not None
    found = majority.outputs(data.splits["train"], data.splits["test"])
    assert found.chosen_N is not None and found.chosen_N.tolist() == [1, 1, 1]
    accuracy = task.metrics[0]
    statistics = accuracy.statistics(found, data.splits["test"].expected)
    assert accuracy.value(statistics.sum(0)) == pytest.approx(1 / 3)


def test_labels_without_training_rows_are_a_warning(write: Write, tokenizer: Any) -> None:
    _, data = classified(write, tokenizer, ROWS, labels=["weather", "sport", "business", "court"])
    assert data.warnings[-1] == (
        "No training row has the label 'sport' and 'court', so it is not learnt."
    )


# Bad input


def test_a_label_that_is_missing_or_empty_is_a_bad_row(write: Write, tokenizer: Any) -> None:
    for value, reason in (
        (None, "is missing"),
        ("", "is empty"),
        (" \n", "is empty"),
        (1.5, "is not text but float"),
        (["a"], "is not text but list"),
    ):
        message = message_of(write, tokenizer, [*ROWS, {"text": "a storm", "label": value}])
        assert "train.jsonl has bad rows: row 5" in message
        assert f"in row 5 the label (column 'label') {reason}" in message
        assert "set task.on_bad_row: skip" in message
    rows: list[Row] = [*ROWS, {"text": "a storm", "label": None}]
    _, data = classified(write, tokenizer, rows, on_bad_row="skip")
    assert data.splits["train"].rows_skipped == 1
    assert data.found == {"labels": ["business", "weather"]}


def test_one_label_is_nothing_to_learn(write: Write, tokenizer: Any) -> None:
    message = message_of(write, tokenizer, rows_of("a", "a "))
    assert "task.label" in message
    assert "all training rows have the label 'a'" in message
    assert "two labels or more" in message


def test_a_label_that_training_does_not_have_is_a_bad_row(write: Write, tokenizer: Any) -> None:
    test = [*ROWS[:1], {"text": "a match", "label": "sport"}]
    with pytest.raises(DataError) as caught:
        prepared_rows(write, tokenizer, ROWS, ROWS[:1], test, kind="classify")
    message = str(caught.value)
    assert "test.jsonl has bad rows: row 2" in message
    assert "the label (column 'label') is 'sport'" in message
    assert "none of 'business' and 'weather': no training row has it" in message
    assert "task.on_bad_row: skip" in message
    _, data = prepared_rows(
        write, tokenizer, ROWS, ROWS[:1], test, kind="classify", on_bad_row="skip"
    )
    assert len(data.splits["test"]) == 1
    [warning] = [text for text in data.warnings if "left out" in text]
    assert warning.startswith("1 bad row of test was left out; in row 2 the label (column 'label')")


def test_whole_floats_are_labels_and_nan_is_none(write: Write, tokenizer: Any) -> None:
    rows = [{**row, "label": float(i % 2)} for i, row in enumerate(ROWS)]
    rows.append({**ROWS[0], "label": float("nan")})
    with pytest.raises(DataError, match=rf"row {len(rows)} the label .* is missing"):
        prepared_rows(write, tokenizer, rows, kind="classify")
    task, _ = prepared_rows(write, tokenizer, rows[:-1], kind="classify")
    assert task.labels == ("0", "1")


def test_a_label_that_the_study_leaves_out_is_a_bad_row(write: Write, tokenizer: Any) -> None:
    message = message_of(write, tokenizer, ROWS, labels=["weather", "sport"])
    assert "rows 2, 4 (2 in all)" in message
    assert "'business', which is none of 'weather' and 'sport'" in message
    assert "task.labels leaves it out" in message


@pytest.mark.parametrize("label", [3, -1, "3", "-1"])
def test_a_number_beyond_the_words_is_a_bad_row(
    write: Write, tokenizer: Any, label: object
) -> None:
    message = message_of(write, tokenizer, rows_of(0, label), labels=["a", "b", "c"])
    assert f"in row 2 the label (column 'label') is '{label}'" in message


@pytest.mark.parametrize(
    ("labels", "value"),
    [
        (["True", "False"], True),  # counted, True would be 'False'
        (["1", "2", "3"], 0),  # counted, 0 would be '1', as 1 is
        (["1", "2", "3"], "0"),
        (["low", "2"], 1),
    ],
)
def test_numbers_do_not_count_words_that_are_numbers_themselves(
    write: Write, tokenizer: Any, labels: list[str], value: object
) -> None:
    rows = rows_of(*labels, value)
    message = message_of(write, tokenizer, rows, labels=labels)
    assert f"in row {len(rows)} the label (column 'label') is '{str(value).lower()}'" in message
    assert f"which is none of '{labels[0]}'" in message


@pytest.mark.parametrize("value", [0, "1", True, "1" * 5000])
def test_numbers_do_not_count_words_that_the_rows_gave(
    write: Write, tokenizer: Any, value: object
) -> None:
    """Their order is the alphabet's, not one that anybody counted by."""
    rows = [{"text": "a match", "label": value}]
    with pytest.raises(DataError, match="none of 'business' and 'weather'"):
        prepared_rows(write, tokenizer, ROWS, ROWS[:1], rows, kind="classify")


def test_a_label_without_tokens_is_refused(write: Write) -> None:
    tokenizer = train_tokenizer(dummy_prefix=True, drops=True)
    template = "{text}:{label}"
    message = message_of(write, tokenizer, rows_of("a", "雨", "雨"), template=template)
    assert "rows 2, 3 (2 in all)" in message
    assert "train.jsonl" in message
    assert "the label has no tokens to learn" in message
    assert "task.on_bad_row: skip" in message
    # Such rows may be left out, and the label is a choice all the same.
    skipped = message_of(write, tokenizer, rows_of("a", "雨"), template=template, on_bad_row="skip")
    assert "row 1 of" in skipped
    assert "the label '雨' has no tokens with this base" in skipped
    assert "Give it a text that the tokenizer knows" in skipped


@pytest.mark.parametrize(
    ("labels", "options"),
    [
        (("yes", "Yes"), {"lowercase": True}),
        (("雨", "雪"), {"dummy_prefix": True}),
        (("a雨", "a"), {"dummy_prefix": True, "drops": True}),
    ],
)
def test_labels_of_the_same_tokens_are_refused(
    write: Write, labels: tuple[str, str], options: dict[str, Any]
) -> None:
    message = message_of(write, train_tokenizer(**options), rows_of(*labels))
    assert "row 1 of" in message
    first, second = sorted(labels)
    assert f"the label {second!r} has the same tokens as {first!r} with this base" in message
    assert "Give them texts that differ" in message


@pytest.mark.parametrize("family", ["bytes", "slow"])
def test_a_label_that_begins_with_another_is_refused(write: Write, family: str) -> None:
    """Its likelihood is never above that of the other, so it would never be chosen."""
    tokenizer = tokenizer_of(family)
    rows = rows_of("1", "10", "5")
    message = message_of(write, tokenizer, rows)
    assert "train.jsonl: the label '10' begins with all tokens of '1'" in message
    assert "task.template" in message
    _, data = classified(write, tokenizer, rows, template="{text}\n\nLabel: {label}\n")
    assert data.found == {"labels": ["1", "10", "5"]}


def test_a_label_that_prompts_leave_no_room_for_is_refused(write: Write, tokenizer: Any) -> None:
    """Else its rows would be cut further than others, and its prompts go beyond max_length."""
    long = "the storm " * 6
    rows = [{"text": "storm coast " * 60, "label": label} for label in ("weather", long)]
    message = message_of(write, tokenizer, rows, max_length=64, max_target_tokens=8)
    count = len(tokenizer(f" {long.strip()}", add_special_tokens=False)["input_ids"])
    assert "task.max_target_tokens is 8: task.source: row 1 of" in message
    assert f"the label {long.strip()!r} has {count} tokens" in message
    assert f"Set task.max_target_tokens to {count} or more" in message
    _, data = classified(write, tokenizer, rows, max_length=64, max_target_tokens=count)
    train = data.splits["train"]
    # Both are cut alike: how much of the text there is does not give the label away.
    assert [read_of(train, i) for i in range(2)] == [train.prompts[i].tolist() for i in range(2)]


def test_a_label_whose_tokens_begin_in_the_text_is_a_warning(write: Write) -> None:
    """The row learns one token for "l" and "o", and the test asks for "o" after "l"."""
    rows = [{"text": "a storm l", "label": "oss"}, {"text": "a storm!", "label": "aid"}]
    tokenizer = train_tokenizer()
    tokenizer.add_tokens(["lo"])
    _, data = classified(write, tokenizer, rows, template="{text}{label}")
    warning = next(w for w in data.warnings if "a token holds" in w)
    assert warning.startswith("In 1 row of train a token holds the end of the prompt and the")
    assert "task.template" in warning
    _, data = classified(write, tokenizer, rows, template="{text} {label}")
    assert not [w for w in data.warnings if "a token holds" in w]


@pytest.mark.parametrize("family", FAST)
def test_labels_that_only_begin_alike_are_fine(write: Write, family: str) -> None:
    task, _ = classified(write, tokenizer_of(family), rows_of("the coast", "the company"))
    assert len(task.options.labels) == 2


def test_a_text_column_of_numbers_is_refused(write: Write, tokenizer: Any) -> None:
    rows = [{"text": str(i), "label": f"l{i % 2}", "body": "a storm"} for i in range(4)]
    message = message_of(write, tokenizer, rows)
    assert "task.text is 'text'" in message
    assert "such as '0' and '1'" in message
    assert "there are also 'body'" in message
    # A label's column may well hold numbers.
    classified(write, tokenizer, rows_of("0", "1"))


@pytest.mark.parametrize(
    ("options", "place", "value"),
    [
        ({"text": ""}, "task.text", "empty"),
        ({"label": ""}, "task.label", "empty"),
        ({"text": "label"}, "task.text and task.label", "'label'"),
        ({"labels": []}, "task.labels", "[]"),
        ({"labels": ["a"]}, "task.labels", "['a']"),
        ({"labels": ["a", "a"]}, "task.labels", "['a', 'a']"),
        ({"labels": ["a", " "]}, "task.labels", "['a', ' ']"),
        ({"labels": ["a", "b "]}, "task.labels", "['a', 'b ']"),
        ({"template": "{text}"}, "task.template", "{label}"),
        ({"template": "{document} {summary}"}, "task.template", "{text}"),
        ({"max_target_tokens": 0}, "task.max_target_tokens", "0"),
        ({"labels": "abc"}, "task.labels", "abc"),
    ],
)
def test_an_option_out_of_range_names_place_and_value(
    options: dict[str, Any], place: str, value: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        task_of(kind="classify", **options)
    assert place in str(caught.value)
    assert value in str(caught.value)
