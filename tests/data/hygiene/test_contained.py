from __future__ import annotations

import pytest

from bakeoff.data.hygiene.overlap import OverlapRow, find_overlap
from bakeoff.types import Split


def rows(numbers: range, answer: str = "answer") -> list[OverlapRow]:
    return [OverlapRow(n, (f"Text {n}",), None, f"{answer} {n}") for n in numbers]


def contained(test: list[OverlapRow], validation: list[OverlapRow]) -> tuple[object, ...]:
    splits: dict[Split, list[OverlapRow]] = {
        "train": rows(range(1000, 1200)),
        "validation": validation,
        "test": test,
    }
    return find_overlap(splits).contained


def test_a_test_set_that_is_the_validation_set() -> None:
    again = [OverlapRow(r.row, (f" TEXT  {r.row}",), None, r.answer) for r in rows(range(50))]
    [found] = contained(rows(range(50)), again)
    assert found == ("test", "validation", 50, 50, True, (0, 1, 2, 3, 4), (0, 1, 2, 3, 4))


@pytest.mark.parametrize(
    ("size", "shared", "stops"),
    [(40, 21, True), (40, 20, False), (14, 9, False), (14, 10, True), (9, 9, False), (1, 1, False)],
)
def test_more_than_half_of_the_smaller_and_ten_at_least(
    size: int, shared: int, stops: bool
) -> None:
    test = [*rows(range(shared)), *rows(range(500, 500 + size - shared))]
    found = contained(test, rows(range(100)))
    assert [f[:5] for f in found] == ([("test", "validation", shared, size, False)] * stops)  # type: ignore[index]


@pytest.mark.parametrize("size", [1, 3, 9])
def test_equal_sets_count_however_small(size: int) -> None:
    assert len(contained(rows(range(size)), rows(range(size))[::-1])) == 1


def test_equal_inputs_with_other_answers_are_other_rows() -> None:
    assert contained(rows(range(50)), rows(range(50), "another")) == ()


def test_the_smaller_of_two_splits_may_be_the_training_set() -> None:
    splits: dict[Split, list[OverlapRow]] = {
        "train": rows(range(20)),
        "validation": rows(range(500, 520)),
        "test": rows(range(100)),
    }
    [found] = find_overlap(splits).contained
    assert (found.smaller, found.larger, found.shared, found.rows) == ("train", "test", 20, 20)
