"""Attention through a sliding window: without a mask where a kernel knows windows, else with one.

``scaled_dot_product_attention`` has no argument for a window, though the flash kernel behind it
has one on CUDA. It is called directly there: it skips what is outside the window and holds
nothing that grows with the square of the length. As that operator is internal to PyTorch, it is
tried once against the mask, forward and backward, before it is trusted.

Axis letters: ``B`` rows, ``H`` heads, ``T`` positions, ``C`` head width.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from bakeoff.base.attention.fused import fused_attention
from bakeoff.base.devices import kind_of, present_profile

_FORMATS = (torch.float16, torch.bfloat16)
_TOLERANCE = 5e-2
_trusted: dict[tuple[torch.dtype, int], bool] = {}
_band_masks: dict[tuple[int, int, torch.device], Tensor] = {}
_MOST_MASKS = 32
_collecting: list[list[Tensor]] = []


def windowed_attention(
    query: Tensor, key: Tensor, value: Tensor, *, scaling: float | None, window: int
) -> Tensor:
    """Causal attention of each query to the last ``window`` positions, itself included.

    Args:
        query: [B, H, T, C]. key: [B, H or fewer, T, C]. value: like ``key``.
        scaling: factor on the scores; None means ``C ** -0.5``.
        window: positions.

    Returns:
        [B, H, T, C].
    """
    is_trusted = _is_trusted(query)
    if kind_of(query.device) == "cuda" and is_trusted and value.shape[3] == query.shape[3]:
        return _flash(query, key, value, scaling, window)
    return _masked(query, key, value, scaling, window)


def _is_trusted(query: Tensor) -> bool:
    profile = present_profile()
    if profile is not None:
        return profile.is_ampere and query.dtype in _FORMATS
    # Read from a table, so that compiled code never tries the kernel itself.
    return _trusted.get((query.dtype, query.shape[3]), False)


def prepare_windows(config: PreTrainedConfig, device: torch.device, dtype: torch.dtype) -> None:
    """Tries the flash kernel for heads of a base, if it is on a device that may have it."""
    heads = int(getattr(config, "num_attention_heads", None) or 0)
    if device.type != "cuda" or dtype not in _FORMATS or not heads:
        return
    width = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    if (dtype, width) not in _trusted:
        _trusted[dtype, width] = knows_windows(device, dtype, width)


def knows_windows(device: torch.device, dtype: torch.dtype, width: int) -> bool:
    """Whether the flash kernel computes what the mask says, and its gradients, here.

    Args:
        device: where. dtype: of queries, keys and values. width: C.
    """
    draw = torch.Generator().manual_seed(0)
    length, window = 70, 33
    shapes = ((2, 4, length, width), (2, 2, length, width), (2, 2, length, width))
    inputs = [torch.randn(s, generator=draw).to(device, dtype) for s in shapes]
    slope = torch.randn(shapes[0], generator=draw).to(device, dtype)
    found = []
    try:
        with torch.enable_grad():
            for attention in (_masked, _flash):
                leaves = [tensor.clone().requires_grad_() for tensor in inputs]
                output = attention(leaves[0], leaves[1], leaves[2], None, window)
                found.append([output, *torch.autograd.grad(output, leaves, slope)])
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False
    return all(
        bool(torch.allclose(flash.float(), masked.float(), rtol=_TOLERANCE, atol=_TOLERANCE))
        for masked, flash in zip(*found, strict=True)
    )


def _flash(query: Tensor, key: Tensor, value: Tensor, scaling: float | None, window: int) -> Tensor:
    # The kernel's layout is [B, T, H, C], and its window counts what is before the query.
    output: Tensor = torch.ops.aten._flash_attention_forward(
        query.transpose(1, 2),
        key.transpose(1, 2),
        value.transpose(1, 2),
        None,
        None,
        query.shape[2],
        key.shape[2],
        0.0,
        True,
        False,
        scale=scaling,
        window_size_left=window - 1,
        window_size_right=0,
    )[0]
    return output.transpose(1, 2)


def _masked(
    query: Tensor, key: Tensor, value: Tensor, scaling: float | None, window: int
) -> Tensor:
    mask = band_mask(query.shape[2], window, query.device)
    return fused_attention(query, key, value, mask=mask, scaling=scaling)


def band_mask(num_positions: int, window: int, device: torch.device) -> Tensor:
    """Boolean ``[T, T]``: causal, and at most ``window`` positions back, the query included."""
    if torch.compiler.is_compiling():
        # Each kept mask would be looked up by code of its own.
        return _new_band_mask(num_positions, window, device)
    key = (num_positions, window, device)
    if key not in _band_masks:
        if len(_band_masks) > _MOST_MASKS:
            _band_masks.clear()
        _band_masks[key] = _new_band_mask(num_positions, window, device)
    mask = _band_masks[key]
    for collected in _collecting:
        if not any(mask is found for found in collected):
            collected.append(mask)
    return mask


def _new_band_mask(num_positions: int, window: int, device: torch.device) -> Tensor:
    full = torch.ones(num_positions, num_positions, dtype=torch.bool, device=device)
    return full.tril().triu(1 - window)


@contextmanager
def masks_collected() -> Iterator[list[Tensor]]:
    """Collects the kept masks that attention inside reads, in any thread.

    A captured graph reads them by their addresses, so that what keeps the graph must keep them:
    here they are dropped when there are many. The list is the same for all threads, since layers
    that are recomputed run in a thread of autograd's.

    Yields:
        Grows while the context lasts; each mask is there once.
    """
    collected: list[Tensor] = []
    _collecting.append(collected)
    try:
        yield collected
    finally:
        # By identity: two lists of the same masks are equal.
        _collecting[:] = [found for found in _collecting if found is not collected]


@contextmanager
def masks_apart() -> Iterator[None]:
    """Keeps masks that are made inside from those who come after, and theirs from the inside.

    A tensor without values must not be found where a real one is looked for.
    """
    global _band_masks
    before, _band_masks = _band_masks, {}
    try:
        yield
    finally:
        _band_masks = before
