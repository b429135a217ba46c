"""Rows that are in more than one split, which make a test score look better than it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from bakeoff.data.cleaning import normalise
from bakeoff.types import Split

MAX_EXAMPLES: Final = 20
_PAIRS: Final[tuple[tuple[Split, Split], ...]] = (
    ("train", "test"),
    ("train", "validation"),
    ("validation", "test"),
)


class OverlapExample(NamedTuple):
    """Two rows with the same text."""

    first_split: Split
    first_row: int
    second_split: Split
    second_row: int
    column: Literal["input", "target"]


class OverlapRow(NamedTuple):
    """What is compared of one row; a target of None is one that repeats by its nature."""

    row: int
    input: str
    target: str | None


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """How many rows of one split are in another.

    Texts count as the same where only case and spacing differ. An input that is in both is
    a leak. A target alone need not be one (subject lines repeat), so those have their own counts,
    of rows whose input is not in the other split.

    Attributes:
        train_test: test rows whose input is in train.
        train_validation: validation rows whose input is in train.
        validation_test: test rows whose input is in validation.
        train_test_targets: test rows of which only the target is in train.
        train_validation_targets: validation rows of which only the target is in train.
        validation_test_targets: test rows of which only the target is in validation.
        train_duplicates: train rows whose input is that of an earlier train row.
        examples: up to ``MAX_EXAMPLES`` pairs of rows, inputs before targets.
    """

    train_test: int = 0
    train_validation: int = 0
    validation_test: int = 0
    train_test_targets: int = 0
    train_validation_targets: int = 0
    validation_test_targets: int = 0
    train_duplicates: int = 0
    examples: tuple[OverlapExample, ...] = ()


def find_overlap(splits: Mapping[Split, Iterable[OverlapRow]]) -> Overlap:
    """Compares every pair of splits, by digests of the normalised texts.

    Args:
        splits: the rows of train, validation and test, each with its number in the source.
    """
    keys = {
        split: [
            (row.row, _digest(row.input), None if row.target is None else _digest(row.target))
            for row in rows
        ]
        for split, rows in splits.items()
    }
    counts: dict[str, int] = {}
    by_input: list[OverlapExample] = []
    by_target: list[OverlapExample] = []
    for first, second in _PAIRS:
        inputs: dict[bytes, int] = {}
        targets: dict[bytes, int] = {}
        for row, content, target in keys[first]:
            inputs.setdefault(content, row)
            if target is not None:
                targets.setdefault(target, row)
        leaks, repeats = 0, 0
        for row, content, target in keys[second]:
            if (other := inputs.get(content)) is not None:
                leaks += 1
                by_input.append(OverlapExample(first, other, second, row, "input"))
            elif target is not None and (other := targets.get(target)) is not None:
                repeats += 1
                by_target.append(OverlapExample(first, other, second, row, "target"))
        counts[f"{first}_{second}"] = leaks
        counts[f"{first}_{second}_targets"] = repeats
    train = keys["train"]
    return Overlap(
        **counts,
        train_duplicates=len(train) - len({content for _, content, _ in train}),
        examples=tuple((by_input + by_target)[:MAX_EXAMPLES]),
    )


def _digest(text: str) -> bytes:
    return hashlib.blake2b(normalise(text).encode("utf-8"), digest_size=16).digest()
