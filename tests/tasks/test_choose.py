"""A question in, one of the row's own choices out: what a row's answer means, what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.errors import ConfigError, DataError
from bakeoff.metrics.contract import Ask, ModelOutputs
from bakeoff.tasks.choose import Choose, ChooseOptions
from tests.tasks.preparing import Row, Write, learnt_of, prepared, prepared_rows, task_of
from tests.tokenizer_families import FAMILIES, tokenizer_of

WORDS = ("storm", "coast", "towns", "shares")


def rows_of(*answers: object, choices: Sequence[object] = WORDS) -> list[Row]:
    """A row for each answer, no two of one question."""
    return [
        {"question": f"What came {i}?", "choices": list(choices), "answer": answer}
        for i, answer in enumerate(answers)
    ]


def chosen(write: Write, tokenizer: Any, train: Sequence[Row], **options: Any) -> Any:
    return prepared_rows(write, tokenizer, train, **{"kind": "choose", **options})


def message_of(write: Write, tokenizer: Any, train: Sequence[Row], **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        chosen(write, tokenizer, train, **options)
    return str(caught.value)


def gold_of(write: Write, tokenizer: Any, train: Sequence[Row], **options: Any) -> list[int]:
    _, data = chosen(write, tokenizer, train, **options)
    found: list[int] = data.splits["train"].gold.tolist()
    return found


# What it makes of rows


@pytest.mark.parametrize("family", FAMILIES)
def test_the_right_choice_is_learnt(write: Write, family: str) -> None:
    tokenizer = tokenizer_of(family)
    rows = [
        {"question": "What hit the coast?", "choices": ["A storm", "shares"], "answer": 0},
        {"question": "Who lost power?", "choices": ["the company", "towns", "x"], "answer": 1},
    ]
    _, data = chosen(write, tokenizer, rows)
    train = data.splits["train"]
    assert train.gold.tolist() == [0, 1]
    assert [found.texts for found in train.choice_sets] == [
        (" A storm", " shares"),
        (" the company", " towns", " x"),
    ]
    assert train.references == [["A storm"], ["towns"]]
    for i, row in enumerate(rows):
        prompt = f"Question: {row['question']}\nAnswer:"
        choices = train.choice_sets[train.choice_set[i]]
        # What is learnt is what the right choice says, no more: no end of text.
        assert learnt_of(train, i) == choices.tokens[train.gold[i]].tolist()
        asked = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        assert train.prompts[i].tolist()[-len(asked) :] == asked
        for text, ids in zip(choices.texts, choices.tokens, strict=True):
            whole = tokenizer(prompt + text, add_special_tokens=False)["input_ids"]
            assert [*asked, *ids] == whole


def test_a_reader_sees_the_choices_with_the_question(write: Write, tokenizer: Any) -> None:
    task, data = chosen(write, tokenizer, rows_of(1), template="{question} ({answer})\n")
    assert data.splits["train"].shown[0] == "What came 0?\n- storm\n- coast\n- towns\n- shares"
    [found] = data.splits["train"].choice_sets
    assert [task.answer_shown(choice) for choice in found.texts] == list(WORDS)
    assert (task.input_word, task.output_word) == ("question", "choice")


def test_choices_may_have_a_column_each(write: Write, tokenizer: Any) -> None:
    rows: list[Row] = [
        {"body": "What?", "a": "storm", "b": " coast ", "key": "B"},
        {"body": "Who?", "a": "towns", "b": 7, "key": "a"},
    ]
    options = {"question": "body", "choices": ["a", "b"], "answer": "key"}
    task, data = chosen(write, tokenizer, rows, **options)
    train = data.splits["train"]
    assert [found.texts for found in train.choice_sets] == [(" storm", " coast"), (" towns", " 7")]
    assert train.gold.tolist() == [1, 0]
    assert task.columns == ("body", "a", "b", "key")
    assert dict(task.input_keys) == {"question": "body", "choices[0]": "a", "choices[1]": "b"}


def test_a_csv_file_has_columns_for_choices(tmp_path: Path, tokenizer: Any) -> None:
    for name in ("train", "validation", "test"):
        (tmp_path / f"{name}.csv").write_text("question,a,b,answer\nwhat?,3,4,1\nwho?,5,6,0\n")
    task = task_of(kind="choose", source=".", choices=["a", "b"])
    data = prepared(task, tokenizer, tmp_path)
    assert data.splits["test"].references == [["4"], ["5"]]


def test_choices_are_cleaned_as_the_question_is(write: Write, tokenizer: Any) -> None:
    rows = rows_of("The  Coast!", choices=["A Storm", "The coast!"])
    options = {"cleaning": ["lowercase", "strip_punctuation", "collapse_whitespace"]}
    _, data = chosen(write, tokenizer, rows, **options)
    assert data.splits["train"].references == [["the coast"]]


def test_the_beginning_of_a_long_question_gives_way(write: Write, tokenizer: Any) -> None:
    """What is asked stands at its end."""
    rows = [{**rows_of(2)[0], "question": "A storm hit the coast. " * 30 + "What has no power?"}]
    options = {"max_length": 64, "max_target_tokens": 16}
    _, data = chosen(write, tokenizer, rows, **options)
    train = data.splits["train"]
    assert train.rows_cut == 1
    assert len(train.tokens[0]) <= 64 and len(train.prompts[0]) == 64 - 16
    for ids in (train.tokens[0], train.prompts[0]):
        text = tokenizer.decode(ids)
        assert text.startswith("Question:")
        assert "What has no power?\nAnswer:" in text
    assert tokenizer.decode(learnt_of(train, 0)) == " towns"


def test_the_end_of_a_long_passage_gives_way_before_the_question(
    write: Write, tokenizer: Any
) -> None:
    rows = [{**rows_of(2)[0], "passage": "coast " * 90, "question": "What has no power?"}]
    options = {"max_length": 64, "max_target_tokens": 16}
    template = "{passage}\nQ: {question}\nA: {answer}"
    _, data = chosen(write, tokenizer, rows, template=template, **options)
    assert data.found["cut"] == "passage"
    train = data.splits["train"]
    assert train.rows_cut == 1
    # A reader sees all that is read.
    assert train.shown[0].startswith(f"{rows[0]['passage']}\nWhat has no power?\n- ")
    text = tokenizer.decode(train.prompts[0])
    assert text.startswith("coast coast") and text.endswith("\nQ: What has no power?\nA:")


def test_what_gives_way_must_be_in_the_template() -> None:
    with pytest.raises(ConfigError, match=r"task\.cut is 'passage', which is none of 'question'"):
        task_of(kind="choose", source="x", cut="passage")


def test_a_row_without_its_answer_can_be_asked() -> None:
    task = Choose(ChooseOptions(source="x", answer_is="index"))
    prompt = task.prompt({"question": "what?", "choices": ["a", "b"]})
    assert prompt.text == prompt.prompt == "Question: what?\nAnswer:"
    assert prompt.choices == (" a", " b")
    assert prompt.gold is None and not prompt.target_spans and not prompt.references


def test_equal_answers_in_two_splits_are_no_overlap(write: Write, tokenizer: Any) -> None:
    rows = rows_of(0, 1, 0)
    _, data = prepared_rows(write, tokenizer, rows[:1], rows[1:2], rows[2:], kind="choose")
    assert data.overlap.train_test_targets == 0
    assert data.overlap.train_test == 0


# What an answer means


@pytest.mark.parametrize(
    ("answers", "rule", "gold"),
    [
        ((0, 3, 1), "index", [0, 3, 1]),
        (("0", " 3", "1"), "index", [0, 3, 1]),
        ((0.0, 3.0, 1.0), "index", [0, 3, 1]),
        (("0.0", "3.", "1"), "index", [0, 3, 1]),  # as pandas writes them where one is missing
        (("A", "d", "B"), "letter", [0, 3, 1]),
        (("storm", "shares ", "coast"), "text", [0, 3, 1]),
    ],
)
def test_the_rule_is_found_over_all_training_rows(
    write: Write, tokenizer: Any, answers: Sequence[object], rule: str, gold: list[int]
) -> None:
    task, data = chosen(write, tokenizer, rows_of(*answers))
    assert data.found == {"answer_is": rule} and task.options.answer_is == rule
    assert data.splits["train"].gold.tolist() == gold
    [said] = [warning for warning in data.warnings if "answer_is" in warning]
    assert f"task.answer_is was found to be {rule} (" in said and "all 3 training rows" in said


def test_a_rule_of_the_study_is_not_looked_for(write: Write, tokenizer: Any) -> None:
    _, data = chosen(write, tokenizer, rows_of("1", "4"), answer_is="number")
    assert data.splits["train"].gold.tolist() == [0, 3]
    assert data.found == {}
    assert not [warning for warning in data.warnings if "answer_is" in warning]


def test_numbers_of_texts_and_labels_are_compared_as_they_are_written(
    write: Write, tokenizer: Any
) -> None:
    texts = rows_of("2.0", "2", choices=["2", "2.0", "3"])
    assert gold_of(write, tokenizer, texts, answer_is="text") == [1, 0]
    choices = {"text": ["storm", "flood"], "label": ["1", "1.0"]}
    rows = [{**row, "choices": choices} for row in rows_of("1.0", "1")]
    assert gold_of(write, tokenizer, rows, answer_is="label") == [1, 0]
    numbers = rows_of("1.0", "4.0")
    assert gold_of(write, tokenizer, numbers, answer_is="number") == [0, 3]


def test_letters_among_digits_are_refused(write: Write, tokenizer: Any) -> None:
    """As in the files of ARC, whose "1" is the first choice, where an index's is the second."""
    message = message_of(write, tokenizer, rows_of("A", "1", "B", "C"))
    assert "task.answer_is cannot be found from the training rows (column 'answer')" in message
    assert "of 4 answers 1 fit index (such as '1') and 3 fit letter (such as 'A')" in message
    assert "set task.answer_is to index or letter and task.on_bad_row to skip" in message
    options = {"answer_is": "letter", "on_bad_row": "skip"}
    assert gold_of(write, tokenizer, rows_of("A", "1", "B", "C"), **options) == [0, 1, 2]


def test_one_rule_s_row_does_not_change_another_row(write: Write, tokenizer: Any) -> None:
    """Alone, "2" is the text of a choice; with a 0, it is an index."""
    rows = rows_of("2", choices=["2", "x", "y"])
    rows += rows_of("0", choices=["4", "5"])
    assert gold_of(write, tokenizer, rows) == [2, 0]


def test_two_rules_that_differ_are_refused(write: Write, tokenizer: Any) -> None:
    rows = rows_of("1", "2", choices=["1", "2", "3"])
    message = message_of(write, tokenizer, rows)
    assert "all fit index (counted from 0) as well as text (one of the choices)" in message
    assert "'1' means '2' by the former but '1' by the latter" in message
    assert "Set task.answer_is to index or text." in message
    assert gold_of(write, tokenizer, rows, answer_is="index") == [1, 2]
    assert gold_of(write, tokenizer, rows, answer_is="text") == [0, 1]
    assert gold_of(write, tokenizer, rows, answer_is="number") == [0, 1]


def test_two_rules_that_agree_are_one(write: Write, tokenizer: Any) -> None:
    assert gold_of(write, tokenizer, rows_of("B", "A", choices=["A", "B", "C"])) == [1, 0]
    assert gold_of(write, tokenizer, rows_of(1, 0, choices=[0, 1])) == [1, 0]


def test_numbers_of_which_none_is_0_are_in_doubt(write: Write, tokenizer: Any) -> None:
    """Of four choices the first is right in none of 24 rows once in a thousand data sets."""
    assert gold_of(write, tokenizer, rows_of(*[1, 2, 3] * 8)[:24][:23]) == ([1, 2, 3] * 8)[:23]
    message = message_of(write, tokenizer, rows_of(*[1, 2, 3] * 9))
    assert "none of the 27 answers is 0, so they may count from 1" in message
    assert "Set task.answer_is to number if they do, else to index." in message
    rows = rows_of(*[1, 2, 3] * 9)
    assert gold_of(write, tokenizer, rows, answer_is="number")[:3] == [0, 1, 2]
    assert gold_of(write, tokenizer, rows, answer_is="index")[:3] == [1, 2, 3]


def test_the_rule_of_training_holds_for_other_splits(write: Write, tokenizer: Any) -> None:
    train = rows_of("A", "B")
    with pytest.raises(DataError) as caught:
        prepared_rows(write, tokenizer, train, train, rows_of("A", "1"), kind="choose")
    message = str(caught.value)
    assert "test.jsonl has bad rows: row 2" in message
    assert "the answer (column 'answer') is '1', which is not a letter from A to D" in message


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (4, "is '4', which is not an index from 0 to 3, a letter from A to D or the text of one"),
        (-1, "is '-1', which is not an index"),
        ("E", "is 'E', which is not an index from 0 to 3, a letter from A to D"),
        ("sea", "is 'sea', which is not"),
        ("\u0661", "which is not an index"),  # a digit, but not one that counts here
        (1.5, "is '1.5', which is not an index"),
        ("2.50", "is '2.50', which is not an index"),
        (None, "is missing"),
        ("", "is empty"),
        (True, "is not text but bool"),
        ([1], "is not text but list"),
        ("9" * 5000, "which is not an index"),
    ],
)
def test_an_answer_that_is_no_choice_is_a_bad_row(
    write: Write, tokenizer: Any, answer: object, reason: str
) -> None:
    message = message_of(write, tokenizer, [*rows_of(0, 1), *rows_of(answer)])
    assert "train.jsonl has bad rows: row 3; in row 3 the answer (column 'answer') " in message
    assert reason in message
    assert "set task.on_bad_row: skip" in message
    counts_from_1 = "where numbers count from 1, set task.answer_is to number"
    assert (counts_from_1 in message) == (answer == 4)
    rows = [*rows_of(0, 1), *rows_of(answer)]
    _, data = chosen(write, tokenizer, rows, on_bad_row="skip")
    assert data.splits["train"].rows_skipped == 1
    assert data.splits["train"].gold.tolist() == [0, 1]


@pytest.mark.parametrize(("choices", "last"), [(25, "Y"), (26, "Z"), (27, "Z")])
def test_a_message_names_the_last_letter_that_is_a_choice_s(
    write: Write, tokenizer: Any, choices: int, last: str
) -> None:
    row = {"question": "What?", "choices": [f"town {i}" for i in range(choices)], "answer": "sea"}
    assert f"a letter from A to {last} or" in message_of(write, tokenizer, [row])


def labelled(answer: object, *labels: object) -> Row:
    choices = {"text": WORDS[: len(labels)], "label": labels}
    return {"question": f"What came with {answer}?", "choices": choices, "answer": answer}


def test_the_labels_of_the_choices_are_what_an_answer_means(write: Write, tokenizer: Any) -> None:
    """As on the hub: letters in one row and numbers from 1 in another are no longer in doubt."""
    rows = [labelled("B", "A", "B", "C"), labelled("1", "1", "2"), labelled(2, 1, 2, 3)]
    _, data = chosen(write, tokenizer, rows)
    assert data.found == {"answer_is": "label"}
    train = data.splits["train"]
    assert train.gold.tolist() == [1, 0, 1]
    assert train.references == [["coast"], ["storm"], ["coast"]]
    assert gold_of(write, tokenizer, rows, answer_is="label") == [1, 0, 1]
    message = message_of(write, tokenizer, [*rows, *rows_of("A", "B")])
    assert "2 fit letter (such as 'A') and 3 fit label (such as 'B'), and no rule" in message
    message = message_of(write, tokenizer, [*rows, labelled("D", "A", "B")])
    assert (
        "row 4 the answer (column 'answer') is 'D', which is not one of the labels 'A' or 'B'"
        in (message)
    )


@pytest.mark.parametrize("spelt", [None, json.dumps, str], ids=["objects", "JSON", "Python"])
def test_choices_may_be_objects_and_spelt_as_texts(
    write: Write, tokenizer: Any, spelt: Any
) -> None:
    """As OpenBookQA has them, and as a CSV file does."""
    rows = []
    for gold in ("B", "A"):
        choices = [{"label": label, "text": text} for label, text in zip("AB", WORDS, strict=False)]
        row = {"question": f"What came with {gold}?", "choices": choices, "answer": gold}
        rows.append(row if spelt is None else {**row, "choices": spelt(choices)})
    _, data = chosen(write, tokenizer, rows)
    assert data.found == {"answer_is": "label"}
    assert data.splits["train"].gold.tolist() == [1, 0]
    assert data.splits["train"].references == [["coast"], ["storm"]]


@pytest.mark.parametrize(
    "text", ["['storm', open('x')]", "[storm]", "[" * 5000, "['storm' 'coast']"]
)
def test_a_text_that_is_no_list_of_choices_is_a_bad_row(
    write: Write, tokenizer: Any, text: str
) -> None:
    row = {"question": "What?", "choices": text, "answer": 0}
    assert "the choices (column 'choices') are" in message_of(write, tokenizer, [row])


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (["A"], "are not 2 in a list"),
        (None, "are not 2 in a list"),
        ("AB", "are not 2 in a list"),
        (["A", "A"], "hold one twice"),
        (["A", None], "the label (column 'choices') is missing"),
    ],
)
def test_labels_that_do_not_fit_the_choices_are_a_bad_row(
    write: Write, tokenizer: Any, labels: object, reason: str
) -> None:
    row = {"question": "what?", "choices": {"text": ["a", "b"], "label": labels}, "answer": "A"}
    message = message_of(write, tokenizer, [labelled("A", "A", "B"), row])
    assert "train.jsonl has bad rows: row 2" in message
    assert reason in message


# Choices that are refused


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        (None, "the choices (column 'choices') are missing"),
        ("storm", "are not a list but str; where each choice has a column of its own"),
        ({"text": ["a", "b"]}, "are not a list but dict"),
        ([], "are 0, and two or more are needed"),
        (["storm"], "are 1, and two or more are needed"),
        (["storm", "storm "], "hold 'storm' twice"),
        (["storm", None], "choice 1 (column 'choices') is missing"),
        (["", "storm"], "choice 0 (column 'choices') is empty"),
        (["storm", ["coast"]], "choice 1 (column 'choices') is not text but list"),
        (["storm", True], "choice 1 (column 'choices') is not text but bool"),
    ],
)
def test_choices_that_cannot_be_told_apart_are_a_bad_row(
    write: Write, tokenizer: Any, choices: object, reason: str
) -> None:
    rows = [*rows_of(0, 1), {"question": "what?", "choices": choices, "answer": 0}]
    message = message_of(write, tokenizer, rows)
    assert "train.jsonl has bad rows: row 3; in row 3 " in message
    assert reason in message
    assert "set task.on_bad_row: skip" in message
    _, data = chosen(write, tokenizer, rows, on_bad_row="skip")
    assert data.splits["train"].rows_skipped == 1
    [warning] = [text for text in data.warnings if "left out" in text]
    assert warning.startswith("1 bad row of train was left out; ") and "row 3 " in warning


def test_columns_with_one_choice_twice_are_a_bad_row(write: Write, tokenizer: Any) -> None:
    rows = [{"question": "what?", "a": "x", "b": "x", "answer": 0}]
    message = message_of(write, tokenizer, rows, choices=["a", "b"])
    assert "the choices (columns a and b) hold 'x' twice" in message


def test_a_choice_of_many_tokens_is_a_bad_row(write: Write, tokenizer: Any) -> None:
    """Found once all are tokenised, and left out like any other."""
    rows = [*rows_of(0, 1), *rows_of(0, choices=["storm " * 40, "coast"])]
    options = {"max_target_tokens": 16}
    message = message_of(write, tokenizer, rows, **options)
    assert "row 3 of" in message and "task.max_target_tokens is 16" in message
    _, data = chosen(write, tokenizer, rows, on_bad_row="skip", **options)
    train = data.splits["train"]
    assert train.rows.tolist() == [1, 2]
    assert train.rows_skipped == 1
    assert len(train.choice_sets) == 1 and len(train.gold) == len(train.tokens) == 2
    only = rows_of(0, choices=["storm " * 40, "coast"])
    assert "task.max_target_tokens" in message_of(
        write, tokenizer, only, on_bad_row="skip", **options
    )


@pytest.mark.parametrize(
    ("options", "place", "value"),
    [
        ({"question": ""}, "task.question", "empty"),
        ({"answer": ""}, "task.answer", "empty"),
        ({"choices": ""}, "task.choices", "''"),
        ({"choices": []}, "task.choices", "[]"),
        ({"choices": ["a"]}, "task.choices", "['a']"),
        ({"choices": ["a", "a"]}, "task.choices", "['a', 'a']"),
        ({"choices": ["a", ""]}, "task.choices", "('a', '')"),
        ({"choices": "question"}, "task.question and task.choices", "'question'"),
        ({"choices": ["a", "answer"]}, "task.answer and task.choices", "'answer'"),
        ({"question": "answer"}, "task.question and task.answer", "'answer'"),
        ({"answer_is": "word"}, "task.answer_is", "word"),
        ({"template": "{question} {choices}"}, "task.template", "{answer}"),
    ],
)
def test_an_option_out_of_range_names_place_and_value(
    options: dict[str, Any], place: str, value: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        task_of(kind="choose", **options)
    assert place in str(caught.value)
    assert value in str(caught.value)


def test_a_column_that_is_not_there_is_named(write: Write, tokenizer: Any) -> None:
    message = message_of(write, tokenizer, rows_of(0), choices=["a", "b"])
    assert "task.choices[0] is 'a'" in message


# What is asked and scored


def test_what_is_asked_and_scored() -> None:
    task = Choose(ChooseOptions(source="x"))
    assert [m.name for m in task.metrics] == ["accuracy", "accuracy_norm", "nll"]
    assert task.asks == {Ask.CHOICE, Ask.LIKELIHOOD}
    assert task.labels == ()


def test_a_random_choice_is_a_baseline(write: Write, tokenizer: Any) -> None:
    rows = [
        {"question": f"what {i}?", "choices": list("abcde")[: 2 + i % 4], "answer": 0}
        for i in range(600)
    ]
    task, data = chosen(write, tokenizer, rows)
    random, zero_shot = task.baselines
    assert (random.name, zero_shot.outputs) == ("random", None)
    assert list(task.all_baselines) == ["random", "zero_shot"]
    found = answers_of(random, data.splits["train"])
    assert found.tolist() == answers_of(random, data.splits["train"]).tolist()
    for count in range(2, 6):
        of_count = found[np.arange(600) % 4 == count - 2]
        shares = np.bincount(of_count, minlength=count) / len(of_count)
        assert len(shares) == count, "a choice that the row does not have"
        assert np.abs(shares - 1 / count).max() < 0.15
    other = task_of(kind="choose", seed=1).baselines[0]
    assert answers_of(other, data.splits["train"]).tolist() != found.tolist()


def answers_of(baseline: Any, part: Any) -> Any:
    outputs: ModelOutputs = baseline.outputs(None, part)
    assert outputs.chosen_N is not None
    return outputs.chosen_N


def test_accuracy_norm_divides_by_the_characters_of_a_choice(write: Write, tokenizer: Any) -> None:
    """Those of the choice as the row has it, as lm-evaluation-harness's acc_norm does."""
    task, data = chosen(write, tokenizer, rows_of(1, choices=["abcdef", "abc"]))
    norm = task.metrics[1]
    # 0.9 and 0.93 nats per character, but 0.77 and 0.7 with the space before them.
    outputs = ModelOutputs(choice_nlls=[np.array([5.4, 2.8])])
    assert norm.statistics(outputs, data.splits["train"].expected)[:, 0].tolist() == [0.0]


def test_what_is_kept_is_what_was_prepared(write: Write, tokenizer: Any, tmp_path: Path) -> None:
    rows = [*rows_of("B", "C"), *rows_of("A", choices=["x", "y"])]
    root = write("train.jsonl", rows).parent
    for split in ("validation", "test"):
        write(f"{split}.jsonl", rows)
    first, second = (
        prepared(task_of(kind="choose"), tokenizer, root, cache_dir=tmp_path / "kept")
        for _ in range(2)
    )
    for data in (first, second):
        train = data.splits["train"]
        assert train.gold.tolist() == [1, 2, 0] and train.choice_set.tolist() == [0, 0, 1]
        assert data.found == {"answer_is": "letter"}
    pairs = zip(first.splits["test"].choice_sets, second.splits["test"].choice_sets, strict=True)
    for one, other in pairs:
        assert one.texts == other.texts
        assert json.dumps([i.tolist() for i in one.tokens]) == json.dumps(
            [i.tolist() for i in other.tokens]
        )
