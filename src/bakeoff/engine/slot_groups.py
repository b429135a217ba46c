"""Neighbouring slots of one kind, on which that kind's stack acts alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby

import torch

from bakeoff.base.row_groups import RowGroups, grouped
from bakeoff.methods.stack import Stack, StackHooks


@dataclass(frozen=True, kw_only=True)
class SlotGroups:
    """The slots of a pass in groups of neighbours that hold one kind.

    Attributes:
        counts: slots of each group. hooks: what acts on each.
    """

    counts: tuple[int, ...]
    hooks: tuple[StackHooks, ...]

    @classmethod
    def of(
        cls, stacks: Mapping[str, Stack], kinds: Sequence[str | None], slots: Sequence[int]
    ) -> SlotGroups:
        """The groups of a pass.

        Args:
            stacks: by kind. kinds: of each slot, None where nothing has been seated.
            slots: of the pass, in its order.
        """
        counts, hooks = [], []
        for kind, run in runs([kinds[slot] for slot in slots]):
            own = slots[run]
            counts.append(len(own))
            hooks.append(StackHooks() if kind is None else stacks[kind].hooks(_seen(own)))
        return cls(counts=tuple(counts), hooks=tuple(hooks))

    def acting(self, rows: int) -> AbstractContextManager[None]:
        """Makes the base's layers see the groups in passes inside.

        Args:
            rows: of each slot.
        """
        sizes = [count * rows for count in self.counts]
        return grouped(RowGroups(sizes=sizes, acting=self.hooks, slots=self.counts))


def runs(kinds: Sequence[str | None]) -> Iterator[tuple[str | None, slice]]:
    """Each kind with the neighbours that hold it, in order; a kind may come again."""
    start = 0
    for kind, run in groupby(kinds):
        stop = start + len(list(run))
        yield kind, slice(start, stop)
        start = stop


def _seen(slots: Sequence[int]) -> Sequence[int]:
    """The slots as ``Stack.narrowed`` is to take them: a view where gradients go back through it,
    and else a copy, so that a slot has the same bits wherever it is."""
    is_run = list(slots) == list(range(slots[0], slots[0] + len(slots)))
    return range(slots[0], slots[-1] + 1) if is_run and torch.is_grad_enabled() else list(slots)
