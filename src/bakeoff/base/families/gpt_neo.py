"""Attention for GPT-Neo, which does not go through Transformers' ``AttentionInterface``.

Its own eager attention computes float32 matrix products with a dense mask of 2,048 x 2,048 a
layer; its flash variant forgets the local window. This class takes over the projections of the
original module, keeps its parameter names and computes: scale 1.0, and a sliding window on the
local layers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.models.gpt_neo.modeling_gpt_neo import GPTNeoSelfAttention

from bakeoff.base.attention.interface import attend, extend


class GptNeoAttention(nn.Module):
    """Drop-in for ``GPTNeoSelfAttention``: the same parameters, our attention function.

    Attributes:
        own_window: the model's; None on global layers. window: that, unless it is lifted because
            no row is longer.
    """

    def __init__(self, original: GPTNeoSelfAttention) -> None:
        super().__init__()
        self.q_proj = original.q_proj
        self.k_proj = original.k_proj
        self.v_proj = original.v_proj
        self.out_proj = original.out_proj
        self.num_heads = original.num_heads
        self.head_dim = original.head_dim
        self.own_window = (
            int(original.config.window_size) if original.attention_type == "local" else None
        )
        self.window = self.own_window
        self.layer_id = original.layer_id

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        layer_past: Any = None,
        use_cache: bool = False,
        output_attentions: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """[B, T, D] to ([B, T, D], no weights).

        With Transformers' cache or mask (its own ``generate``) it honours both.
        """
        rows, positions, _ = hidden_states.shape
        shape = (rows, positions, self.num_heads, self.head_dim)
        query = self.q_proj(hidden_states).view(shape).transpose(1, 2)
        key = self.k_proj(hidden_states).view(shape).transpose(1, 2)
        value = self.v_proj(hidden_states).view(shape).transpose(1, 2)
        if layer_past is None and attention_mask is None:
            output = attend(query, key, value, module=self, scaling=1.0, window=self.window)
        else:
            if layer_past is not None:
                key, value = layer_past.update(key, value, self.layer_id)
            own = self._mask(positions, key.shape[2], attention_mask, query)
            key, value, mask = extend(self, key, value, self.window, own)
            output = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=1.0)
        merged = output.transpose(1, 2).reshape(rows, positions, -1)
        projected: Tensor = self.out_proj(merged)
        return projected, None

    def _mask(
        self, num_queries: int, num_keys: int, attention_mask: Tensor | None, like: Tensor
    ) -> Tensor:
        """Boolean mask for Transformers' own path: causal, the window, and what it brought."""
        key_S = torch.arange(num_keys, device=like.device)
        query_T1 = (key_S[num_keys - num_queries :])[:, None]
        visible = key_S <= query_T1
        if self.window is not None:
            visible = visible & (key_S > query_T1 - self.window)
        if attention_mask is None:
            return visible
        if attention_mask.dtype != torch.bool:
            attention_mask = attention_mask > torch.finfo(attention_mask.dtype).min / 2
        return visible & attention_mask[..., :num_keys]


def replace_attention(model: PreTrainedModel) -> None:
    """Swaps every ``GPTNeoSelfAttention`` of ``model`` for ours; other models stay as they are."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, GPTNeoSelfAttention):
                setattr(module, name, GptNeoAttention(child))
