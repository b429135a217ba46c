"""Rows of different lengths in two flat arrays, which can be memory-mapped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Ragged:
    """Rows of token ids.

    Attributes:
        values: [sum of lengths] int32, all rows one after the other.
        offsets: [rows + 1] int64; row ``i`` is ``values[offsets[i]:offsets[i + 1]]``.
    """

    values: NDArray[np.int32]
    offsets: NDArray[np.int64]

    @classmethod
    def from_rows(cls, rows: Sequence[NDArray[np.int32]]) -> Ragged:
        """Joins rows; none at all is allowed, and so is an empty one."""
        values = np.concatenate(rows) if rows else np.empty(0)
        return cls(values.astype(np.int32, copy=False), _offsets(len(row) for row in rows))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """[rows] tokens of each row."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> NDArray[np.int32]:
        """Returns one row, as a view."""
        start, stop = _bounds(self.offsets, index)
        return self.values[start:stop]


@dataclass(frozen=True, eq=False)
class Texts(Sequence[str]):
    """Strings kept as UTF-8; one is decoded when it is asked for. Equal to a list of the same.

    Attributes:
        values: [sum of lengths] uint8.
        offsets: [rows + 1] int64, in bytes.
    """

    values: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    @classmethod
    def from_rows(cls, rows: Iterable[str]) -> Texts:
        """Encodes strings, which must hold no lone surrogates."""
        encoded = [row.encode("utf-8") for row in rows]
        values = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        return cls(values, _offsets(len(row) for row in encoded))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        start, stop = _bounds(self.offsets, index)
        return self.values[start:stop].tobytes().decode("utf-8")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (Texts, list, tuple)):
            return NotImplemented
        return len(self) == len(other) and all(
            ours == theirs for ours, theirs in zip(self, other, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]  # compared by content, like a list


def _offsets(lengths: Iterable[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.fromiter(lengths, dtype=np.int64))]).astype(np.int64)


def _bounds(offsets: NDArray[Any], index: int) -> tuple[int, int]:
    num_rows = len(offsets) - 1
    if not -num_rows <= index < num_rows:
        raise IndexError(f"row {index} of {num_rows}")
    index %= num_rows
    return int(offsets[index]), int(offsets[index + 1])
