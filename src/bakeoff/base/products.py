"""Products with a frozen weight, by the fastest kernel that this processor has.

PyTorch sends float32 products on a CPU to MKL, which takes its AVX2 path on processors that are not
Intel's. oneDNN, which PyTorch carries for bfloat16, writes its kernels for the processor at hand:
on an EPYC with AVX-512 it does the same product in half the time
(``docs/decisions/0018-products-by-onednn.md``). It is reached through the operator that compiled
graphs use, which takes a weight in its own layout; where that is missing or computes something
else, everything goes the usual way.

Axis letters: ``M`` rows of all leading axes, ``D`` width in, ``E`` width out.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F
from torch.utils._python_dispatch import is_in_torch_dispatch_mode
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

SMALLEST = 1 << 21
"""Multiply-adds below which a call of oneDNN costs more than the product saves."""

_FORMATS = (torch.float32, torch.bfloat16)


def product(x: Tensor, weight_ED: Tensor, bias_E: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias``, like ``torch.nn.functional.linear``.

    Args:
        x: [..., D]. weight_ED: [E, D], in any layout (a transposed view costs nothing).
        bias_E: [E] or None.

    Returns:
        [..., E], differentiable in ``x``; in weight and bias only on the usual way, which is taken
        where either requires a gradient.
    """
    if not _is_for_onednn(x, weight_ED, bias_E):
        return F.linear(x, weight_ED, bias_E)
    if x.requires_grad and torch.is_grad_enabled():
        y: Tensor = _Product.apply(x, weight_ED, bias_E)  # type: ignore[no-untyped-call]
        return y
    return _onednn(x, weight_ED, bias_E)


def _is_for_onednn(x: Tensor, weight_ED: Tensor, bias_E: Tensor | None) -> bool:
    if x.device.type != "cpu" or x.dtype not in _FORMATS or weight_ED.dtype != x.dtype:
        return False
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
        return False
    if is_in_torch_dispatch_mode():
        # What watches operations, or has none but shapes, knows the usual ones.
        return False
    if torch.is_grad_enabled() and (
        weight_ED.requires_grad or (bias_E is not None and bias_E.requires_grad)
    ):
        return False
    return x.numel() * weight_ED.shape[0] >= SMALLEST and has_onednn(x.dtype)


class _Product(Function):
    """The product; its gradient in ``x`` is again a product with the weight, turned round."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_ED: Tensor, bias_E: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight_ED)
        return _onednn(x, weight_ED, bias_E)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (weight_ED,) = ctx.saved_tensors
        return product(grad_outputs[0], weight_ED.t()), None, None


def _onednn(x: Tensor, weight_ED: Tensor, bias_E: Tensor | None) -> Tensor:
    y: Tensor = torch.ops.mkldnn._linear_pointwise(
        x.contiguous(), weight_ED, bias_E, "none", [], ""
    )
    return y


@cache
def has_onednn(dtype: torch.dtype) -> bool:
    """Whether oneDNN computes products in ``dtype`` here: it is tried once, both ways round."""
    if not torch.backends.mkldnn.is_available():
        return False
    draw = torch.Generator().manual_seed(0)
    x, weight, bias = (
        torch.randn(shape, generator=draw).to(dtype) for shape in ((5, 24), (40, 24), (40,))
    )
    tolerance = 1e-5 if dtype == torch.float32 else 0.1
    try:
        with torch.no_grad():
            y = _onednn(x, weight, bias)
            pairs = [
                (y, F.linear(x, weight, bias)),
                (_onednn(y, weight.t(), None), F.linear(y, weight.t())),
            ]
    except (AttributeError, NotImplementedError, RuntimeError):
        return False
    return all(
        ours.dtype == dtype
        and bool(torch.allclose(ours.float(), usual.float(), rtol=tolerance, atol=tolerance))
        for ours, usual in pairs
    )


class FrozenLinear(nn.Linear):
    """A linear layer whose weight stays as it is, by ``product``."""

    def forward(self, input: Tensor) -> Tensor:
        """[..., D] to [..., E]."""
        return product(input, self.weight, self.bias)


class FrozenConv1D(Conv1D):
    """Transformers' linear layer with a transposed weight, by ``product``."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] to [..., E]."""
        return product(x, self.weight.t(), self.bias)


def accelerate_products(model: PreTrainedModel) -> None:
    """Has every linear layer of ``model`` compute by ``product``; weights and names stay."""
    for module in model.modules():
        # A subclass may compute something else.
        if type(module) is nn.Linear:
            module.__class__ = FrozenLinear
        elif type(module) is Conv1D:
            module.__class__ = FrozenConv1D
