"""Causal attention on a CPU in bfloat16 inside of compiled layers.

The fused kernel's forward pass uses the processor's bfloat16 products, its backward pass does not.
So the backward pass is written out here, as products and what is between them: compiled code makes
one pass over the scores of each of the latter. Probabilities are computed again, from what the
kernel keeps for each query.

Scores are float32 products, as models without a scale (GPT-Neo) need it; everything else is rounded
where the kernel rounds as well.

Axis letters: ``B`` rows, ``H`` heads, ``G`` heads of keys, ``T`` positions, ``C`` head width;
``N`` rows and heads of keys in one, ``Q`` positions of all heads that read the same keys.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from bakeoff.base.devices import kind_of
from bakeoff.base.precision import cpu_multiplies_bfloat16

LONGEST = 512
"""Positions of a row beyond which the scores of a layer would be the largest thing in a step."""


def serves(device: torch.device, dtype: torch.dtype, longest: int) -> bool:
    """Whether this is the way in compiled layers.

    Args:
        device: of the base. dtype: that it computes in. longest: positions of the longest row.
    """
    return (
        kind_of(device) == "cpu"
        and dtype == torch.bfloat16
        and longest <= LONGEST
        and cpu_multiplies_bfloat16()
    )


def compiled_attention(
    query: Tensor, key: Tensor, value: Tensor, *, scaling: float | None
) -> Tensor:
    """Attention of each query to itself and all before it; arguments as for ``attend``.

    Returns:
        [B, H, T, C], laid out as [B, T, H, C].
    """
    factor = query.shape[3] ** -0.5 if scaling is None else scaling
    output: Tensor = _Attention.apply(query, key, value, factor)  # type: ignore[no-untyped-call]
    return output


class _Attention(Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, factor: float) -> Tensor:
        times = query.shape[1] // key.shape[1]
        keys, values = key, value
        if times > 1:
            keys, values = (p.repeat_interleave(times, dim=1) for p in (key, value))
        output, logsumexp_BHT = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, keys, values, 0.0, True, scale=factor
        )
        ctx.save_for_backward(query, key, value, logsumexp_BHT)
        ctx.factor = factor
        found: Tensor = output
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, logsumexp_BHT = ctx.saved_tensors
        factor = ctx.factor
        rows, heads, positions, width = query.shape
        groups = key.shape[1]
        shared = rows * groups, heads // groups * positions

        def by_key_head(part_BHTC: Tensor) -> Tensor:
            return part_BHTC.reshape(*shared, width)

        asked_NQC, slope_NQC = by_key_head(query), by_key_head(grad_outputs[0])
        keys_NTC, values_NTC = (p.reshape(rows * groups, positions, width) for p in (key, value))
        scores_NQT = torch.bmm(asked_NQC.float() * factor, keys_NTC.float().transpose(1, 2))
        place_T = torch.arange(positions, device=query.device)
        is_hidden_QT = (place_T > place_T[:, None]).repeat(heads // groups, 1)
        sums_NQ1 = logsumexp_BHT.reshape(*shared, 1)
        shares_NQT = (scores_NQT - sums_NQ1).exp().masked_fill(is_hidden_QT, 0.0).to(query.dtype)
        of_shares_NQT = torch.bmm(slope_NQC, values_NTC.transpose(1, 2))
        # Of the rounded ones, so that a query that sees one key alone has no gradient.
        mean_NQ1 = (shares_NQT.float() * of_shares_NQT.float()).sum(-1, keepdim=True)
        of_scores_NQT = (shares_NQT * (of_shares_NQT - mean_NQ1) * factor).to(query.dtype)
        of_query = torch.bmm(of_scores_NQT, keys_NTC).view(rows, heads, positions, width)
        of_key = torch.bmm(of_scores_NQT.transpose(1, 2), asked_NQC).view(key.shape)
        of_value = torch.bmm(shares_NQT.transpose(1, 2), slope_NQC).view(value.shape)
        return of_query, of_key, of_value, None
