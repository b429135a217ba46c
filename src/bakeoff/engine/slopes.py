"""What a chunk of logits comes to: each token's loss, and the slopes of the losses by the logits.

Axis letters: ``K`` slots, ``C`` tokens of a chunk, ``V`` vocabulary.
"""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from bakeoff.base.devices import kind_of
from bakeoff.base.kernels.fused import fused_kernels


class Slopes(NamedTuple):
    """Losses of a chunk, and their slopes.

    Attributes:
        nll_KC1: [K, C, 1] float32, in nats; anything where masked.
        slope_KCV: [K, C, V], in float32 on a CPU, in compute dtype on a GPU; None where no slopes
            are needed.
        factor_KC1: [K, C, 1] float32, by which each token's slopes are too small; zero where
            masked. None with the slopes.
    """

    nll_KC1: Tensor
    slope_KCV: Tensor | None
    factor_KC1: Tensor | None


def slopes_of(
    logits_KCV: Tensor,
    targets_KC1: Tensor,
    mask_KC1: Tensor,
    *,
    cap: float | None,
    dtype: torch.dtype,
    are_needed: bool,
) -> Slopes:
    """Losses and slopes of a chunk; its logits are used up.

    Args:
        logits_KCV: [K, C, V] float32. targets_KC1: [K, C, 1]. mask_KC1: which tokens count.
        cap: soft cap of the logits. dtype: in which the slopes are multiplied.
        are_needed: whether there are slopes, or losses alone.
    """
    kernels = fused_kernels(logits_KCV)
    if kernels is not None:
        return _fused(kernels, logits_KCV, targets_KC1, mask_KC1, cap, dtype, are_needed)
    damped_KCV = None
    if cap is not None:
        logits_KCV = logits_KCV.div_(cap).tanh_()
        damped_KCV = 1 - logits_KCV.square()
        logits_KCV = logits_KCV.mul_(cap)
    top_KC1 = logits_KCV.amax(dim=-1, keepdim=True)
    own_KC1 = logits_KCV.gather(-1, targets_KC1)
    # The one matrix of the vocabulary's size is used up in place: from logits to unnormalised
    # probabilities to the loss's slope times their sum. What is left, a factor a token, goes to the
    # narrow side of the products.
    powers_KCV = logits_KCV.sub_(top_KC1).exp_()
    total_KC1 = powers_KCV.sum(dim=-1, keepdim=True)
    nll_KC1 = total_KC1.log() + top_KC1 - own_KC1
    if not are_needed:
        return Slopes(nll_KC1, None, None)
    slope_KCV = powers_KCV.scatter_add_(-1, targets_KC1, -total_KC1)
    if damped_KCV is not None:
        slope_KCV = slope_KCV.mul_(damped_KCV)
    factor_KC1 = torch.where(mask_KC1, 1.0 / total_KC1, 0.0)
    if dtype == torch.float16:
        # A sum over a large vocabulary is beyond this format.
        slope_KCV.mul_(factor_KC1)
        factor_KC1 = torch.ones_like(factor_KC1)
    if kind_of(slope_KCV.device) != "cpu":
        slope_KCV = slope_KCV.to(dtype)
    return Slopes(nll_KC1, slope_KCV, factor_KC1)


def _fused(
    kernels: ModuleType,
    logits_KCV: Tensor,
    targets_KC1: Tensor,
    mask_KC1: Tensor,
    cap: float | None,
    dtype: torch.dtype,
    are_needed: bool,
) -> Slopes:
    """The same in one kernel: 10 bytes moved per logit instead of 30."""
    logits_NV = logits_KCV.flatten(0, 1)
    slopes_NV = None
    if are_needed:  # what is read last may be written over
        slopes_NV = (
            logits_NV if dtype == torch.float32 else torch.empty_like(logits_NV, dtype=dtype)
        )
    nll_N: Tensor = kernels.cross_entropy(
        logits_NV, targets_KC1.flatten(), mask_KC1.flatten(), cap, slopes_NV
    )
    nll_KC1 = nll_N.view(targets_KC1.shape)
    if slopes_NV is None:
        return Slopes(nll_KC1, None, None)
    return Slopes(nll_KC1, slopes_NV.view(logits_KCV.shape), torch.ones_like(nll_KC1))
