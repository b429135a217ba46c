"""Which split a row belongs to, where its source does not say: by a hash of its input."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

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


@dataclass(frozen=True, kw_only=True)
class SplitKey:
    """What of a row decides its split, where a task's columns alone do not say so.

    Attributes:
        content: of a row's values by column, what is hashed; None where the row has no input.
        rule: what it goes by, for fingerprints: data that were divided otherwise are other data.
    """

    content: Callable[[Mapping[str, object]], object | None]
    rule: str


def divided(
    records: Iterator[Record], columns: Columns, shares: SplitShares, key: SplitKey | None = None
) -> dict[Split, list[Record]]:
    """Rows by split; rows of one group, or of one input, stay together.

    Args:
        records: read once. columns: what is read of each row, what is learnt last. shares: held
            out. key: what decides in place of the columns.
    """
    hashed = key.content if key is not None else partial(content_of, columns=_decisive(columns))
    by_split: dict[Split, list[Record]] = {split: [] for split in SPLITS}
    for record in records:
        content = hashed(record.values)
        # A row without an input has no place of its own; train reports it like any bad row.
        split = "train" if content is None else split_by_hash(content, shares)
        by_split[split].append(record)
    return by_split


def content_of(values: Mapping[str, object], columns: Iterable[str]) -> object | None:
    """What columns hold together of a row; None where one is missing that no row may lack."""
    found = {column: values.get(column) for column in columns}
    given = [value for value in found.values() if value is not None]
    lacking = [column for column, value in found.items() if value is None]
    if not given or not all(isinstance(column, OptionalColumn) for column in lacking):
        return None
    return given[0] if len(given) == 1 else "\n".join(map(str, given))


def _decisive(columns: Columns) -> list[str]:
    """The columns whose contents decide a row's split."""
    if GROUP in columns:  # rows of one group stay together
        return [columns[GROUP]]
    *inputs, answer = columns.values()
    return list(dict.fromkeys(inputs)) or [answer]
