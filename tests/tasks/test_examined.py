"""What is found out about the rows of all splits together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.data.hygiene.lengths import ANSWER, NEEDED, ROW
from bakeoff.errors import DataError
from bakeoff.tasks.preparation.examined import seen_in_training
from tests.chat_shapes import chat_tokenizer
from tests.tasks.preparing import Write, prepared, prepared_rows, task_of

WORDS = [
    "storm",
    "coast",
    "bridge",
    "mayor",
    "river",
    "market",
    "school",
    "train",
    "night",
    "morning",
    "harbour",
    "winter",
]


def rows_of(numbers: range) -> list[dict[str, Any]]:
    """Rows that share no input and no answer."""
    return [
        {
            "document": f"The {WORDS[n % 12]} {n} of {WORDS[n // 12 % 12]} was seen.",
            "summary": f"{WORDS[n % 12]} {n}",
        }
        for n in numbers
    ]


def test_a_test_set_that_is_the_validation_set_stops(write: Write, tokenizer: Any) -> None:
    train, same = rows_of(range(30)), rows_of(range(50, 62))
    with pytest.raises(DataError) as caught:
        prepared_rows(write, tokenizer, train, same, same, allow_overlap=False)
    message = str(caught.value)
    assert "test and validation are the same set" in message
    assert "all 12 rows of test are in validation, document and summary alike" in message
    assert "rows 1 and 1, 2 and 2 and 3 and 3" in message
    assert "validation.jsonl" in message and "test.jsonl" in message
    assert "task.allow_overlap: true" in message and "Give other files" in message


def test_with_leave_the_study_goes_on_and_says_so(write: Write, tokenizer: Any) -> None:
    train, mostly = rows_of(range(30)), rows_of(range(18, 34))
    _, data = prepared_rows(write, tokenizer, train, rows_of(range(50, 55)), mostly)
    [caution] = data.cautions
    assert caution.startswith("Test is mostly in train: 12 of its 16 rows are there")
    assert "task.allow_overlap" in caution
    assert data.overlap.train_test == 12


def test_splits_of_their_own_are_silent(write: Write, tokenizer: Any) -> None:
    parts = (rows_of(range(30)), rows_of(range(50, 60)), rows_of(range(70, 80)))
    _, data = prepared_rows(write, tokenizer, *parts, allow_overlap=False)
    assert data.cautions == [] and data.warnings == []


def test_nearly_the_same_rows_are_a_warning(write: Write, tokenizer: Any) -> None:
    document = " ".join(f"{word} {i}" for i in range(4) for word in WORDS)
    train = [*rows_of(range(20)), {"document": document, "summary": "first"}]
    test = [*rows_of(range(70, 75)), {"document": f"{document} again", "summary": "second"}]
    _, data = prepared_rows(write, tokenizer, train, rows_of(range(50, 55)), test, max_length=600)
    assert data.overlap.train_test_near == 1
    [warning] = data.warnings
    assert warning == (
        "1 row of test has nearly the document of a row of train, such as row 6 that of row 21."
    )


@pytest.mark.parametrize("shape", [None, "chatml"])
def test_answers_that_the_input_says(write: Write, tokenizer: Any, shape: str | None) -> None:
    """The mark at the end of a turn, which is learnt as well, stands in no document."""
    tokenizer = chat_tokenizer(shape) if shape else tokenizer
    train = [
        {
            "document": f"{row['document']} Told was: {row['summary']} in winter.",
            "summary": f"told was: {row['summary']} in winter",
        }
        for row in rows_of(range(20))
    ]
    parts = (train, rows_of(range(50, 55)), rows_of(range(70, 75)))
    _, data = prepared_rows(write, tokenizer, *parts, max_length=400)
    [caution] = data.cautions
    assert caution.startswith("In 20 of 20 rows of train that were looked at, the summary stands")
    assert "leak" in caution and "extract" in caution


def test_labels_that_the_text_names(write: Write, tokenizer: Any) -> None:
    labels = ("sport", "trade")
    train = [{"text": f"Desk: {labels[n % 2]}. Row {n}", "label": labels[n % 2]} for n in range(12)]
    test = [{"text": f"Row {n} of another kind", "label": labels[n % 2]} for n in range(4)]
    _, data = prepared_rows(write, tokenizer, train, test[:3], test[1:], kind="classify")
    assert ["names the right label and no other" in c for c in data.cautions] == [True]
    assert "rows of train" in data.cautions[0]


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ("ab" * 10, None),
        ("a" * 5 + "b" * 15, "in the order of their labels"),
        ("a" * 20, "have the label 'a'"),
    ],
)
def test_the_first_rows_of_a_file_in_the_order_of_its_labels(
    order: str, said: str | None, write: Write, tokenizer: Any
) -> None:
    train = [{"text": f"Row {n} is here", "label": "ab"[n % 2]} for n in range(12)]
    test = [{"text": f"Text {n} of others", "label": label} for n, label in enumerate(order)]
    more = [{"text": f"Text {n} of the rest", "label": "b"} for n in range(20, 30)]
    valid = [{"text": f"Line {n} of a third kind", "label": "ab"[n % 2]} for n in range(8)]
    options: dict[str, Any] = {"kind": "classify", "examples": {"test": 20}}
    _, data = prepared_rows(write, tokenizer, train, valid, test + more, **options)
    assert [said is not None and said in caution for caution in data.cautions] == (
        [True] if said else []
    )
    if said:
        assert "task.examples.test: 20" in data.cautions[0] and "Shuffle" in data.cautions[0]
    _, data = prepared_rows(write, tokenizer, train, valid, test, kind="classify")
    assert data.cautions == []


def test_groups_that_given_splits_share(write: Write, tokenizer: Any) -> None:
    parts = [rows_of(range(*edges)) for edges in ((0, 10), (50, 54), (70, 74))]
    for part, group in zip(parts, "abb", strict=True):
        for row in part:
            row["customer"] = group
    _, data = prepared_rows(write, tokenizer, *parts, group="customer")
    [caution] = data.cautions
    assert caution.startswith(
        "1 groups (task.group: customer) are in validation and in test, such as 'b': 4 of the 4 "
        "rows of test"
    )


def talk_of(number: int, answers: int, last: str = "") -> dict[str, Any]:
    """A conversation of several answers; ``last`` is the last one, where it is another."""
    said = []
    for turn in range(answers):
        answer = last if last and turn == answers - 1 else f"{WORDS[turn]} {number} it is"
        said += [
            {"role": "user", "content": f"Which {WORDS[turn]} is number {number}?"},
            {"role": "assistant", "content": answer},
        ]
    return {"messages": said}


def test_conversations_that_go_on_in_another_split(write: Write, tokenizer: Any) -> None:
    train = [talk_of(n, 2) for n in range(8)]
    valid = [talk_of(n, 2) for n in range(20, 24)]
    shorter, longer = talk_of(3, 1), talk_of(5, 3)
    shorter["messages"][0]["content"] = "WHICH  storm is number 3?"
    test = [talk_of(30, 2), shorter, longer, talk_of(6, 3), talk_of(20, 1)]
    _, data = prepared_rows(write, tokenizer, train, valid, test, kind="chat")
    assert data.overlap.train_test == data.overlap.validation_test == 0, "of whole inputs"
    [caution] = data.cautions
    assert (
        "in two splits: 1 of the 5 rows of test is the beginning of a conversation of train and 2 "
        "go on from one, such as row 2 of test and row 4 of train; 1 of the 5 rows of test is the "
        "beginning of a conversation of validation, such as row 5 of test and row 1 of validation."
    ) in caution
    assert "Keep the longest row of each talk" in caution and "task.group" in caution


def test_a_greeting_is_of_no_one_talk(write: Write, tokenizer: Any) -> None:
    hello = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]

    def after(number: int) -> dict[str, Any]:
        return {"messages": [*hello, *talk_of(number, 1)["messages"]]}

    train = [{"messages": hello}, *(after(n) for n in range(8))]
    test = [{"messages": hello}, *(after(n) for n in range(30, 36))]
    _, data = prepared_rows(write, tokenizer, train, [talk_of(20, 1)], test, kind="chat")
    assert not [said for said in data.cautions if "row for each answer" in said]


def test_a_row_that_goes_on_alone_is_said(write: Write, tokenizer: Any) -> None:
    parts = ([talk_of(n, 1) for n in range(8)], [talk_of(20, 1)], [talk_of(5, 3)])
    _, data = prepared_rows(write, tokenizer, *parts, kind="chat")
    [caution] = data.cautions
    assert "1 of the 1 rows of test goes on from a conversation of train, such as row 1" in caution


def test_conversations_that_only_begin_alike_are_not_of_one_talk(
    write: Write, tokenizer: Any
) -> None:
    """Such as several answers to one prompt, or the same row twice, which are counted elsewhere."""
    train = [talk_of(n, 2) for n in range(8)]
    test = [talk_of(3, 2, last="another"), talk_of(4, 2), talk_of(5, 1, last="another")]
    _, data = prepared_rows(write, tokenizer, train, [talk_of(20, 2)], test, kind="chat")
    assert data.cautions == []


@pytest.mark.parametrize("group", [None, "talk"])
def test_a_row_for_each_answer_of_a_talk_in_one_file(
    write: Write, tokenizer: Any, group: str | None
) -> None:
    rows = [{**talk_of(n, answers), "talk": n} for n in range(60) for answers in (1, 2, 3)]
    root = write("rows.jsonl", rows).parent
    task = task_of(kind="chat", source="rows.jsonl", group=group)
    cautions = prepared(task, tokenizer, root).cautions
    assert ["written as a row for each answer" in said for said in cautions] == (
        [] if group else [True]
    )


def test_a_benchmark_by_its_name(write: Write, tokenizer: Any) -> None:
    for name, part in (("train", (0, 9)), ("dev", (50, 54)), ("test", (70, 74))):
        place = write(f"gsm8k/{name}.jsonl", rows_of(range(*part)))
    data = prepared(task_of(source="gsm8k"), tokenizer, place.parent.parent)
    assert [c.partition(",")[0] for c in data.cautions] == ["The test set is named as GSM8K"]


@pytest.mark.parametrize(
    "source",
    [
        ["gsm8k/a.jsonl", "gsm8k/b.jsonl"],
        "gsm8k/*.jsonl",
        {
            "train": ["c.jsonl"],
            "validation": ["gsm8k/b.jsonl"],
            "test": ["d.jsonl", "gsm8k/a.jsonl"],
        },
    ],
)
def test_a_benchmark_by_the_name_of_one_of_several_files(
    write: Write, tokenizer: Any, source: Any
) -> None:
    for name, start in (("gsm8k/a", 0), ("gsm8k/b", 40), ("d", 80)):
        write(f"{name}.jsonl", rows_of(range(start, start + 40)))
    root = write("c.jsonl", rows_of(range(120, 140))).parent
    data = prepared(task_of(source=source), tokenizer, root)
    assert [c.partition(",")[0] for c in data.cautions] == ["The test set is named as GSM8K"]


def test_rows_of_a_choice_are_compared_with_their_choices(write: Write, tokenizer: Any) -> None:
    asked = {"question": "Which of these is right?", "answer": 0}
    train = [{**asked, "choices": [f"one {n}", f"two {n}"]} for n in range(6)]
    test = [{**asked, "choices": ["two 3", "one 3"], "answer": 1}]
    parts = (train, [{**asked, "choices": ["a b", "c d"]}], test)
    _, data = prepared_rows(write, tokenizer, *parts, kind="choose")
    assert data.overlap.train_duplicates == data.overlap.train_near == 0
    assert data.overlap.train_validation == 0
    assert data.overlap.train_test == 1  # the same choices in another order


def test_lengths_are_those_of_uncut_rows(write: Write, tokenizer: Any, tmp_path: Path) -> None:
    train = [
        {"document": " ".join(WORDS[i % 12] for i in range(3 * n + 1)), "summary": "storm"}
        for n in range(20)
    ]
    parts = (train, rows_of(range(50, 54)), rows_of(range(70, 74)))
    given: dict[str, Any] = {"max_target_tokens": 8}
    _, whole = prepared_rows(write, tokenizer, *parts, max_length=900, **given)
    lengths = whole.splits["train"].lengths
    assert lengths[:, ROW].tolist() == whole.splits["train"].tokens.lengths.tolist()
    assert lengths[:, ANSWER].tolist() == whole.splits["train"].target_counts.tolist()
    edge = int(np.sort(lengths[:, NEEDED])[11])
    for most, cut in ((edge, 8), (edge - 1, 9)):
        data = prepared(task_of(max_length=most, **given), tokenizer, tmp_path)
        part = data.splits["train"]
        np.testing.assert_array_equal(part.lengths, lengths)
        assert part.rows_cut == cut == int((lengths[:, NEEDED] > most).sum())


def test_a_further_test_set_is_held_against_the_training_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train = [row["document"] for row in rows_of(range(40))]
    test = [train[3].upper(), train[4].replace("was", "was, "), "Nothing of the kind."]
    same = "also_test.more: 1 row has a document that is in the training rows too."
    near = "also_test.more: 1 row has nearly the document of a training row."
    assert seen_in_training("also_test.more", "document", train, test) == [same, near]
    monkeypatch.setattr("bakeoff.tasks.preparation.examined._MOST_CHARACTERS", 100)
    assert seen_in_training("also_test.more", "document", train, test) == [same]
