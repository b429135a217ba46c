"""The rows that claims learn of data of one's own: drawn from whole splits, and kept as files.

A study takes the first rows of a split, as many as its design asks for. Of a file that is sorted,
by label or by date, these are rows of one kind. So a split's rows are drawn at random once, for all
claims of a folder, and written in the order of the draw: any number of first rows is then a fair
sample, and a smaller one is part of a larger one.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bakeoff.claims.contract import SIZES
from bakeoff.data.given import GivenRows
from bakeoff.data.sources import Source, notes_of
from bakeoff.errors import DataError
from bakeoff.formatting import counted
from bakeoff.types import SPLITS, Split

DRAW_SEED: Final = 7
"""Of the draw, the same for every split, so that two equal splits are still found to be so."""
_MOST_DRAWN: Final = 4 * max(max(one.train_rows, one.test_rows) for one in SIZES.values())
"""Rows of a split that are kept; some of them a task may not be able to use."""


@dataclass(frozen=True, kw_only=True)
class DrawnRows:
    """Rows of every split in the order that they were drawn in.

    Attributes:
        source: a ``task.source`` of them. counts: how many there are of each split.
        notes: what a reader of a verdict should know of them, in sentences.
    """

    source: Mapping[str, str]
    counts: Mapping[Split, int]
    notes: tuple[str, ...]


def draw_rows(source: Source, folder: Path) -> DrawnRows:
    """Draws rows of every split and writes them below ``folder``, named by their content.

    Args:
        source: of which each split is read once, to its end. folder: for the files.

    Raises:
        DataError: a split has no row that can be read.
        StoreError: they cannot be written.
    """
    files, counts, unreadable = dict[str, bytes](), dict[Split, int](), 0
    for split in SPLITS:
        rows, bad = _drawn(source, split)
        if not rows:
            raise DataError(
                f"{source.place(split)}: the {split} split has no row that can be read; every "
                "split needs at least one. Check the file, or give more rows."
            )
        files[f"{split}.jsonl"] = json_lines(rows)
        counts[split] = len(rows)
        unreadable += bad
    place = GivenRows(files=files).write(folder)
    notes = [f"The rows of every split are drawn at random, with the seed {DRAW_SEED}."]
    notes += notes_of(source)  # of how splits are made, which their files no longer show
    if unreadable:
        are = counted(unreadable, "row of the data is", "rows of the data are")
        notes.append(f"{are} left out: what cannot be read is not drawn.")
    return DrawnRows(
        source={split: str(place / f"{split}.jsonl") for split in SPLITS},
        counts=counts,
        notes=tuple(notes),
    )


def _drawn(source: Source, split: Split) -> tuple[list[dict[str, Any]], int]:
    """Rows of a split in the order of the draw, and how many there are that cannot be read."""
    bad = 0
    draw = random.Random(DRAW_SEED)

    def numbered() -> Any:
        nonlocal bad
        for i, record in enumerate(source.records(split)):
            number = draw.random()
            if record.problem is None:
                yield number, i, record
            else:
                bad += 1

    # The smallest of random numbers are a sample, and their order is a random one.
    kept = heapq.nsmallest(_MOST_DRAWN, numbered(), key=lambda one: one[:2])
    return [dict(record.values) for _, _, record in kept], bad


def json_lines(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows as the content of a file of JSON lines."""
    return "".join(json.dumps(row, default=str) + "\n" for row in rows).encode("utf-8")


def hash_of(parts: Sequence[str]) -> str:
    """SHA-256 of what identifies rows, as a source's ``fingerprint``."""
    return hashlib.sha256(json.dumps(list(parts)).encode()).hexdigest()
