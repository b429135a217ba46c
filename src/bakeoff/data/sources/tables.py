"""Sources made of parts: a part for each split, one that is split by hash, or a test set alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from bakeoff.data.options import SplitShares
from bakeoff.data.readers import Columns, Record
from bakeoff.data.sources.contract import BY_HASH, GROUP, UNREAD, Part, Source
from bakeoff.data.sources.hashing import SplitKey, divided
from bakeoff.types import SPLITS, Split


class SplitParts:
    """A part for each split; without one for validation, rows of train are held out for it.

    Args:
        parts: of train and test, and of validation where there is one.
        columns: what is read of each row. shares: held out by hash. key: of a row's split.
    """

    def __init__(
        self,
        parts: Mapping[Split, Part],
        columns: Columns,
        shares: SplitShares,
        key: SplitKey | None = None,
    ) -> None:
        self._parts = parts
        self._train = None
        self._share = shares.validation
        self._by = "group" if GROUP in columns else "input"
        if "validation" not in parts:
            self._train = WholePart(parts["train"], columns, replace(shares, test=0.0), key)

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
        if self._train is None:
            return found
        return [*found, "validation out of train", *self._train.rules()]

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
        shares: held out. key: of a row's split.
    """

    def __init__(
        self, part: Part, columns: Columns, shares: SplitShares, key: SplitKey | None = None
    ) -> None:
        self._part = part
        # Columns that are kept for metrics alone must not move rows.
        self._columns = {k: v for k, v in columns.items() if not k.startswith(UNREAD)}
        self._has_others = len(self._columns) < len(columns)
        self._shares = shares
        self._key = None if GROUP in columns else key
        self._by_split: dict[Split, list[Record]] | None = None

    def place(self, split: Split) -> str:
        return f"{self._part.place} ({split}, {BY_HASH}"

    def records(self, split: Split) -> Iterator[Record]:
        if self._by_split is None:
            self._by_split = divided(self._part.records(), self._columns, self._shares, self._key)
        return iter(self._by_split[split])

    def fingerprint(self) -> list[str]:
        return [*self._part.fingerprint(), *self.rules()]

    def rules(self) -> list[str]:
        """What tells this division from those that such rows once had."""
        by_read = ["by what is read"] if self._has_others else []  # once by all of their columns
        return by_read if self._key is None else [*by_read, self._key.rule]

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
