"""The short convolutions of LFM2, whose state Transformers keeps in its own cache.

A convolution over the last L positions is attention with fixed shares: a position is seen by how
far it is before the query. While a batch is continued, the layer's inputs are therefore kept as
keys are, and the masks of attention say which of them belong to a row or to a branch of it.

Axis letters: ``B`` rows, ``T`` positions of this pass, ``S`` positions that are kept, ``D`` width,
``L`` positions of the kernel.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.lfm2.modeling_lfm2 import Lfm2ShortConv
from transformers.models.lfm2_moe.modeling_lfm2_moe import Lfm2MoeShortConv

from bakeoff.base.attention.interface import is_decoding, present_extension, visible
from bakeoff.errors import BaseModelError


class _Ours(nn.Module):
    """Mixed into the library's layer, whose parameters these are."""

    conv: nn.Conv1d
    in_proj: nn.Module
    out_proj: nn.Module

    def forward(
        self,
        hidden_states: Tensor,
        past_key_values: Any = None,
        attention_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        if past_key_values is not None or attention_mask is not None:
            found: Tensor = super().forward(
                hidden_states, past_key_values, attention_mask, **kwargs
            )
            return found
        if present_extension() is not None:
            raise BaseModelError(
                f"{type(self).__mro__[2].__name__} is a convolution, for which a prefix of keys "
                "and values holds nothing; choose another method"
            )
        before_BTD, after_BTD, x_BTD = self.in_proj(hidden_states).chunk(3, dim=-1)
        kept_BTD = before_BTD * x_BTD
        y_BTD = self._continued(kept_BTD) if is_decoding() else self._whole(kept_BTD)
        y: Tensor = self.out_proj(after_BTD * y_BTD)
        return y

    def _whole(self, x_BTD: Tensor) -> Tensor:
        """Over rows from their first position."""
        length = self.conv.kernel_size[0]
        padded_BDT = F.pad(x_BTD.transpose(1, 2), (length - 1, 0))
        y_BDT = F.conv1d(padded_BDT, self.conv.weight, self.conv.bias, groups=self.conv.groups)
        return y_BDT.transpose(1, 2)

    def _continued(self, x_BTD: Tensor) -> Tensor:
        """Over positions behind those that are kept."""
        kept_B1TD = x_BTD[:, None]
        # Each position's place among those that a query sees is its distance to the last of them.
        keys_B1SD, _, mask = visible(self, kept_B1TD, kept_B1TD[..., :1], x_BTD.shape[1], None)
        mask_BTS = mask.view(-1, *mask.shape[-2:])
        number_BTS = mask_BTS.cumsum(dim=-1)
        distance_BTS = number_BTS[..., -1:] - number_BTS
        keys_BSD = keys_B1SD[:, 0]
        y_BTD = torch.zeros_like(x_BTD)
        for distance, weight_D in enumerate(self.conv.weight[:, 0].flip(-1).unbind(-1)):
            chosen_BTS = (mask_BTS & (distance_BTS == distance)).to(x_BTD.dtype)
            y_BTD = y_BTD + torch.matmul(chosen_BTS, keys_BSD) * weight_D
        return y_BTD if self.conv.bias is None else y_BTD + self.conv.bias


class OurLfm2ShortConv(_Ours, Lfm2ShortConv):  # type: ignore[misc]
    """LFM2's."""


class OurLfm2MoeShortConv(_Ours, Lfm2MoeShortConv):  # type: ignore[misc]
    """That of LFM2 with experts."""


def take_over(module: nn.Module) -> bool:
    """Makes one of these layers ours in place; False for any other."""
    if type(module) is Lfm2ShortConv:
        module.__class__ = OurLfm2ShortConv
    elif type(module) is Lfm2MoeShortConv:
        module.__class__ = OurLfm2MoeShortConv
    else:
        return False
    return True
