"""Attention in a trace for a GPU: the operators that CUDA would choose.

``scaled_dot_product_attention`` chooses by the tensors' device, and what its kernels keep for the
backward pass differs: the flash and the memory-efficient kernel a number per query, the plain
computation all scores, in float32. The operators of CUDA have shapes on any device, so that a trace
can call them itself.

Source: PyTorch's ``aten/src/ATen/native/transformers/cuda/sdp_utils.cpp``, in the order in which it
tries its kernels.

Axis letters: ``B`` rows, ``H`` heads, ``T`` query positions, ``S`` key positions, ``C`` head width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from bakeoff.base.devices import GpuProfile

_HALF = (torch.float16, torch.bfloat16)
_WIDEST_FLASH = 256
_aten: Any = torch.ops.aten


class GpuAttention(TorchFunctionMode):
    """Sends every call of ``scaled_dot_product_attention`` inside to the GPU's operator."""

    def __init__(self, profile: GpuProfile) -> None:
        super().__init__()
        self._profile = profile

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is F.scaled_dot_product_attention:
            return _attention(self._profile, *args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _attention(
    profile: GpuProfile,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """As ``scaled_dot_product_attention``."""
    if torch.is_autocast_enabled("cpu"):
        low = torch.get_autocast_dtype("cpu")
        query, key, value = (tensor.to(low) for tensor in (query, key, value))
    rows, heads, num_queries, width = query.shape
    is_grouped = key.shape[1] != heads
    is_half = query.dtype in _HALF
    output: Tensor
    if (
        attn_mask is None
        and is_half
        and profile.is_ampere
        and width == value.shape[3]
        and width <= _WIDEST_FLASH
    ):
        output = _aten._scaled_dot_product_flash_attention(
            query, key, value, dropout_p, is_causal, False, scale=scale
        )[0]
    elif not is_grouped and (query.dtype != torch.bfloat16 or profile.is_ampere):
        bias = None
        if attn_mask is not None:
            # A boolean mask is written out in the format of the scores.
            bias = torch.empty(attn_mask.shape, dtype=query.dtype)
            bias = bias.expand(rows, heads, num_queries, key.shape[2])
        keeps = torch.is_grad_enabled() and query.requires_grad
        output = _aten._scaled_dot_product_efficient_attention(
            query, key, value, bias, keeps, dropout_p, is_causal, scale=scale
        )[0]
    else:
        output = _aten._scaled_dot_product_attention_math(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )[0]
    return output
