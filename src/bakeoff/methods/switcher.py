"""Merged adapters, one after the other, in the weights of one base.

A merged adapter costs nothing in generation. W := W + update; taking the update away again by
subtraction gives W back only up to rounding, and in bfloat16 the error grows with every switch
(`benchmarks/switching.py` prints it). Here the weights that an adapter touches are kept, so that
the base is, to the bit, what it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bakeoff.base.model import Base
from bakeoff.base.quantized.linear import QuantizedLinear
from bakeoff.base.quantized.models import whole_linear
from bakeoff.methods.contract import Method, Tensors


class Switcher:
    """Merges candidates into a base, and takes them out of it again.

    While a candidate is merged the base is not the frozen one: nothing may be trained over it.
    Memory: a second copy of the weights that the present candidate touches, of quantised ones in
    the base's compute format.
    """

    def __init__(self, base: Base) -> None:
        self.base = base
        self._kept: dict[nn.Parameter, Tensor] = {}
        self._packed: dict[str, QuantizedLinear] = {}
        self._shared_head: nn.Parameter | None = None

    @property
    def is_merged(self) -> bool:
        """Whether the base holds a candidate."""
        return bool(self._kept or self._packed) or self._shared_head is not None

    def merge(self, method: Method, tensors: Tensors) -> None:
        """W := W + update, computed in float32 from the weights as loaded, then rounded once.

        Raises:
            ConfigError: where the method cannot be merged; nothing is changed.
            RuntimeError: if another candidate is merged.
        """
        if self.is_merged:
            raise RuntimeError("a candidate is merged already: unmerge it first, or use switch")
        self.write(method.merged_weights(tensors))

    def unmerge(self) -> None:
        """Gives the base its own weights back, to the bit; without a candidate it does nothing."""
        if self._shared_head is not None:
            self.base.head.weight = self._shared_head
            self._shared_head = None
        with torch.no_grad():
            for parameter, original in self._kept.items():
                parameter.copy_(original)
        self._kept = {}
        for name, layer in self._packed.items():
            self._put(name, layer)
        self._packed = {}

    def switch(self, method: Method, tensors: Tensors) -> None:
        """From one candidate to the next; see ``merge``."""
        self.unmerge()
        self.merge(method, tensors)

    @contextmanager
    def merged(self, method: Method, tensors: Tensors) -> Iterator[Base]:
        """The base with a candidate in its weights, for as long as the context lasts."""
        self.merge(method, tensors)
        try:
            yield self.base
        finally:
            self.unmerge()

    @torch.no_grad()
    def write(self, weights: Mapping[str, Tensor]) -> None:
        """Puts weights, by their parameters' names, into the base until ``unmerge``."""
        base = self.base
        head, embedding = f"{base.head_name}.weight", f"{base.embedding_name}.weight"
        for name, weight in weights.items():
            if base.is_tied and name == head and embedding not in weights:
                # The embedding, which shares the head's weight, stays as it is.
                assert isinstance(base.head.weight, nn.Parameter)
                self._shared_head = base.head.weight
                own = weight.to(base.device, base.head.weight.dtype, copy=True)
                base.head.weight = nn.Parameter(own, requires_grad=False)
                continue
            layer, _, part = name.rpartition(".")
            packed = base.model.get_submodule(layer)
            if isinstance(packed, QuantizedLinear) and part == "weight":
                # A sum with what was trained is no longer one of the few values of its format.
                self._packed[layer] = packed
                whole = whole_linear(packed, base.compute_dtype)
                self._put(layer, whole.to(base.device))
            parameter = base.model.get_parameter(name)
            if layer in self._packed:
                parameter.copy_(weight)
                continue
            self._kept.setdefault(parameter, parameter.detach().clone())
            parameter.copy_(weight)

    def _put(self, name: str, layer: nn.Module) -> None:
        parent, _, own = name.rpartition(".")
        setattr(self.base.model.get_submodule(parent), own, layer)
