"""Rows of several slots in one pass, in groups of any size.

A block of K slots with as many rows each is what training computes (``injection.py``). Here each
slot has as many rows as it happens to have, one slot's after the other's, and what acts for a slot
is called on its rows alone, on views: nothing of a slot is copied for its rows. A group may also be
several slots with as many rows each, on which the same acts.

Axis letters: ``K`` slots of a group, ``N`` positions of all rows of one of them, ``D`` width.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor


class Acting(Protocol):
    """What acts in the base's layers for one slot, by the layers' full names."""

    @property
    def linear(self) -> Mapping[str, Callable[[Tensor, Tensor], Tensor]]:
        """On what linear layers give: ([K, N, D] input, [K, N, E] output) to the new output."""

    @property
    def inputs(self) -> Mapping[str, Callable[[Tensor], Tensor]]:
        """On what linear layers read."""

    @property
    def products(self) -> Mapping[str, Callable[[Tensor], Tensor]]:
        """In place of the product of linear layers."""

    @property
    def experts(self) -> Mapping[str, Callable[[], Sequence[Mapping[str, Tensor]]]]:
        """What layers of experts have as weights of each slot's own."""

    @property
    def norms(self) -> Mapping[str, Callable[[Tensor, Tensor], Tensor]]:
        """On what norms give."""


@dataclass(frozen=True, kw_only=True)
class RowGroups:
    """The groups of one pass, in the order of its rows.

    Attributes:
        sizes: rows of each. acting: what acts on each.
        slots: how many slots each is; None where each is one.
    """

    sizes: Sequence[int]
    acting: Sequence[Acting]
    slots: Sequence[int] | None = None
    _sizes: dict[int, list[int]] = field(default_factory=dict, repr=False)

    def split(self, x: Tensor) -> Sequence[Tensor]:
        """[..., D] as one [K, N, D] view for each group, whatever a model has made of the axes."""
        flat_1MD = x.reshape(1, -1, x.shape[-1])
        sizes = self._sizes.get(flat_1MD.shape[1])
        if sizes is None:
            positions = flat_1MD.shape[1] // sum(self.sizes)
            sizes = self._sizes[flat_1MD.shape[1]] = [size * positions for size in self.sizes]
        # The function that Tensor.split calls, which takes thrice as long: a pass asks often.
        parts: Sequence[Tensor] = torch.split_with_sizes(flat_1MD, sizes, 1)
        if self.slots is None:
            return parts
        return [
            part if num == 1 else part.view(num, -1, part.shape[-1])
            for part, num in zip(parts, self.slots, strict=True)
        ]

    @property
    def sizes_by_slot(self) -> list[int]:
        """Rows of each slot."""
        pairs = zip(self.sizes, self.slots_of_each, strict=True)
        return [size // num for size, num in pairs for _ in range(num)]

    @property
    def slots_of_each(self) -> Sequence[int]:
        """How many slots each group is."""
        return [1] * len(self.sizes) if self.slots is None else self.slots

    def join(self, parts: Sequence[Tensor], like: Tensor) -> Tensor:
        """The opposite of ``split``: [..., E] with the leading axes of ``like``."""
        # Not part[0]: its backward pass fills a tensor with zeros and copies the gradient into it.
        whole = torch.cat([part.flatten(0, 1) for part in parts])
        return whole.view(*like.shape[:-1], whole.shape[-1])


class _Present(threading.local):
    # Set in every thread: compiled code asks whether they are there.
    def __init__(self) -> None:
        self.groups: RowGroups | None = None


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
