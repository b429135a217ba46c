"""Calls of PyTorch's fused attention, in a form that some fused kernel takes on a GPU.

On CUDA only the flash kernel takes grouped keys, and it takes no mask. With a mask, in float32 and
on cards before Ampere, ``scaled_dot_product_attention`` with ``enable_gqa`` falls back to plain
products, which hold all scores in float32: ``[B, H, T, S]``. Keys and values that are written out
for every head are smaller by far, and the memory-efficient kernel takes them.

Source: ``use_mem_efficient_attention`` in PyTorch's
``aten/src/ATen/native/transformers/cuda/sdp_utils.cpp``.

Axis letters: ``B`` rows, ``H`` heads, ``G`` heads of keys, ``T`` query positions, ``S`` key
positions, ``C`` head width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bakeoff.base.devices import kind_of, present_profile, profile_of

_HALF = (torch.float16, torch.bfloat16)
_before_ampere: dict[int, bool] = {}


def fused_attention(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    mask: Tensor | None = None,
    is_causal: bool = False,
    scaling: float | None = None,
) -> Tensor:
    """As ``scaled_dot_product_attention``, with grouped keys wherever they are fewer than heads.

    Args:
        query: [B, H, T, C]. keys: [B, H or a divisor of it, S, C]. values: likewise.
        mask: boolean, True where a query sees a key, or what is added to the scores; broadcast to
            [B, H, T, S].
        is_causal: without a mask, each query sees the keys up to its own position.
        scaling: factor on the scores; None means ``C ** -0.5``.

    Returns:
        [B, H, T, C].
    """
    # A branch, and not the comparison's own value: compiled code must know which it is.
    grouped = False
    if query.shape[1] != keys.shape[1]:
        grouped = True
    if grouped and kind_of(query.device) == "cuda" and not _is_for_flash(query, mask):
        grouped = False
        times = query.shape[1] // keys.shape[1]
        keys, values = _for_every_head(keys, times), _for_every_head(values, times)
    return F.scaled_dot_product_attention(
        query,
        keys,
        values,
        attn_mask=mask,
        is_causal=is_causal,
        scale=scaling,
        enable_gqa=grouped,
    )


def know_card(device: torch.device) -> None:
    """Notes what kind of card a base is on, so that compiled code never asks for it."""
    profile = profile_of(device)
    if profile is not None:
        _before_ampere[device.index or 0] = not profile.is_ampere


def _is_for_flash(query: Tensor, mask: Tensor | None) -> bool:
    if mask is not None or query.dtype not in _HALF:
        return False
    profile = present_profile()
    if profile is not None:
        return profile.is_ampere
    return not _before_ampere.get(query.device.index or 0, False)


def _for_every_head(tensor: Tensor, times: int) -> Tensor:
    """[B, G, S, C] to [B, H, S, C], each group's written out for its heads."""
    rows, groups, positions, width = tensor.shape
    spread = tensor[:, :, None].expand(rows, groups, times, positions, width)
    return spread.reshape(rows, groups * times, positions, width)
