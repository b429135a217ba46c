"""Rows that are in more than one split, which make a test score look better than it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.cleaning import normalise
from bakeoff.data.hygiene.contained import Contained, find_contained
from bakeoff.data.hygiene.near import Sketch, near_rows, sketch
from bakeoff.data.hygiene.shingles import Index, Parts
from bakeoff.types import Split

MAX_EXAMPLES: Final = 20
MAX_NEAR: Final = 5
"""Examples of each pair of splits."""
PAIRS: Final[tuple[tuple[Split, Split], ...]] = (
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


class NearExample(NamedTuple):
    """Two rows with nearly the same input, and the Jaccard similarity of their shingles."""

    first_split: Split
    first_row: int
    second_split: Split
    second_row: int
    similarity: float


class OverlapRow(NamedTuple):
    """What is compared of one row.

    Attributes:
        row: its number. parts: the texts of its input.
        target: None where it repeats by its nature. answer: the same, whatever its nature.
    """

    row: int
    parts: Parts
    target: str | None
    answer: str


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
        train_test_near: test rows whose input is not in train, but one that is nearly the same.
        train_validation_near, validation_test_near: likewise.
        train_test_targets: test rows of which only the target is in train.
        train_validation_targets: validation rows of which only the target is in train.
        validation_test_targets: test rows of which only the target is in validation.
        train_duplicates: train rows whose input is that of an earlier train row.
        train_near: train rows with an input that is nearly that of another.
        examples: up to ``MAX_EXAMPLES`` pairs of rows, inputs before targets.
        near_examples: up to ``MAX_NEAR`` pairs of rows of each pair of splits, and of train.
        contained: splits that are equal or mostly the same.
    """

    train_test: int = 0
    train_validation: int = 0
    validation_test: int = 0
    train_test_near: int = 0
    train_validation_near: int = 0
    validation_test_near: int = 0
    train_test_targets: int = 0
    train_validation_targets: int = 0
    validation_test_targets: int = 0
    train_duplicates: int = 0
    train_near: int = 0
    examples: tuple[OverlapExample, ...] = ()
    near_examples: tuple[NearExample, ...] = ()
    contained: tuple[Contained, ...] = ()


class _Keys(NamedTuple):
    """Digests of one row's normalised texts."""

    row: int
    input: bytes
    target: bytes | None
    whole: bytes


def find_overlap(splits: Mapping[Split, Sequence[OverlapRow]]) -> Overlap:
    """Compares every pair of splits, by digests of the normalised texts and by shingles.

    Args:
        splits: the rows of train, validation and test, each with its number in the source.
    """
    keys: dict[Split, list[_Keys]] = {split: [] for split in splits}

    def normalised() -> Iterator[Parts]:
        """The inputs of all rows, whose digests are taken on the way: once read is enough."""
        for split, rows in splits.items():
            for row in rows:
                parts = [normalise(part) for part in row.parts]
                content = _digest(" ".join(parts))
                target = None if row.target is None else _digest(normalise(row.target))
                whole = content + _digest(normalise(row.answer))
                keys[split].append(_Keys(row.row, content, target, whole))
                yield parts

    found = sketch(normalised())
    counts: dict[str, int] = {}
    by_input: list[OverlapExample] = []
    by_target: list[OverlapExample] = []
    for first, second in PAIRS:
        inputs: dict[bytes, int] = {}
        targets: dict[bytes, int] = {}
        for row, content, target, _ in keys[first]:
            inputs.setdefault(content, row)
            if target is not None:
                targets.setdefault(target, row)
        leaks, repeats = 0, 0
        for row, content, target, _ in keys[second]:
            if (other := inputs.get(content)) is not None:
                leaks += 1
                by_input.append(OverlapExample(first, other, second, row, "input"))
            elif target is not None and (other := targets.get(target)) is not None:
                repeats += 1
                by_target.append(OverlapExample(first, other, second, row, "target"))
        counts[f"{first}_{second}"] = leaks
        counts[f"{first}_{second}_targets"] = repeats
    train = keys["train"]
    near_counts, near_examples = _near(splits, keys, found)
    return Overlap(
        **counts,
        **near_counts,
        train_duplicates=len(train) - len({key.input for key in train}),
        examples=tuple((by_input + by_target)[:MAX_EXAMPLES]),
        near_examples=near_examples,
        contained=find_contained(
            {split: [(key.row, key.whole) for key in of] for split, of in keys.items()}, PAIRS
        ),
    )


def _near(
    splits: Mapping[Split, Sequence[OverlapRow]], keys: Mapping[Split, list[_Keys]], found: Sketch
) -> tuple[dict[str, int], tuple[NearExample, ...]]:
    """Counts and examples of rows that are near and not the same."""
    rows = [row.parts for part in splits.values() for row in part]
    # Rows of the same words are looked at once. Sorted by their words, not by their place.
    _, index, entry = np.unique(found.contents, return_index=True, return_inverse=True)
    edges = np.cumsum([0, *map(len, splits.values())])
    entries = {
        split: entry[begin:end]
        for split, begin, end in zip(splits, edges[:-1], edges[1:], strict=True)
    }
    is_in = np.zeros((len(splits), len(index)), dtype=np.bool_)
    for place, split in enumerate(splits):
        is_in[place, entries[split]] = True
    names = list(splits)
    asked: list[tuple[Split, Split]] = [*PAIRS, ("train", "train")]
    partners = near_rows(
        [rows[i] for i in index.tolist()],
        found.take(index),
        is_in,
        [(names.index(first), names.index(second)) for first, second in asked],
    )
    counts: dict[str, int] = {}
    examples: list[NearExample] = []
    for (first, second), (partner, alike) in zip(asked, partners, strict=True):
        pairs = _pairs_of(first, second, keys, entries, partner, alike)
        counts["train_near" if first == second else f"{first}_{second}_near"] = len(pairs)
        if first == second:  # each pair once
            pairs = [pair for pair in pairs if pair.first_row < pair.second_row]
        examples += pairs[:MAX_NEAR]
    return counts, tuple(examples)


def _pairs_of(
    first: Split,
    second: Split,
    keys: Mapping[Split, list[_Keys]],
    entries: Mapping[Split, Index],
    partner: Index,
    alike: NDArray[np.float64],
) -> list[NearExample]:
    """Each row of ``second`` that is near to one of ``first``, with that one.

    Args:
        entries: the words of each row. partner, alike: by words, as ``near_rows`` gives them.
    """
    known = {key.input for key in keys[first]}
    spelt: dict[int, dict[bytes, int]] = {}
    for key, entry in zip(keys[first], entries[first].tolist(), strict=True):
        spelt.setdefault(entry, {}).setdefault(key.input, key.row)
    found = []
    for key, entry in zip(keys[second], entries[second].tolist(), strict=True):
        if first != second and key.input in known:
            continue
        others = [row for text, row in spelt.get(entry, {}).items() if text != key.input]
        if others:  # the same words, spelt otherwise
            found.append(NearExample(first, others[0], second, key.row, 1.0))
        elif (other := int(partner[entry])) >= 0:
            row = next(iter(spelt[other].values()))
            found.append(NearExample(first, row, second, key.row, round(float(alike[entry]), 3)))
    return found


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
