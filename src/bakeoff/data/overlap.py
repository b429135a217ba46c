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
    column: Literal["document", "summary"]


class OverlapRow(NamedTuple):
    """What is compared of one row."""

    row: int
    document: str
    summary: str


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """How many rows of one split are in another.

    Texts count as the same where only case and spacing differ. A document that is in both is
    a leak. A summary alone need not be one (subject lines repeat), so those have their own counts,
    of rows whose document is not in the other split.

    Attributes:
        train_test: test rows whose document is in train.
        train_validation: validation rows whose document is in train.
        validation_test: test rows whose document is in validation.
        train_test_summaries: test rows of which only the summary is in train.
        train_validation_summaries: validation rows of which only the summary is in train.
        validation_test_summaries: test rows of which only the summary is in validation.
        train_duplicates: train rows whose document is that of an earlier train row.
        examples: up to ``MAX_EXAMPLES`` pairs of rows, documents before summaries.
    """

    train_test: int = 0
    train_validation: int = 0
    validation_test: int = 0
    train_test_summaries: int = 0
    train_validation_summaries: int = 0
    validation_test_summaries: int = 0
    train_duplicates: int = 0
    examples: tuple[OverlapExample, ...] = ()


def find_overlap(splits: Mapping[Split, Iterable[OverlapRow]]) -> Overlap:
    """Compares every pair of splits, by digests of the normalised texts.

    Args:
        splits: the rows of train, validation and test, each with its number in the source.
    """
    keys = {
        split: [(row.row, _digest(row.document), _digest(row.summary)) for row in rows]
        for split, rows in splits.items()
    }
    counts: dict[str, int] = {}
    by_document: list[OverlapExample] = []
    by_summary: list[OverlapExample] = []
    for first, second in _PAIRS:
        documents: dict[bytes, int] = {}
        summaries: dict[bytes, int] = {}
        for row, document, summary in keys[first]:
            documents.setdefault(document, row)
            summaries.setdefault(summary, row)
        leaks, repeats = 0, 0
        for row, document, summary in keys[second]:
            if (other := documents.get(document)) is not None:
                leaks += 1
                by_document.append(OverlapExample(first, other, second, row, "document"))
            elif (other := summaries.get(summary)) is not None:
                repeats += 1
                by_summary.append(OverlapExample(first, other, second, row, "summary"))
        counts[f"{first}_{second}"] = leaks
        counts[f"{first}_{second}_summaries"] = repeats
    train = keys["train"]
    return Overlap(
        **counts,
        train_duplicates=len(train) - len({document for _, document, _ in train}),
        examples=tuple((by_document + by_summary)[:MAX_EXAMPLES]),
    )


def _digest(text: str) -> bytes:
    return hashlib.blake2b(normalise(text).encode("utf-8"), digest_size=16).digest()
