"""A stack whose candidates may each have other tensors of other sizes.

Axis letters: ``K`` slots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bakeoff.base.model import Base
from bakeoff.methods.contract import Method
from bakeoff.methods.stack import Stack


class PaddedStack(Stack):
    """Holds the union of its methods' tensors, each as large as the largest.

    A slot's candidate may lack some of them, and a slot may hold a candidate of another kind.
    ``held`` says which is there, so that an absent tensor neither acts nor gathers a gradient.
    """

    def __init__(self, base: Base, methods: Sequence[Method], num_slots: int) -> None:
        super().__init__(base, methods, num_slots)
        self._shapes: dict[str, tuple[int, ...]] = {}
        for method in methods:
            for name, shape in method.shapes.items():
                known = self._shapes.get(name, shape)
                self._shapes[name] = tuple(max(a, b) for a, b in zip(known, shape, strict=True))
        self._held = {
            name: torch.zeros(num_slots, dtype=torch.bool, device=base.device)
            for name in self._shapes
        }

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Padded shapes of one slot, of every tensor that any of the methods has."""
        return self._shapes

    def place(self, slot: int, method: Method, tensors: Mapping[str, Tensor]) -> None:
        """Seats a candidate, and notes which tensors it has."""
        super().place(slot, method, tensors)
        for name, held_K in self._held.items():
            held_K[slot] = name in tensors

    def vacate(self, slot: int) -> None:
        """Nothing is held."""
        for held_K in self._held.values():
            held_K[slot] = False

    def of(self, name: str, slots: Sequence[int]) -> Tensor:
        """[K, ...] the tensor of the given slots."""
        return self.narrowed(self.tensors[name], slots)

    def held(self, name: str, slots: Sequence[int]) -> Tensor:
        """[K] bool, which of the given slots have the tensor."""
        return self.narrowed(self._held[name], slots)

    def held_or(self, name: str, slots: Sequence[int], otherwise: Tensor | float) -> Tensor:
        """[K, ...] the tensor where a slot has it, else ``otherwise``."""
        stacked = self.of(name, slots)
        held = self.held(name, slots).view(-1, *[1] * (stacked.dim() - 1))
        return torch.where(held, stacked, otherwise)
