"""Attention whose scores are more than scaled products: soft caps, sinks, and linear biases.

No fused kernel of PyTorch's knows caps or sinks, so that scores are there as a tensor; biases go
through the usual kernel as a mask of numbers.

Axis letters: ``B`` rows, ``H`` heads, ``G`` heads of keys, ``T`` query positions, ``Q`` those of
all heads that share their keys, ``S`` key positions, ``C`` head width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bakeoff.base.attention.fused import fused_attention


@dataclass(frozen=True, kw_only=True, eq=False)
class Terms:
    """What a layer does to its scores beyond scaling them.

    Attributes:
        softcap: scores become ``softcap * tanh(scores / softcap)`` (Gemma 2).
        sinks_H: [H] one more score of each head, which takes a share and gives nothing (gpt-oss).
        slopes_H: [H] what each head adds for each position of a key (ALiBi); its format is the one
            in which the product is rounded.
        bias_factor: on that product.
    """

    softcap: float | None = None
    sinks_H: Tensor | None = None
    slopes_H: Tensor | None = None
    bias_factor: float = 1.0


def attend_with_terms(
    query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scaling: float | None, terms: Terms
) -> Tensor:
    """Attention under a boolean mask.

    Args:
        query: [B, H, T, C]. keys: [B, H or fewer, S, C]. values: likewise.
        mask: [B or 1, 1, T, S], or [T, S], True where a query sees a key; each sees one or more.
        scaling: factor on the scores; None means ``C ** -0.5``.
        terms: of the layer.

    Returns:
        [B, H, T, C].
    """
    bias = None
    if terms.slopes_H is not None:
        bias = _bias(mask, terms.slopes_H, query.dtype) * terms.bias_factor
    if terms.softcap is None and terms.sinks_H is None:
        assert bias is not None, "a layer without terms has a kernel"
        shown = torch.where(mask, bias, float("-inf"))
        return fused_attention(query, keys, values, mask=shown, scaling=scaling)
    rows, heads, queries, width = query.shape
    groups = keys.shape[1]
    factor = width**-0.5 if scaling is None else scaling
    asked_BGQC = query.reshape(rows, groups, heads // groups * queries, width)
    scores = torch.matmul(asked_BGQC, keys.transpose(2, 3)) * factor
    scores_BHTS = scores.view(rows, heads, queries, -1).float()
    if terms.softcap is not None:
        scores_BHTS = torch.tanh(scores_BHTS / terms.softcap) * terms.softcap
    if bias is not None:
        scores_BHTS = scores_BHTS + bias
    shares_BHTS = _shares(scores_BHTS.masked_fill(~mask, float("-inf")), terms.sinks_H)
    shares = shares_BHTS.to(values.dtype).view(rows, groups, heads // groups * queries, -1)
    return torch.matmul(shares, values).view(rows, heads, queries, values.shape[3])


def _shares(scores_BHTS: Tensor, sinks_H: Tensor | None) -> Tensor:
    """What each key gets of a query: all of it together without sinks."""
    if sinks_H is None:
        return scores_BHTS.softmax(dim=-1)
    sinks = sinks_H.float()[None, :, None, None].expand(*scores_BHTS.shape[:3], 1)
    return torch.cat([scores_BHTS, sinks], dim=-1).softmax(dim=-1)[..., :-1]


def _bias(mask: Tensor, slopes_H: Tensor, dtype: torch.dtype) -> Tensor:
    """[B or 1, H, T, S] each head's bias.

    Among the keys that a query sees, a key's position is its number: padding, other branches of its
    row and what a shorter prefix leaves free are not seen. Layers with a window count from its
    beginning, which is the same for a softmax.
    """
    number = mask.view(-1, 1, *mask.shape[-2:]).cumsum(dim=-1) - 1
    return (slopes_H[:, None, None] * number).to(dtype)
