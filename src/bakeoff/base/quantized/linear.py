"""A frozen linear layer held in 8 or 4 bits.

The weight is unpacked once in the forward pass, for all slots and rows, and once more in the
backward pass; nothing of it is kept between the two.

Axis letters: ``D`` width in, ``E`` width out.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.distributed.tensor import DTensor
from transformers.pytorch_utils import Conv1D

from bakeoff.base.products import product
from bakeoff.base.quantized.storage import Kind, Layout, pack, unpacked


class QuantizedLinear(nn.Linear):
    """Computes what a linear layer of the unpacked weight computes.

    It looks like a ``nn.Linear``, and reading its ``weight`` gives it unpacked.

    Attributes:
        layout: of the packed weight, whose tensors are buffers.
        was_transposed: whether the layer that it replaces kept its weight as [D, E].
    """

    def __init__(
        self,
        layout: Layout,
        tensors: dict[str, Tensor],
        bias: Tensor | None,
        *,
        was_transposed: bool = False,
    ) -> None:
        nn.Module.__init__(self)  # a linear layer's own would make a weight
        self.in_features, self.out_features = layout.num_in, layout.num_out
        self.layout = layout
        self.was_transposed = was_transposed
        for name in layout.names:
            self.register_buffer(name, tensors[name])
        own = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)
        self.register_parameter("bias", own)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The packed weight, in the order of ``Layout.names``."""
        found = tuple(getattr(self, name) for name in self.layout.names)
        # Of a sharded base, asked outside of its layer's passes.
        return tuple(t.full_tensor() if isinstance(t, DTensor) else t for t in found)

    def unpacked(self, dtype: torch.dtype) -> Tensor:
        """[E, D] the weight in ``dtype``, made now."""
        return unpacked(self.layout, dtype, self.tensors)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """[E, D] the weight, unpacked for those who look at it: products do not."""
        dtype = torch.float32 if self.bias is None else self.bias.dtype
        return self.unpacked(dtype)

    def forward(self, input: Tensor) -> Tensor:
        """[..., D] to [..., E], in the format of the input."""
        bias: Tensor | None = self.bias
        if bias is not None and bias.dtype != input.dtype:
            bias = bias.to(input.dtype)
        return quantized_product(input, self.layout, self.tensors, bias)


def quantized_product(
    x: Tensor,
    layout: Layout,
    tensors: tuple[Tensor, ...],
    bias: Tensor | None = None,
    *,
    transposed: bool = False,
) -> Tensor:
    """``x @ weight.T + bias``, or ``x @ weight`` where it is transposed.

    Args:
        x: [..., D], or [..., E] where it is transposed.
        layout, tensors: of the packed weight. bias: [E] or None, frozen.
        transposed: turns the weight round.

    Returns:
        [..., E] or [..., D], differentiable in ``x``.
    """
    y: Tensor = _Product.apply(x, bias, layout, transposed, *tensors)  # type: ignore[no-untyped-call]
    return y


class _Product(Function):
    """Keeps the packed weight alone, which is there anyway."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, bias: Tensor | None, layout: Layout, transposed: bool, *tensors: Tensor
    ) -> Tensor:
        ctx.save_for_backward(*tensors)
        ctx.layout, ctx.transposed = layout, transposed
        weight_ED = unpacked(layout, x.dtype, tensors)
        return product(x, weight_ED.t() if transposed else weight_ED, bias)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        grad = grad_outputs[0]
        tensors = ctx.saved_tensors  # read once: recomputed activations give them once
        none = (None,) * (3 + len(tensors))
        weight_ED = unpacked(ctx.layout, grad.dtype, tensors)
        return product(grad, weight_ED if ctx.transposed else weight_ED.t()), *none


def quantized(linear: nn.Module, kind: Kind) -> QuantizedLinear:
    """A linear layer's quantised form; the layer itself stays as it is.

    Args:
        linear: ``nn.Linear`` or Transformers' ``Conv1D``. kind: of the format.

    Raises:
        ConfigError: bitsandbytes is not installed.
    """
    weight, bias = linear.get_parameter("weight").detach(), linear.bias
    is_transposed = isinstance(linear, Conv1D)
    layout, tensors = pack(weight.t() if is_transposed else weight, kind)
    assert bias is None or isinstance(bias, Tensor)
    return QuantizedLinear(layout, tensors, bias, was_transposed=is_transposed)
