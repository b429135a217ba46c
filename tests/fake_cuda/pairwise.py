"""A small set of combinations in which every pair of values occurs.

Source of the greedy form: Cohen et al. 1997, "The AETG system", IEEE TSE 23(7); without its random
draws, so that the same axes always give the same combinations.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations

Value = Hashable
Pair = tuple[int, Value, int, Value]


def pairs_of(row: Sequence[Value]) -> set[Pair]:
    """The pairs of values that a combination holds, each with its axes."""
    return {(i, row[i], j, row[j]) for i, j in combinations(range(len(row)), 2)}


def all_pairs(
    axes: Sequence[Sequence[Value]], excluded: frozenset[Pair] = frozenset()
) -> list[tuple[Value, ...]]:
    """Combinations, one value of each axis, that hold every pair of values of two axes.

    Each begins with a pair that is still missing and takes, axis by axis, the value that brings
    most missing pairs; among equals the one that has been used least, then the first.

    Args:
        axes: the values of each axis, in an order that stays.
        excluded: pairs that cannot be together; every axis keeps a value that fits the others.
    """
    missing = {
        (i, a, j, b): None
        for i, j in combinations(range(len(axes)), 2)
        for a in axes[i]
        for b in axes[j]
        if (i, a, j, b) not in excluded
    }
    used = [dict.fromkeys(axis, 0) for axis in axes]
    rows: list[tuple[Value, ...]] = []
    while missing:
        i, a, j, b = next(iter(missing))
        chosen: dict[int, Value] = {i: a, j: b}
        for axis in range(len(axes)):
            if axis not in chosen:
                fitting = [v for v in axes[axis] if not excluded & _pairs_with(chosen, axis, v)]
                chosen[axis] = max(
                    fitting,
                    key=lambda value: (
                        len(missing.keys() & _pairs_with(chosen, axis, value)),
                        -used[axis][value],
                    ),
                )
        row = tuple(chosen[axis] for axis in range(len(axes)))
        for axis, value in enumerate(row):
            used[axis][value] += 1
        for pair in pairs_of(row):
            missing.pop(pair, None)
        rows.append(row)
    return rows


def _pairs_with(chosen: Mapping[int, Value], axis: int, value: Value) -> set[Pair]:
    """The pairs that a value of an axis makes with what is chosen."""
    return {
        (other, c, axis, value) if other < axis else (axis, value, other, c)
        for other, c in chosen.items()
    }
