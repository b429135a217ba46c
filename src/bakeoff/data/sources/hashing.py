"""Which split a row belongs to, where its source does not say: by a hash of its input."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from bakeoff.data.cleaning import normalise
from bakeoff.data.options import SplitShares
from bakeoff.data.readers import Columns, OptionalColumn, Record
from bakeoff.data.sources.contract import GROUP
from bakeoff.types import SPLITS, Split


def split_by_hash(content: object, shares: SplitShares) -> Split:
    """Returns the split that a row belongs to, from its input (or its group) alone.

    Inputs that differ only in case and spacing fall into the same split, on every machine.
    """
    text = normalise(content) if isinstance(content, str) else repr(content)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < shares.test:
        return "test"
    return "validation" if place < shares.test + shares.validation else "train"


def divided(
    records: Iterator[Record], columns: Columns, shares: SplitShares
) -> dict[Split, list[Record]]:
    """Rows by split; rows of one group, or of one input, stay together."""
    decisive = _decisive(columns)
    by_split: dict[Split, list[Record]] = {split: [] for split in SPLITS}
    for record in records:
        values = {column: record.values.get(column) for column in decisive}
        given = [value for value in values.values() if value is not None]
        lacking = [column for column, value in values.items() if value is None]
        # A row without an input has no place of its own; train reports it like any bad row. What a
        # row may lack is no such input.
        if not given or not all(isinstance(column, OptionalColumn) for column in lacking):
            by_split["train"].append(record)
        else:
            content = given[0] if len(given) == 1 else "\n".join(map(str, given))
            by_split[split_by_hash(content, shares)].append(record)
    return by_split


def _decisive(columns: Columns) -> list[str]:
    """The columns whose contents decide a row's split."""
    if GROUP in columns:  # rows of one group stay together
        return [columns[GROUP]]
    *inputs, answer = columns.values()
    return list(dict.fromkeys(inputs)) or [answer]
