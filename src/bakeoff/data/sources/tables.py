"""Sources made of parts: a part for each split, one that is split by hash, or a test set alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from bakeoff.data.options import SplitShares
from bakeoff.data.readers import Columns, Record
from bakeoff.data.sources.contract import BY_HASH, GROUP, UNREAD, Part, Source
from bakeoff.data.sources.hashing import divided
from bakeoff.types import SPLITS, Split


class SplitParts:
    """A part for each split; without one for validation, rows of train are held out for it.

    Args:
        parts: of train and test, and of validation where there is one.
        columns: what is read of each row. shares: held out by hash.
    """

    def __init__(self, parts: Mapping[Split, Part], columns: Columns, shares: SplitShares) -> None:
        self._parts = parts
        self._train = None
        self._share = shares.validation
        self._by = "group" if GROUP in columns else "input"
        if "validation" not in parts:
            self._train = WholePart(parts["train"], columns, replace(shares, test=0.0))

    def place(self, split: Split) -> str:
        if self._train is not None and split != "test":
            return self._train.place(split)
        return self._parts[split].place

    def records(self, split: Split) -> Iterator[Record]:
        if self._train is not None and split != "test":
            return self._train.records(split)
        return self._parts[split].records()

    def fingerprint(self) -> list[str]:
        found = [
            part
            for split in SPLITS
            if split in self._parts
            for part in self._parts[split].fingerprint()
        ]
        return found if self._train is None else [*found, "validation out of train"]

    def digests(self, split: Split) -> tuple[str, ...]:
        """The SHA-256 of each file of a split; none where it has no files of its own."""
        if self._train is not None and split != "test":
            return ()
        return self._parts[split].digests()

    def column_names(self) -> list[str]:
        return self._parts["train"].column_names()

    def notes(self) -> list[str]:
        """Sentences for the user."""
        if self._train is None:
            return []
        return [
            f"There is no validation set, so about {self._share:.0%} of the rows of "
            f"{self._parts['train'].place} are held out as one, by a hash of each {self._by} "
            "(task.split_by_hash.validation)."
        ]


def notes_of(source: Source) -> list[str]:
    """What the user should know of how a source makes its splits, in sentences."""
    return source.notes() if isinstance(source, SplitParts) else []


def is_whole(source: Source) -> bool:
    """Whether one table holds everything, split by a hash of each row's input."""
    return isinstance(source, WholePart)


def digests_of(source: Source, split: Split) -> tuple[str, ...]:
    """The SHA-256 of each file of a split, in order: equal ones are the same, byte for byte.

    None where a split has no files of its own, as in one file that is split by hash.
    """
    return source.digests(split) if isinstance(source, SplitParts | TestPart) else ()


class WholePart:
    """One part that holds everything, split by a hash of each row's input.

    Args:
        part: read once, when rows are first asked for. columns: what is read of each row.
        shares: held out.
    """

    def __init__(self, part: Part, columns: Columns, shares: SplitShares) -> None:
        self._part = part
        # Columns that are kept for metrics alone must not move rows.
        self._columns = {k: v for k, v in columns.items() if not k.startswith(UNREAD)}
        self._has_others = len(self._columns) < len(columns)
        self._shares = shares
        self._by_split: dict[Split, list[Record]] | None = None

    def place(self, split: Split) -> str:
        return f"{self._part.place} ({split}, {BY_HASH}"

    def records(self, split: Split) -> Iterator[Record]:
        if self._by_split is None:
            self._by_split = divided(self._part.records(), self._columns, self._shares)
        return iter(self._by_split[split])

    def fingerprint(self) -> list[str]:
        # Such rows were once divided by all of their columns.
        return [*self._part.fingerprint(), *(["by what is read"] if self._has_others else [])]

    def column_names(self) -> list[str]:
        return self._part.column_names()


class TestPart:
    """A part that is a test set: every split has its rows."""

    __test__ = False

    def __init__(self, part: Part) -> None:
        self._part = part

    def place(self, split: Split) -> str:
        return self._part.place

    def records(self, split: Split) -> Iterator[Record]:
        return self._part.records()

    def fingerprint(self) -> list[str]:
        return self._part.fingerprint()

    def digests(self, split: Split) -> tuple[str, ...]:
        """The SHA-256 of each file."""
        return self._part.digests()

    def column_names(self) -> list[str]:
        return self._part.column_names()
