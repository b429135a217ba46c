"""Splits that are equal, or of which one is mostly in the other: no score of such a set counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from bakeoff.types import Split

_MUCH: Final = 0.5
_LEAST_SHARED: Final = 10
"""Fewer rows may be the same by chance, unless all are."""
_ROWS_SHOWN: Final = 5


class Contained(NamedTuple):
    """Two splits that are equal or mostly the same, and a few rows that are in both.

    Attributes:
        smaller, larger: the splits.
        shared: rows of the smaller one that are in the larger, input and target.
        rows: of the smaller one.
        are_equal: whether each row of either is in the other.
        smaller_rows, larger_rows: up to five pairs of rows that are the same.
    """

    smaller: Split
    larger: Split
    shared: int
    rows: int
    are_equal: bool
    smaller_rows: tuple[int, ...]
    larger_rows: tuple[int, ...]

    @classmethod
    def of(cls, *values: Any) -> Contained:
        """From its values as JSON holds them."""
        given: list[Any] = [tuple(one) if isinstance(one, list) else one for one in values]
        return cls(*given)


def find_contained(
    splits: Mapping[Split, Sequence[tuple[int, bytes]]], pairs: Sequence[tuple[Split, Split]]
) -> tuple[Contained, ...]:
    """The pairs of splits that are equal or mostly the same.

    Equal ones count however small they are. Of others more than half of the smaller one's rows, and
    ten at least, must be in the larger one: in a handful of rows a short text repeats by chance.

    Args:
        splits: of each row its number and a digest of all of it. pairs: that are compared.
    """
    found = []
    for pair in pairs:
        larger, smaller = sorted(pair, key=lambda split: (-len(splits[split]), pair.index(split)))
        known: dict[bytes, int] = {}
        for row, digest in splits[larger]:
            known.setdefault(digest, row)
        shared = [(row, known[digest]) for row, digest in splits[smaller] if digest in known]
        are_equal = known.keys() == {digest for _, digest in splits[smaller]}
        is_much = len(shared) > _MUCH * len(splits[smaller]) and len(shared) >= _LEAST_SHARED
        if are_equal or is_much:
            found.append(
                Contained(
                    smaller=smaller,
                    larger=larger,
                    shared=len(shared),
                    rows=len(splits[smaller]),
                    are_equal=are_equal,
                    smaller_rows=tuple(row for row, _ in shared[:_ROWS_SHOWN]),
                    larger_rows=tuple(row for _, row in shared[:_ROWS_SHOWN]),
                )
            )
    return tuple(found)
