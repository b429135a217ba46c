"""Which column names the right choice."""

from __future__ import annotations

from typing import Any

import pytest

from bakeoff.data.columns import Table, parsed_list
from bakeoff.tasks.guess.guess_choices import guess_choices
from bakeoff.tasks.guess.guessing import guess_task


@pytest.mark.parametrize(("answered", "is_found"), [(20, True), (10, True), (9, False)])
def test_an_answer_must_be_there_in_half_of_the_rows(answered: int, is_found: bool) -> None:
    rows: list[dict[str, Any]] = [
        {
            "question": f"Which of them hit town {i}?",
            "choices": [f"storm {i}", f"flood {i}", f"fire {i}"],
            "answer": i % 3 if i < answered else None,
        }
        for i in range(20)
    ]
    assert (guess_choices(Table.of(rows)) is not None) is is_found


@pytest.mark.parametrize(("odd", "is_found"), [(0, True), (1, True), (2, False)])
def test_a_rule_must_fit_nineteen_of_twenty_rows(odd: int, is_found: bool) -> None:
    rows: list[dict[str, Any]] = [
        {
            "question": f"Which of them hit town {i}?",
            "choices": [f"storm {i}", f"flood {i}", f"fire {i}"],
            "answer": "neither of them" if i < odd else f"flood {i}",
        }
        for i in range(20)
    ]
    assert (guess_choices(Table.of(rows)) is not None) is is_found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('["a", "b"]', ["a", "b"]),
        ("['a', 'it\\'s']", ["a", "it's"]),
        ("['a b' 'c']", None),  # NumPy's, which Python would join
        ("['a'\n 'b']", None),
        ("{'text': array(['a', 'b'])}", None),
        ("['a', ", None),
        ("[" * 5000, None),
        ("a, b", None),
    ],
)
def test_lists_in_cells_are_json_or_pythons(text: str, found: list[str] | None) -> None:
    assert parsed_list(text) == found


def words(i: int, what: str) -> str:
    """A text that is not like another row's."""
    return f"{what} {'abcdefghij'[i % 10]} of {'klmnopqrst'[i // 10 % 10]} hits the town again"


@pytest.mark.parametrize(
    "more",
    [
        lambda i: {"score1": f"{i / 7:.2f}", "score2": f"{i / 9:.2f}"},
        lambda i: {"sentence1": words(i, "storm"), "sentence2": words(3 * i, "flood")},
        lambda i: {f"annotator_{n}": "01"[(i + n) % 2] for n in (1, 2, 3)},
        lambda i: {f"annotator_{n}": ["calm", "rough"][(i + n) % 2] for n in (1, 2, 3)},
        lambda i: {"tokens": ["the", "storm", "hits", "the", "town"]},
    ],
    ids=["decimals", "two sentences", "annotators", "annotators in words", "tokens"],
)
def test_numbered_columns_beside_labels_are_no_choices(more: Any) -> None:
    rows: list[dict[str, Any]] = [
        {"text": words(i, "wind"), **more(i), "label": str(i // 3 % 2)} for i in range(80)
    ]
    assert guess_task(Table.of(rows)).best.kind == "classify"


def test_the_majority_of_annotators_is_no_choice() -> None:
    said = ["calm", "rough"]
    rows = [
        {
            "text": words(i, "wind"),
            "annotator_1": said[i % 2],
            "annotator_2": said[i % 2],
            "annotator_3": said[i // 2 % 2],
            "label": said[i % 2],
        }
        for i in range(80)
    ]
    assert guess_choices(Table.of(rows)) is None


@pytest.mark.parametrize(
    ("names", "answer", "is_found"),
    [
        (("a", "b"), "01", True),
        (("sol1", "sol2"), "01", True),
        (("ending0", "ending1"), "01", True),
        (("answerA", "answerB"), "12", True),
        (("opción 1", "opción 2"), "12", True),
        (("response_a", "response_b"), "01", True),
        (("sentence_a", "sentence_b"), "ab", True),
        (("sentence1", "sentence2"), "01", False),
        (("0", "1"), "01", False),
    ],
)
def test_names_say_that_columns_hold_choices(
    names: tuple[str, str], answer: str, is_found: bool
) -> None:
    rows = [
        {
            "goal": words(i, "wind"),
            names[0]: words(7 * i, "storm"),
            names[1]: words(3 * i, "flood"),
            "label": answer[i % 2],
        }
        for i in range(80)
    ]
    table = Table.of(rows)
    assert (guess_task(table).best.kind == "choose") is is_found
    assert guess_choices(table) is not None, "--kind choose takes them"


def test_choices_may_be_numbers_where_they_are_called_choices() -> None:
    rows = [
        {"question": f"{words(i, 'sum')}?", "a": str(i), "b": str(2 * i + 1), "answer": "ab"[i % 2]}
        for i in range(80)
    ]
    assert guess_task(Table.of(rows)).best.kind == "choose"


@pytest.mark.parametrize("first", [0, 1])
def test_an_empty_cell_leaves_the_other_numbers_a_choice(first: int) -> None:
    """pandas writes ``2.0`` for all of them then."""
    rows: list[dict[str, Any]] = [
        {
            "question": f"{words(i, 'wind')}?",
            "a": words(7 * i, "storm"),
            "b": words(3 * i, "flood"),
            "answer": f"{i % 2 + first}.0" if i != 5 else None,
        }
        for i in range(80)
    ]
    best = guess_task(Table.of(rows)).best
    assert (best.kind, best.options["answer_is"]) == ("choose", ("index", "number")[first])
    assert not any("may count from 0 or from 1" in note for note in best.notes)


def test_columns_that_are_called_choices_go_before_others() -> None:
    rows = [
        {
            "sent1": words(i, "wind"),
            "sent2": words(7 * i, "gust"),
            "ending1": words(3 * i, "flood"),
            "ending2": words(9 * i, "fire"),
            "label": str(i % 2),
        }
        for i in range(80)
    ]
    assert guess_task(Table.of(rows)).best.options["choices"] == ["ending1", "ending2"]
