"""Sentences of the referee."""

from __future__ import annotations

import pytest

from bakeoff.decide.referee.wording import skewed_rows, untested

PAIRS = [("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d")]


@pytest.mark.parametrize(
    ("count", "named"),
    [
        (1, "between a and b, so"),
        (3, "between a and b; a and c; a and d, so"),
        (4, "between a and b; a and c; a and d and 1 other pair, so"),
        (5, "between a and b; a and c; a and d and 2 other pairs, so"),
    ],
)
def test_three_pairs_of_skewed_rows_are_named_and_others_counted(count: int, named: str) -> None:
    assert named in skewed_rows(PAIRS[:count])


@pytest.mark.parametrize(
    ("count", "named"),
    [
        (1, "a and b are not"),
        (3, "a with b, a with c and a with d are not"),
        (4, "a with b, a with c, a with d and 1 other pair are not"),
        (5, "a with b, a with c, a with d and 2 other pairs are not"),
    ],
)
def test_three_pairs_that_are_not_compared_are_named_and_others_counted(
    count: int, named: str
) -> None:
    assert untested(PAIRS[:count], "why") == f"{named} compared: why"
