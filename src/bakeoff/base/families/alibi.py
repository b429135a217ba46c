"""Attention of BLOOM and Falcon: one layer for queries, keys and values, and biases by distance.

Both build their biases and masks outside of the layer, for rows that are padded on one side. Here
a layer keeps its slopes, and ``attend`` counts the positions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.bloom.modeling_bloom import BloomAttention, _get_alibi_slopes
from transformers.models.falcon.modeling_falcon import (
    FalconAttention,
    apply_rotary_pos_emb,
)

from bakeoff.base.attention.interface import attend
from bakeoff.base.attention.terms import Terms
from bakeoff.base.families.lending import require_nothing_before


class OurBloomAttention(BloomAttention):
    """The same parameters; our attention where Transformers brings neither mask nor cache."""

    def forward(  # type: ignore[override]
        self,
        hidden_states: Tensor,
        residual: Tensor,
        alibi: Tensor,
        attention_mask: Any,
        layer_past: Any = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """[B, T, D] to ([B, T, D], no weights)."""
        if attention_mask is not None or layer_past is not None:
            require_nothing_before(self)
            found: tuple[Tensor, Tensor | None] = super().forward(
                hidden_states, residual, alibi, attention_mask, layer_past, **kwargs
            )
            return found
        query, key, value = self._reshape(self.query_key_value(hidden_states))
        terms = Terms(slopes_H=_slopes(self, hidden_states))
        output = attend(
            query, key, value, module=self, scaling=self.inv_norm_factor, window=None, terms=terms
        )
        merged = output.transpose(1, 2).reshape(hidden_states.shape)
        return self.dense(merged) + residual, None


class OurFalconAttention(FalconAttention):
    """The same parameters; our attention where Transformers brings neither mask nor cache."""

    def forward(
        self,
        hidden_states: Tensor,
        alibi: Tensor | None,
        attention_mask: Any,
        position_ids: Any = None,
        layer_past: Any = None,
        use_cache: bool = False,
        output_attentions: bool = False,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """[B, T, D] to ([B, T, D], no weights)."""
        if attention_mask is not None or layer_past is not None:
            require_nothing_before(self)
            found: tuple[Tensor, Tensor | None] = super().forward(
                hidden_states,
                alibi,
                attention_mask,
                position_ids,
                layer_past,
                use_cache,
                output_attentions,
                position_embeddings,
                **kwargs,
            )
            return found
        fused = self.query_key_value(hidden_states)
        query, key, value = (part.transpose(1, 2) for part in self._split_heads(fused))
        terms = None
        if alibi is None:
            assert position_embeddings is not None
            query, key = apply_rotary_pos_emb(query, key, *position_embeddings)
        else:
            # Falcon scales its biases as well, and keeps them in bfloat16.
            slopes_H = _slopes(self, hidden_states).bfloat16()
            terms = Terms(slopes_H=slopes_H, bias_factor=self.inv_norm_factor)
        output = attend(
            query, key, value, module=self, scaling=self.inv_norm_factor, window=None, terms=terms
        )
        return self.dense(output.transpose(1, 2).flatten(2)), None


def _slopes(module: BloomAttention | FalconAttention, like: Tensor) -> Tensor:
    """[H] float32, on the device of ``like``."""
    with torch.no_grad():
        return _get_alibi_slopes(module.num_heads, like.device)


def take_over(module: nn.Module) -> bool:
    """Makes one of these layers ours in place; False for any other."""
    if type(module) is BloomAttention:
        module.__class__ = OurBloomAttention
    elif type(module) is FalconAttention:
        module.__class__ = OurFalconAttention
    else:
        return False
    return True
