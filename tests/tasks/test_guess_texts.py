"""Which texts are pairs, and how they are joined where no template says it."""

from __future__ import annotations

import pytest

from bakeoff.data.columns import Table
from bakeoff.tasks.guess.guess_texts import guess_completions, guess_summaries
from bakeoff.tasks.guess.guessing import guess_task


@pytest.mark.parametrize(
    ("name", "before", "after", "template"),
    [
        ("prompt", "", "", "{prompt}\n\n{completion}"),
        ("question", "", "", "Question: {prompt}\nAnswer: {completion}"),
        # White space of the data keeps the words apart already.
        ("prompt", " ", "", None),
        ("prompt", "", " ", None),
    ],
)
def test_words_of_prompt_and_completion_are_kept_apart(
    name: str, before: str, after: str, template: str | None
) -> None:
    rows = [
        {name: f"The storm hit town {i} and went on{before}", "completion": f"{after}The {i} coast"}
        for i in range(20)
    ]
    found = guess_completions(Table.of(rows))
    assert found is not None
    assert found.plain_template == template


@pytest.mark.parametrize(("ending", "is_apart"), [(10, True), (9, False)])
def test_white_space_in_half_of_the_rows_is_enough(ending: int, is_apart: bool) -> None:
    rows = [
        {"prompt": f"The storm hit town {i}" + " " * (i < ending), "completion": f"The {i} coast"}
        for i in range(20)
    ]
    found = guess_completions(Table.of(rows))
    assert found is not None
    assert (found.plain_template is None) is is_apart


def test_a_column_that_is_called_a_prompt_outweighs_one_of_few_numbers() -> None:
    rows = [
        {"prompt": f"The storm hit {i}.", "remark": f"So the coast {i} flooded.", "n": i % 3}
        for i in range(40)
    ]
    best = guess_task(Table.of(rows)).best
    assert (best.kind, best.options["completion"]) == ("complete", "remark")


@pytest.mark.parametrize(
    ("name", "words", "is_by_name"),
    [("summary", 20, True), ("title", 20, False), ("title", 40, True)],
)
def test_a_title_is_of_a_text_three_times_its_length(
    name: str, words: int, is_by_name: bool
) -> None:
    rows = [{"body": f"{i} " + "storm " * words, name: f"{i} " + "town " * 10} for i in range(20)]
    found = guess_summaries(Table.of(rows))
    assert found is not None
    assert found.reasons["kind"].startswith(f"'{name}' by its name") is is_by_name


@pytest.mark.parametrize(("words", "is_summary"), [(2, False), (3, True), (14, True), (15, False)])
def test_what_a_document_says_too_is_its_summary_in_a_third_of_the_words(
    words: int, is_summary: bool
) -> None:
    rows = [{"one": f"storm{i} " * 44, "other": f"storm{i} " * words} for i in range(20)]
    found = guess_summaries(Table.of(rows))
    assert found is not None
    assert found.reasons["kind"].startswith("what 'other' says is in 'one'") is is_summary


@pytest.mark.parametrize(("copied", "is_summary"), [("storm", True), ("cloud", False)])
def test_short_words_say_nothing_of_what_a_summary_is_of(copied: str, is_summary: bool) -> None:
    rows = [
        {"one": f"{i} the storm and the sea " * 10, "other": f"the {copied} and the sea {i}"}
        for i in range(20)
    ]
    found = guess_summaries(Table.of(rows))
    assert found is not None
    assert found.reasons["kind"].startswith("what 'other' says is in 'one'") is is_summary


@pytest.mark.parametrize(
    ("names", "options"),
    [
        # A name with a brace cannot stand in a template.
        (("{place}", "news"), {"prompt": "news", "completion": "answer"}),
        (("{place}", "{news}"), {"prompt": "{place}", "completion": "answer"}),
    ],
)
def test_a_column_with_braces_in_its_name_is_read_alone_or_not_at_all(
    names: tuple[str, str], options: dict[str, str]
) -> None:
    rows = [
        {name: f"The storm hit {name} {i} and went on" for name in names} | {"answer": f"The {i}"}
        for i in range(20)
    ]
    found = guess_completions(Table.of(rows))
    assert found is not None
    assert {key: found.options[key] for key in options} == options
    assert "template" not in found.options


@pytest.mark.parametrize(
    ("answers", "metrics"),
    [
        (["Delphi", "Cobol", "Ada", "Ruby"], ["exact_match", "f1"]),
        (["C", "C++", "C#", "Ruby"], ["strict_match", "f1"]),
        (["A", "B", "C", "D"], ["strict_match", "f1"]),
        (["5", "-5", "3", "7"], ["number", "strict_match"]),
        (["5", "6", "3", "7"], ["number", "exact_match"]),
        (['{"a": -5}', '{"a": 5}', '{"a": 6}', '{"a": 7}'], ["json_valid", "strict_match"]),
    ],
)
def test_answers_in_which_signs_count_are_compared_strictly(
    answers: list[str], metrics: list[str]
) -> None:
    rows = [
        {"prompt": f"The storm hit town {i} and went on", "completion": answers[i % 4]}
        for i in range(40)
    ]
    found = guess_task(Table.of(rows), "complete").best
    assert found.options["metrics"] == metrics


def test_one_decimal_among_many_answers_leaves_the_rules_of_squad() -> None:
    rows = [
        {"prompt": f"The storm hit town {i} and went on", "completion": f"to number {i} again"}
        for i in range(40)
    ]
    rows[7]["completion"] = "1.5 million of them"
    found = guess_task(Table.of(rows), "complete").best
    assert found.options["metrics"] == ["exact_match", "f1"]
