"""Soft prompts before the tokens of rows.

Axis letters: ``K`` slots, ``B`` rows, ``P`` prompt positions, ``T`` tokens, ``D`` width. Rows that
each have a prompt of their own are K slots of one row.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

SoftPrompts = tuple[Tensor, Tensor]
"""([K, P, D] vectors, [K] how many of them count)."""


def merged_prompts(found: Sequence[SoftPrompts], dtype: torch.dtype) -> SoftPrompts | None:
    """The prompts of several stacks in one, of which each slot has one at most; None without."""
    if not found:
        return None
    longest = max(vectors_KPD.shape[1] for vectors_KPD, _ in found)
    padded = [F.pad(v, (0, 0, 0, longest - v.shape[1])) for v, _ in found]
    joined_KPD, joined_K = padded[0], found[0][1]
    for vectors_KPD, (_, lengths_K) in zip(padded[1:], found[1:], strict=True):
        joined_KPD = torch.where((lengths_K > 0)[:, None, None], vectors_KPD, joined_KPD)
        joined_K = joined_K + lengths_K
    return joined_KPD.to(dtype), joined_K


def join_prompt(prompt: SoftPrompts, x_KBTD: Tensor) -> tuple[Tensor, Tensor]:
    """Puts each slot's prompt before its right-padded rows; what it does not use ends up behind.

    Causal attention then needs no mask for slots with a shorter prompt, or with none.
    """
    vectors_KPD, lengths_K = prompt
    num_slots, rows, num_tokens, width = x_KBTD.shape
    longest = vectors_KPD.shape[1]
    both = torch.cat([vectors_KPD[:, None].expand(num_slots, rows, longest, width), x_KBTD], dim=2)
    target = torch.arange(longest + num_tokens, device=x_KBTD.device)[None]
    from_tokens = (longest + target - lengths_K[:, None]).clamp(max=longest + num_tokens - 1)
    index = torch.where(target < lengths_K[:, None], target, from_tokens)
    return both.gather(2, index[:, None, :, None].expand_as(both)), lengths_K


def numbered(place_T: Tensor, lengths_K: Tensor, num_tokens: int) -> Tensor:
    """[K, P + T] the positions of what ``join_prompt`` gave.

    What a longer prompt of another slot leaves behind a slot's own is padding, and has the position
    of the row's end: counted on, a prefix before the row would move it beyond the base's positions.

    Args:
        place_T: [P + T] the places in a row, from zero on.
        lengths_K: [K] vectors of each slot's prompt. num_tokens: T, of the rows without a prompt.
    """
    return torch.minimum(place_T, lengths_K[:, None] + (num_tokens - 1))


def join_left(
    prompt: SoftPrompts | None, x_KBTD: Tensor, num_padding_KB: Tensor
) -> tuple[Tensor, Tensor]:
    """Puts each slot's prompt into left-padded rows, right before each row's first token.

    Args:
        prompt: of the slots; None leaves the rows as they are.
        x_KBTD: [K, B, T, D] embedded rows.
        num_padding_KB: [K, B] how many of the first positions are padding.

    Returns:
        ([K, B, P + T, D], [K, B] how many of the first positions are padding now).
    """
    if prompt is None:
        return x_KBTD, num_padding_KB
    vectors_KPD, lengths_K = prompt
    rows, num_tokens = x_KBTD.shape[1:3]
    longest = vectors_KPD.shape[1]
    both = torch.cat([vectors_KPD[:, None].expand(-1, rows, -1, -1), x_KBTD], dim=2)
    # Position t of the joined row: padding, then the slot's prompt, then the row's tokens.
    first_KB = num_padding_KB + longest - lengths_K[:, None]
    t = torch.arange(longest + num_tokens, device=x_KBTD.device)
    since_KBt = t - first_KB[..., None]
    in_prompt = (since_KBt >= 0) & (since_KBt < lengths_K[:, None, None])
    index = torch.where(in_prompt, since_KBt, t)
    return both.gather(2, index[..., None].expand_as(both)), first_KB
