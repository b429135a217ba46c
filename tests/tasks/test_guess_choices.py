"""Which column names the right choice."""

from __future__ import annotations

from typing import Any

import pytest

from bakeoff.data.columns import Table, parsed_list
from bakeoff.tasks.guess.guess_choices import guess_choices


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
