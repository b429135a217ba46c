"""The frozen weight of a linear layer, for methods that compute with it.

No method reads a frozen weight itself: it may be held in 8 or 4 bits, and then each look at it
unpacks it.

Axis letters: ``D`` width in, ``E`` width out; ``...`` any leading axes.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from bakeoff.base.injection import keeps_transposed
from bakeoff.base.quantized.linear import QuantizedLinear, quantized_product
from bakeoff.base.sharding import whole


class FrozenWeight(Protocol):
    """What a frozen [D, E] weight offers, however it is held; products are in ``x``'s format."""

    def matmul(self, x: Tensor) -> Tensor:
        """``x @ W``: [..., D] to [..., E], without a bias, differentiable in ``x``."""

    def matmul_transposed(self, y: Tensor) -> Tensor:
        """``y @ W.T``: [..., E] to [..., D], differentiable in ``y``."""

    def column_squares(self) -> Tensor:
        """[E] float32, the sum of squares over the inputs of each output."""


def frozen_weight(layer: nn.Module) -> FrozenWeight:
    """The weight of one of ``Base.linear_layers``."""
    return _Packed(layer) if isinstance(layer, QuantizedLinear) else _Whole(layer)


class _Whole:
    def __init__(self, layer: nn.Module) -> None:
        self._layer = layer

    def _weight_of(self, dtype: torch.dtype) -> Tensor:
        weight = self._layer.weight
        assert isinstance(weight, Tensor)
        weight = whole(weight).detach().to(dtype)
        return weight if keeps_transposed(self._layer) else weight.t()

    def matmul(self, x: Tensor) -> Tensor:
        return torch.matmul(x, self._weight_of(x.dtype))

    def matmul_transposed(self, y: Tensor) -> Tensor:
        return torch.matmul(y, self._weight_of(y.dtype).t())

    def column_squares(self) -> Tensor:
        return _squares(self._weight_of(torch.float32))


class _Packed:
    def __init__(self, layer: QuantizedLinear) -> None:
        self._layer = layer

    def matmul(self, x: Tensor) -> Tensor:
        return quantized_product(x, self._layer.layout, self._layer.tensors)

    def matmul_transposed(self, y: Tensor) -> Tensor:
        return quantized_product(y, self._layer.layout, self._layer.tensors, transposed=True)

    def column_squares(self) -> Tensor:
        return _squares(self._layer.unpacked(torch.float32).t())


@torch.no_grad()
def _squares(weight_DE: Tensor) -> Tensor:
    norm_E: Tensor = torch.linalg.vector_norm(weight_DE, dim=0)
    return norm_E.square()
