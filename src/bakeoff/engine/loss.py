"""Cross-entropy of supervised positions, in chunks, without the full logits.

The gradient of a chunk's logits is made while the chunk is there, turned into the gradient of the
hidden states (and of the head, where the head is trained) and the logits are dropped. Memory is
``slots x chunk x vocabulary``, whatever the batch.

Axis letters: ``K`` slots, ``N`` supervised tokens per slot, ``D`` width, ``V`` vocabulary,
``C`` tokens of a chunk.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from bakeoff.base.devices import kind_of
from bakeoff.base.products import product
from bakeoff.base.wide_products import add_wide_product, wide_product
from bakeoff.engine.slopes import slopes_of

_OUTER_VALUES = 1 << 22
"""Values of a weight's gradient that are computed at a time on a CPU."""
_LARGE_HEAD = 1 << 22
_CHUNK_TOKENS = {"cpu": 32, "cuda": 256}
_CHUNK_TOKENS_OF_LARGE_HEADS = {"cpu": 128}


def chunk_tokens(device: torch.device, head_values: int = 0) -> int:
    """Tokens of one slot in a chunk.

    Every chunk is filled up to this, so that a slot's arithmetic does not depend on how many tokens
    its neighbours have. A GPU needs large products; on a CPU what is filled up costs more, unless
    the head is so large that reading it costs as much as the arithmetic.

    Args:
        device: where. head_values: of the head, all slots share one size.
    """
    kind = kind_of(device)
    if head_values >= _LARGE_HEAD and kind in _CHUNK_TOKENS_OF_LARGE_HEADS:
        return _CHUNK_TOKENS_OF_LARGE_HEADS[kind]
    return _CHUNK_TOKENS.get(kind, _CHUNK_TOKENS["cuda"])


def _logits(hidden_KCD: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """[K, C, V] float32 logits; ``weight`` is [V, D] for all slots or [K, V, D] for each."""
    logits = _products(hidden_KCD, weight)
    return logits if bias is None else logits.add_(bias.float())


def _products(x_KCD: Tensor, weight: Tensor) -> Tensor:
    """[K, C, E] float32 products with a [E, D] weight for all slots, or a [K, E, D] for each."""
    if kind_of(x_KCD.device) != "cpu":
        if weight.dim() == 3:
            return wide_product(x_KCD, weight.transpose(1, 2))
        return wide_product(x_KCD.flatten(0, 1)[None], weight.t()[None]).view(*x_KCD.shape[:2], -1)
    if weight.dim() == 2 or len(weight) == 1:
        return product(x_KCD, weight if weight.dim() == 2 else weight[0]).float()
    products = [product(x, own).float() for x, own in zip(x_KCD, weight, strict=True)]
    return torch.stack(products)


def _add_outer(total: Tensor, left_KCV: Tensor, right_KCD: Tensor) -> None:
    """Adds the sums over ``C`` of ``left * right`` to [K, V, D], or over all slots to [V, D].

    On a CPU both sides are float32; on a GPU they are in compute dtype, and the sums in float32.
    """
    if total.dim() == 2:
        total, left_KCV, right_KCD = (
            total[None],
            left_KCV.flatten(0, 1)[None],
            right_KCD.flatten(0, 1)[None],
        )
    if kind_of(total.device) == "cpu":
        size = max(1, _OUTER_VALUES // total.shape[-1])
        for own, left, right in zip(total, left_KCV, right_KCD, strict=True):
            for part, slopes in zip(own.split(size), left.split(size, dim=1), strict=True):
                part.add_(product(slopes.t(), right.t()))
    else:
        add_wide_product(total, left_KCV.transpose(1, 2), right_KCD)


def _sides(slope_KCV: Tensor, hidden_KCD: Tensor, factor_KC1: Tensor) -> tuple[Tensor, Tensor]:
    """Both sides of the head's gradient, with a factor for each token."""
    if slope_KCV.dtype == torch.float16:
        # On the slopes, which are at most one: hidden states times a scale of the loss may be
        # beyond this format. A slope that is beyond it here is met by a smaller scale.
        return torch.mul(slope_KCV, factor_KC1, out=torch.empty_like(slope_KCV)), hidden_KCD
    return slope_KCV, (hidden_KCD.float() * factor_KC1).to(slope_KCV.dtype)


class _LinearCrossEntropy(Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_KND: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets_KN: Tensor,
        mask_KN: Tensor,
        scale_K: Tensor,
        into: Tensor | None,
        cap: float | None,
    ) -> tuple[Tensor, Tensor]:
        needs_hidden, needs_weight = ctx.needs_input_grad[0], ctx.needs_input_grad[1]
        nll_KN = torch.zeros(targets_KN.shape, dtype=torch.float32, device=hidden_KND.device)
        grad_hidden = torch.empty_like(hidden_KND) if needs_hidden else None
        grad_weight = into
        if needs_weight and into is None:
            grad_weight = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
        grad_bias = (
            torch.zeros(bias.shape, dtype=torch.float32, device=bias.device)
            if bias is not None and ctx.needs_input_grad[2]
            else None
        )
        low_weight = weight.to(hidden_KND.dtype)
        scale_K11 = scale_K[:, None, None]
        size = chunk_tokens(hidden_KND.device, weight.shape[-2:].numel())
        for start in range(0, targets_KN.shape[1], size):
            chunk = slice(start, start + size)
            mask_KC1, targets_KC1 = mask_KN[:, chunk, None], targets_KN[:, chunk, None]
            # What is masked may be anything, and nothing times zero is not always zero.
            hidden_KCD = hidden_KND[:, chunk].masked_fill(~mask_KC1, 0.0)
            nll_KC1, slope_KCV, factor_KC1 = slopes_of(
                _logits(hidden_KCD, low_weight, bias),
                targets_KC1,
                mask_KC1,
                cap=cap,
                dtype=hidden_KND.dtype,
                are_needed=any(ctx.needs_input_grad[:3]),
            )
            nll_KN[:, chunk] = torch.where(mask_KC1, nll_KC1, 0.0).squeeze(-1)
            if slope_KCV is None or factor_KC1 is None:
                continue
            factor_KC1 = factor_KC1 * scale_K11
            if grad_hidden is not None:
                low_KCV = slope_KCV.to(hidden_KND.dtype)
                turned = low_weight.transpose(-1, -2)
                grad_hidden[:, chunk] = _products(low_KCV, turned) * factor_KC1
                del low_KCV
            if grad_bias is not None:
                grad_bias += (slope_KCV * factor_KC1).sum(dim=(0, 1))
            if grad_weight is not None:
                _add_outer(grad_weight, *_sides(slope_KCV, hidden_KCD, factor_KC1))
            del slope_KCV  # before the next chunk's logits are there
        ctx.save_for_backward(grad_hidden, None if grad_weight is into else grad_weight, grad_bias)
        ctx.mark_non_differentiable(nll_KN)
        return nll_KN.sum(dim=1) * scale_K, nll_KN

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight, grad_bias = ctx.saved_tensors
        factor_K = grad_outputs[0]
        if grad_hidden is not None:
            grad_hidden = grad_hidden * factor_K[:, None, None].to(grad_hidden.dtype)
        if grad_weight is not None:
            # A weight shared by several slots has no factor of its own: it exists for one slot.
            grad_weight.mul_(factor_K[:, None, None] if grad_weight.dim() == 3 else factor_K[0])
        if grad_bias is not None:
            grad_bias = grad_bias * factor_K[0]
        return grad_hidden, grad_weight, grad_bias, None, None, None, None, None


def linear_cross_entropy(
    hidden_KND: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets_KN: Tensor,
    mask_KN: Tensor,
    scale_K: Tensor | None = None,
    cap: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Negative log-likelihood of each target under ``softmax(hidden @ weight.T + bias)``.

    Args:
        hidden_KND: [K, N, D] hidden states that predict the targets, compute dtype.
        weight: [V, D] one head for all slots, or [K, V, D] one for each. A shared weight may
            require a gradient only where K is 1.
        bias: [V] or None; may require a gradient only where K is 1.
        targets_KN: [K, N] token ids; anything valid where masked.
        mask_KN: [K, N] True where the position counts.
        scale_K: [K] factors of the sums, if their plain sum is what the caller differentiates. A
            weight that has a ``.grad`` then gets its gradient right there, in this forward pass,
            instead of through a second matrix of its size.
        cap: soft cap of the logits: they become ``cap * tanh(logits / cap)``.

    Returns:
        ([K] sums over the counted positions, times ``scale_K``, differentiable; [K, N] each
        position's value in nats, zero where masked).
    """
    num_slots, num_tokens = targets_KN.shape
    size = chunk_tokens(hidden_KND.device, weight.shape[-2:].numel())
    missing = -num_tokens % size
    if missing or num_tokens == 0:
        missing = missing or size
        hidden_KND = F.pad(hidden_KND, (0, 0, 0, missing))
        targets_KN = F.pad(targets_KN, (0, missing))
        mask_KN = F.pad(mask_KN, (0, missing))
    if not torch.is_grad_enabled():
        # A leaf asks its function for a gradient even where none is needed.
        hidden_KND, weight = hidden_KND.detach(), weight.detach()
        bias = None if bias is None else bias.detach()
    into = None
    if scale_K is None:
        scale_K = torch.ones(num_slots, device=hidden_KND.device)
    elif weight.requires_grad and weight.is_leaf:
        into = weight.grad
    sums_K, nll_KN = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden_KND, weight, bias, targets_KN, mask_KN, scale_K, into, cap
    )
    return sums_K, nll_KN[:, :num_tokens]
