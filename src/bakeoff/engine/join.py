"""Soft prompts before right-padded rows.

Axis letters: ``K`` slots, ``B`` rows, ``P`` prompt positions, ``T`` tokens, ``D`` width.
"""

from __future__ import annotations

import torch
from torch import Tensor


def join_prompt(prompt: tuple[Tensor, Tensor], x_KBTD: Tensor) -> tuple[Tensor, Tensor]:
    """Puts each slot's prompt before its rows; unused prompt rows end up behind, as padding.

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
