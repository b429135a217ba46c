"""Dropout whose masks follow from a candidate's seed and its progress alone.

A mask is a hash of (seed, update, layer, row of the update, position, feature): a generator without
state. A slot's masks so depend neither on its neighbours nor on the micro-batch, and training that
was interrupted draws what it would have drawn.

Axis letters: ``K`` slots, ``B`` rows, ``T`` positions of a row, ``N`` = B * T, ``D`` features.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

import torch
from torch import Tensor
from torch.autograd import Function

from bakeoff.base.kernels.fused import fused_kernels
from bakeoff.methods.training_pass import TrainingPass

_BITS: Final = 31
_GOLDEN: Final = 0x9E3779B9 - 2**32  # the golden ratio's bits, as a signed number
# Source of the two multipliers: Wellons, "Prospecting for hash functions", lowbias32.
_FIRST: Final = 0x7FEB352D
_SECOND: Final = 0x846CA68B - 2**32


def threshold(probability: float) -> int:
    """What ``dropped`` compares a hash of 31 bits with."""
    return round(probability * (1 << _BITS))


def dropped(
    x_KND: Tensor, training: TrainingPass, layer_key: int, threshold_K: Tensor, scale_K: Tensor
) -> Tensor:
    """``x_KND`` with some of its numbers zeroed and the others scaled up.

    Args:
        x_KND: [K, N, D], the rows of a slot one after the other.
        training: the position of training.
        layer_key: distinguishes layers; below 2^31.
        threshold_K: [K] int32, ``threshold`` of each slot's probability.
        scale_K: [K] 1 / (1 - probability).

    Returns:
        [K, N, D]. A slot whose probability is zero keeps its numbers, to the bit.
    """
    kernels = fused_kernels(x_KND)
    if kernels is not None:
        found: Tensor = _Dropped.apply(  # type: ignore[no-untyped-call]
            x_KND, kernels, training, layer_key, threshold_K, scale_K
        )
        return found
    keep_KND = _hashes(x_KND.shape, training, layer_key) >= threshold_K[:, None, None]
    factor_KND = keep_KND * scale_K[:, None, None].to(x_KND.dtype)
    return x_KND * factor_KND


class _Dropped(Function):
    """By one kernel; the backward pass draws the mask again, so that none is kept."""

    @staticmethod
    def forward(
        ctx: Any,
        x_KND: Tensor,
        kernels: ModuleType,
        training: TrainingPass,
        layer_key: int,
        threshold_K: Tensor,
        scale_K: Tensor,
    ) -> Tensor:
        def apply(given_KND: Tensor) -> Tensor:
            found: Tensor = kernels.dropped(
                given_KND.contiguous(),
                *(training.seed_K, training.update_K, threshold_K, scale_K, training.first_row),
                layer_key=layer_key,
                num_rows=training.num_rows,
            )
            return found

        ctx.drop = apply
        return apply(x_KND)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.drop(grad_outputs[0]), None, None, None, None, None


def _hashes(shape_KND: torch.Size, training: TrainingPass, layer_key: int) -> Tensor:
    """[K, N, D] int32 of 31 random bits."""
    num_slots, num_positions, width = shape_KND
    device = training.seed_K.device
    key_K = _mix(training.seed_K.int() + _GOLDEN)
    key_K = _mix(key_K ^ training.update_K.int())
    key_K = _mix(key_K + layer_key)

    def up_to(count: int) -> Tensor:
        return torch.arange(count, dtype=torch.int32, device=device)

    row_B = _mix(up_to(training.num_rows) + training.first_row)
    place_BT = _mix(row_B[:, None] ^ up_to(num_positions // training.num_rows))
    key_KN = _mix(key_K[:, None] ^ place_BT.flatten())
    # The features' keys are spread before they are joined: close numbers must not stay close.
    hashed_KND = _mix(key_KN[..., None] ^ _mix(up_to(width) * _GOLDEN))
    assert hashed_KND.shape == (num_slots, num_positions, width)
    return hashed_KND.bitwise_and_(2**_BITS - 1)


def _mix(x: Tensor) -> Tensor:
    """A bijection of 32 bits in which every bit of the input moves every bit of the output.

    Multiplication wraps around. A right shift of a signed number copies its sign, hence the masks.
    """
    x = x ^ ((x >> 16) & 0xFFFF)
    x = x * _FIRST
    x ^= (x >> 15) & 0x1FFFF
    x *= _SECOND
    return x.bitwise_xor_((x >> 16) & 0xFFFF)
