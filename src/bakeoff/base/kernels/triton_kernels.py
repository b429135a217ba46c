"""Kernels for NVIDIA GPUs in Triton, which comes with PyTorch for CUDA.

Imported by ``fused.py`` alone, which tries them against plain PyTorch before it trusts them.
``make kernels`` compiles them for four generations of cards without one, and computes with them in
Triton's interpreter.

Axis letters: ``N`` tokens, ``V`` vocabulary, ``K`` slots, ``n`` values of a slot.
"""

# Triton reads the kernels' sources: its names, not Python's rules.
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_LARGEST_BLOCK = 4096
_VALUES = 1024


@triton.jit
def _tanh(x):
    # By an exponential that does not overflow.
    e = tl.exp(-2.0 * tl.abs(x))
    bent = (1.0 - e) / (1.0 + e)
    return tl.where(x < 0, -bent, bent)


@triton.jit
def losses_and_slopes(
    logits,
    targets,
    counts,
    nll,
    slopes,
    size,
    cap,
    HAS_CAP: tl.constexpr,
    WRITES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One token: its loss and, where they are needed, the loss's slopes by its logits."""
    token = tl.program_id(0).to(tl.int64)
    row = logits + token * size
    # Before the reductions below, which all warps wait at: the slopes may be written over the
    # logits, and a warp that is ahead would have replaced this one.
    target = tl.load(targets + token)
    is_counted = tl.load(counts + token)
    own = tl.load(row + target)
    top = float("-inf")
    total = 0.0
    for start in range(0, size, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(row + at, mask=at < size, other=float("-inf"))
        if HAS_CAP:
            x = tl.where(at < size, cap * _tanh(x / cap), float("-inf"))
        here = tl.max(x, axis=0)
        higher = tl.maximum(top, here)
        total = total * tl.exp(top - higher) + tl.sum(tl.exp(x - higher), axis=0)
        top = higher
    if HAS_CAP:
        own = cap * _tanh(own / cap)
    tl.store(nll + token, tl.where(is_counted, tl.log(total) + top - own, 0.0))
    if WRITES:
        for start in range(0, size, BLOCK):
            at = start + tl.arange(0, BLOCK)
            x = tl.load(row + at, mask=at < size, other=0.0)
            if HAS_CAP:
                x = _tanh(x / cap)
                share = tl.exp(cap * x - top) / total
                slope = tl.where(at == target, share - 1.0, share) * (1.0 - x * x)
            else:
                share = tl.exp(x - top) / total
                slope = tl.where(at == target, share - 1.0, share)
            slope = tl.where(is_counted, slope, 0.0)
            tl.store(slopes + token * size + at, slope.to(slopes.dtype.element_ty), mask=at < size)


@triton.jit
def adamw(
    values,
    grads,
    first,
    second,
    of_slot,
    has_ratio,
    size,
    eps,
    left2,
    NUM: tl.constexpr,
    HAS_RATIO: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One update of a block of a slot's values, in the order of operations of ``SlotAdamW``."""
    slot = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    is_there = at < size
    own = of_slot + slot * NUM
    clip = tl.load(own)
    updates = tl.load(own + 1) > 0
    weight = tl.load(own + 2)
    decay = tl.load(own + 3)
    root = tl.load(own + 4)
    rate = tl.load(own + 5)
    kept = tl.load(own + 6)
    if HAS_RATIO:
        has = tl.load(has_ratio + at, mask=is_there, other=0) != 0
        rate = tl.where(has, tl.load(own + 7), rate)
        kept = tl.where(has, tl.load(own + 8), kept)
    place = slot * size + at
    gradient = tl.load(grads + place, mask=is_there, other=0.0) * clip
    # Whatever a slot's gradient is that does not update, it changes nothing.
    gradient = tl.where(updates, gradient, 0.0)
    m = tl.load(first + place, mask=is_there, other=0.0)
    m = m + weight * (gradient - m)
    v = tl.load(second + place, mask=is_there, other=0.0)
    v = v * decay + left2 * (gradient * gradient)
    below = tl.sqrt(v) / root + eps
    value = tl.load(values + place, mask=is_there, other=0.0) * kept
    tl.store(grads + place, gradient, mask=is_there)
    tl.store(first + place, m, mask=is_there)
    tl.store(second + place, v, mask=is_there)
    tl.store(values + place, value + m * rate / below, mask=is_there)


@triton.jit
def _mix(x):
    x ^= x >> 16
    x *= 0x7FEB352D
    x ^= x >> 15
    x *= 0x846CA68B
    return x ^ (x >> 16)


@triton.jit
def dropout(
    given,
    kept,
    seeds,
    updates,
    thresholds,
    scales,
    first_rows,
    layer_key,
    row_length,
    num_positions,
    width,
    BLOCK: tl.constexpr,
):
    """One position of a slot: its numbers that the hash leaves, scaled up."""
    at_position = tl.program_id(0).to(tl.int64)
    slot = at_position // num_positions
    place = (at_position % num_positions).to(tl.int32)
    golden = 0x9E3779B9
    key = _mix(tl.load(seeds + slot).to(tl.uint32) + golden)
    key = _mix(key ^ tl.load(updates + slot).to(tl.uint32))
    key = _mix(key + layer_key.to(tl.uint32))
    first_row = tl.load(first_rows).to(tl.int32)
    row = _mix((place // row_length + first_row).to(tl.uint32))
    key = _mix(key ^ _mix(row ^ (place % row_length).to(tl.uint32)))
    threshold = tl.load(thresholds + slot).to(tl.uint32)
    scale = tl.load(scales + slot)
    for start in range(0, width, BLOCK):
        feature = start + tl.arange(0, BLOCK)
        is_there = feature < width
        x = tl.load(given + at_position * width + feature, mask=is_there, other=0.0)
        hashed = _mix(key ^ _mix(feature.to(tl.uint32) * golden)) & 0x7FFFFFFF
        left = x.to(tl.float32) * tl.where(hashed >= threshold, scale, 0.0)
        tl.store(kept + at_position * width + feature, left.to(x.dtype), mask=is_there)


SLOT_NUMBERS = 9
"""What ``adamw`` reads of each slot: clip, whether it updates, the first moment's weight, the
second's decay, the root of its correction, the rate and what decay leaves, and both of other
values."""


def cross_entropy(
    logits_NV: Tensor,
    targets_N: Tensor,
    counts_N: Tensor,
    cap: float | None,
    slopes_NV: Tensor | None,
) -> Tensor:
    """Losses, and slopes into ``slopes_NV`` where it is given.

    Args:
        logits_NV: [N, V] float32, contiguous. targets_N: [N] token ids.
        counts_N: [N] bool; what does not count has no loss and no slopes.
        cap: soft cap of the logits. slopes_NV: [N, V], contiguous, of any format.

    Returns:
        [N] float32 in nats.
    """
    num_tokens, size = logits_NV.shape
    nll_N = torch.empty(num_tokens, dtype=torch.float32, device=logits_NV.device)
    block = min(_LARGEST_BLOCK, triton.next_power_of_2(size))
    losses_and_slopes[(num_tokens,)](
        logits_NV,
        targets_N,
        counts_N,
        nll_N,
        nll_N if slopes_NV is None else slopes_NV,
        size,
        0.0 if cap is None else cap,
        HAS_CAP=cap is not None,
        WRITES=slopes_NV is not None,
        BLOCK=block,
        num_warps=8 if block > 1024 else 4,
    )
    return nll_N


def update(
    values_Kn: Tensor,
    grads_Kn: Tensor,
    first_Kn: Tensor,
    second_Kn: Tensor,
    numbers: Tensor,
    has_ratio_n: Tensor | None,
    *,
    eps: float,
    beta2: float,
) -> None:
    """One update of all slots in place, in one pass over their values.

    Args:
        values_Kn, grads_Kn, first_Kn, second_Kn: [K, n] float32, contiguous.
        numbers: [K, SLOT_NUMBERS] float32. has_ratio_n: [n] bool, which values have another rate.
        eps, beta2: AdamW's.
    """
    num_slots, size = values_Kn.shape
    adamw[(triton.cdiv(size, _VALUES), num_slots)](
        values_Kn,
        grads_Kn,
        first_Kn,
        second_Kn,
        numbers,
        numbers if has_ratio_n is None else has_ratio_n,
        size,
        eps,
        1 - beta2,
        NUM=SLOT_NUMBERS,
        HAS_RATIO=has_ratio_n is not None,
        BLOCK=_VALUES,
    )


def dropped(
    x_KND: Tensor,
    seed_K: Tensor,
    update_K: Tensor,
    threshold_K: Tensor,
    scale_K: Tensor,
    first_row: Tensor,
    *,
    layer_key: int,
    num_rows: int,
) -> Tensor:
    """As ``bakeoff.methods.low_rank.dropout.dropped``, of a contiguous tensor, in one pass."""
    num_slots, num_positions, width = x_KND.shape
    kept_KND = torch.empty_like(x_KND)
    dropout[(num_slots * num_positions,)](
        x_KND,
        kept_KND,
        seed_K,
        update_K,
        threshold_K,
        scale_K.to(x_KND.dtype).float(),  # rounded as the numbers that it is multiplied with
        first_row,
        layer_key,
        num_positions // num_rows,
        num_positions,
        width,
        BLOCK=min(_VALUES, triton.next_power_of_2(width)),
    )
    return kept_KND
