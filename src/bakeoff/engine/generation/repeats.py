"""``no_repeat_ngram`` over generated tokens, on the device.

Axis letters: ``R`` rows, ``G`` generated tokens, ``W`` windows of ``n`` tokens, ``V`` vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor


def block_repeats(
    logits_RV: Tensor, generated_RG: Tensor, size: int, num_generated_1: Tensor | None = None
) -> None:
    """Forbids, in place, every token that would repeat a sequence of ``size`` generated tokens.

    Args:
        logits_RV: [R, V] of the next token.
        generated_RG: [R, G] what has been generated, without the prompt.
        size: length of the sequences; 0 forbids nothing, 1 every token seen before.
        num_generated_1: [1] how many of the G tokens are there; None means all.
    """
    room = generated_RG.shape[1]
    if size == 0 or room < size:
        return
    windows_RWn = generated_RG.unfold(1, size, 1)
    if size == 1:
        repeats_RW = torch.ones_like(generated_RG, dtype=torch.bool)
    elif num_generated_1 is None:
        tail_R1n = generated_RG[:, None, room - size + 1 :]
        repeats_RW = (windows_RWn[..., :-1] == tail_R1n).all(dim=-1)
    else:
        place_n = num_generated_1 + torch.arange(1 - size, 0, device=logits_RV.device)
        # Before there are enough tokens for a tail, no window counts either.
        tail_Rn = generated_RG.index_select(1, place_n.clamp(min=0))
        repeats_RW = (windows_RWn[..., :-1] == tail_Rn[:, None]).all(dim=-1)
    if num_generated_1 is not None:
        end_W = torch.arange(size, room + 1, device=logits_RV.device)
        repeats_RW = repeats_RW & (end_W <= num_generated_1)
    # Where nothing repeats, the add is of zero to token 0.
    tokens_RW = torch.where(repeats_RW, windows_RWn[..., -1], 0)
    penalty_RW = torch.where(repeats_RW, float("-inf"), 0.0)
    logits_RV.scatter_add_(1, tokens_RW, penalty_RW)
