"""What a source of rows is, and what the parts of one are called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from bakeoff.data.readers import Record
from bakeoff.types import Split

WIRE: Final = "wire"
GROUP: Final = "group"
"""The option that names the column of groups."""
UNREAD: Final = "source ("
"""What the key of a column begins with that the task itself does not read."""
BY_HASH: Final = "split by hash)"
"""What the place of a split ends in that no file or part of its own makes."""
ALIASES: Final[Mapping[Split, tuple[str, ...]]] = {
    "train": ("train",),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
"""What a split's file, or its part of a data set, may be called."""


class Source(Protocol):
    """The rows of a task, by split."""

    def place(self, split: Split) -> str:
        """Returns where a split's rows are, for messages."""
        ...

    def records(self, split: Split) -> Iterator[Record]:
        """Reads a split's rows in the source's order."""
        ...

    def fingerprint(self) -> list[str]:
        """Returns what identifies the contents: equal lists mean equal rows."""
        ...

    def column_names(self) -> list[str]:
        """Returns all columns that rows have, those that the task does not read included."""
        ...


class Part(Protocol):
    """One table of a source: the files of a split, or a split of a Hub data set."""

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        ...

    def records(self) -> Iterator[Record]:
        """Its rows in their order."""
        ...

    def fingerprint(self) -> list[str]:
        """What identifies its contents."""
        ...

    def digests(self) -> tuple[str, ...]:
        """The SHA-256 of each of its files, in order; none where it has no files here."""
        ...

    def column_names(self) -> list[str]:
        """The columns that its rows have."""
        ...
