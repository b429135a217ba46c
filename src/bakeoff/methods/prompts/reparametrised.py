"""Vectors that are trained through a small network, which the adapter no longer needs.

PEFT keeps only what the network gives. So a candidate's adapter holds one tensor, ``FOLDED``, and a
stack takes either form: the network's tensors, to be trained, or what it gave, to be used.

Axis letters: ``K`` slots, ``P`` positions, ``E`` width of what the network gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bakeoff.base.model import Base
from bakeoff.methods.contract import Method, Tensors
from bakeoff.methods.files import (
    PEFT_CONFIG,
    PEFT_WEIGHTS,
    check_settings,
    read_tensors,
    write_peft_config,
    write_tensors,
)
from bakeoff.methods.padded import PaddedStack

FOLDED = "prompt_embeddings"
"""PEFT's name of the tensor in its file."""


def drawn_layer(num_in: int, num_out: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """([out, in] weight, [out] bias) as ``nn.Linear`` draws them."""
    bound = 1 / sqrt(num_in)
    weight = torch.empty(num_out, num_in).uniform_(-bound, bound, generator=generator)
    return weight, torch.empty(num_out).uniform_(-bound, bound, generator=generator)


def layer(tensors: Mapping[str, Tensor], name: str, x_KPD: Tensor) -> Tensor:
    """[K, P, E] each slot's own linear layer ``name`` on [K, P, D]."""
    weight_KED, bias_KE = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    return torch.baddbmm(bias_KE[:, None], x_KPD, weight_KED.transpose(1, 2))


class Reparametrised(Method):
    """A method whose adapter is one [P, E] tensor in PEFT's files."""

    @property
    def folded_shape(self) -> tuple[int, int]:
        """(P, E)."""
        raise NotImplementedError

    def network(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """[K, P, E] what the networks of K slots give; every tensor has a leading K."""
        raise NotImplementedError

    def peft_config(self) -> Any:
        """The configuration that PEFT needs to use the adapter."""
        raise NotImplementedError

    @torch.no_grad()
    def stored(self, tensors: Tensors) -> Tensors:
        """What the network gives."""
        if set(tensors) == {FOLDED}:
            return tensors
        return {FOLDED: self.network({n: t[None] for n, t in tensors.items()})[0]}

    def save(self, tensors: Tensors, folder: Path) -> None:
        """Writes PEFT's ``adapter_config.json`` and ``adapter_model.safetensors``."""
        write_peft_config(self.peft_config(), folder)
        write_tensors(self.stored(tensors), folder / PEFT_WEIGHTS)

    def load(self, folder: Path) -> Tensors:
        """Reads PEFT's files back, as ``stored`` gives them."""
        kind = self.peft_config().peft_type
        check_settings(folder / PEFT_CONFIG, {"peft_type": str(getattr(kind, "value", kind))})
        return read_tensors(folder / PEFT_WEIGHTS, {FOLDED: self.folded_shape})


class ReparametrisedStack(PaddedStack):
    """K slots' vectors, each through its network or as it is."""

    def __init__(self, base: Base, methods: Sequence[Reparametrised], num_slots: int) -> None:
        super().__init__(base, methods, num_slots)
        self._methods = {tuple(method.shapes): method for method in methods}
        self._num_positions = max(method.folded_shape[0] for method in methods)
        self._width = methods[0].folded_shape[1]
        self._lengths_K = torch.zeros(num_slots, dtype=torch.int64, device=base.device)
        # What was given in the adapters' form and is not trained; made when first needed.
        self._given_KPE: Tensor | None = None
        self._is_given_K = torch.zeros(num_slots, dtype=torch.bool, device=base.device)
        self._is_given = [False] * num_slots  # the same, without asking the device

    def place(self, slot: int, method: Method, tensors: Mapping[str, Tensor]) -> None:
        """Seats a candidate in either form."""
        is_given = FOLDED in tensors and FOLDED not in method.shapes
        super().place(slot, method, {} if is_given else tensors)
        self._lengths_K[slot] = method.extra_positions
        self._is_given_K[slot] = self._is_given[slot] = is_given
        if is_given:
            if self._given_KPE is None:
                shape = (self.num_slots, self._num_positions, self._width)
                self._given_KPE = torch.zeros(shape, device=self.base.device)
            self._given_KPE[slot] = 0
            self._given_KPE[slot, : method.extra_positions] = tensors[FOLDED].to(self.base.device)

    def take(self, slot: int, method: Method) -> Tensors:
        """Copies out what was placed, in its form."""
        if self._is_given[slot]:
            assert self._given_KPE is not None
            kept = self._given_KPE[slot, : method.extra_positions]
            return {FOLDED: kept.to("cpu", copy=True)}
        return super().take(slot, method)

    def vacate(self, slot: int) -> None:
        """A length of zero."""
        super().vacate(slot)
        self._lengths_K[slot] = 0
        self._is_given_K[slot] = self._is_given[slot] = False

    def vectors(self, slots: Sequence[int]) -> tuple[Tensor, Tensor]:
        """([K, P, E] vectors, [K] how many of them count)."""
        found_KPE: Tensor | None = None
        for names, method in self._methods.items():
            held_K = self.held(names[0], slots)
            vectors_KPE = self._through(method, slots)
            other = torch.zeros_like(vectors_KPE) if found_KPE is None else found_KPE
            found_KPE = torch.where(held_K[:, None, None], vectors_KPE, other)
        assert found_KPE is not None
        if self._given_KPE is not None:
            is_given_K11 = self.narrowed(self._is_given_K, slots)[:, None, None]
            found_KPE = torch.where(is_given_K11, self.narrowed(self._given_KPE, slots), found_KPE)
        return found_KPE, self.narrowed(self._lengths_K, slots)

    def _through(self, method: Reparametrised, slots: Sequence[int]) -> Tensor:
        """[K, P, E] with the tensors of this form of method, padded to the longest."""
        tensors = {name: self.of(name, slots) for name in method.shapes}
        vectors_KPE = tensors[FOLDED] if FOLDED in tensors else method.network(tensors)
        return F.pad(vectors_KPE, (0, 0, 0, self._num_positions - vectors_KPE.shape[1]))
