"""Rows of several slots in one pass, in groups of any size.

A block of K slots with as many rows each is what training computes (``injection.py``). Here each
slot has as many rows as it happens to have, one slot's after the other's, and what acts for a slot
is called on its rows alone, on views: nothing of a slot is copied for its rows.

Axis letters: ``N`` positions of all rows of a group, ``D`` width.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Acting(Protocol):
    """What acts in the base's layers for one slot, by the layers' full names."""

    @property
    def linear(self) -> Mapping[str, Callable[[Tensor, Tensor], Tensor]]:
        """On what linear layers give: ([1, N, D] input, [1, N, E] output) to the new output."""

    @property
    def inputs(self) -> Mapping[str, Callable[[Tensor], Tensor]]:
        """On what linear layers read."""

    @property
    def products(self) -> Mapping[str, Callable[[Tensor], Tensor]]:
        """In place of the product of linear layers."""

    @property
    def experts(self) -> Mapping[str, Callable[[], Sequence[Mapping[str, Tensor]]]]:
        """What layers of experts have as weights of the slot's own."""

    @property
    def norms(self) -> Mapping[str, Callable[[Tensor, Tensor], Tensor]]:
        """On what norms give."""


@dataclass(frozen=True, kw_only=True)
class RowGroups:
    """The groups of one pass, in the order of its rows.

    Attributes:
        sizes: rows of each. acting: what acts on each.
    """

    sizes: Sequence[int]
    acting: Sequence[Acting]

    def split(self, x: Tensor) -> list[Tensor]:
        """[..., D] as one [1, N, D] view for each group, whatever a model has made of the axes."""
        flat = x.reshape(-1, x.shape[-1])
        positions = len(flat) // sum(self.sizes)
        parts = flat.split([size * positions for size in self.sizes])
        return [part[None] for part in parts]

    def spans(self, num_positions: int) -> Iterator[tuple[int, int]]:
        """(first, past the last) of each group among so many positions of all rows."""
        each = num_positions // sum(self.sizes)
        start = 0
        for size in self.sizes:
            yield start, start + size * each
            start += size * each

    def join(self, parts: Sequence[Tensor], like: Tensor) -> Tensor:
        """The opposite of ``split``: [..., E] with the leading axes of ``like``."""
        whole = torch.cat([part[0] for part in parts])
        return whole.view(*like.shape[:-1], whole.shape[-1])


class _Present(threading.local):
    groups: RowGroups | None = None


_present = _Present()


def present_groups() -> RowGroups | None:
    """The groups of the pass that this thread is in; None where its rows are a block of slots."""
    return _present.groups


@contextmanager
def grouped(groups: RowGroups | None) -> Iterator[None]:
    """Makes the sites treat passes inside, in this thread, as these groups; None as a block."""
    before, _present.groups = _present.groups, groups
    try:
        yield
    finally:
        _present.groups = before
