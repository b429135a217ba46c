"""Layers whose sliding window Transformers has in its mask alone: Qwen2-MoE's and Phi-3.5-MoE's.

Here no mask is built, so that each layer names its window to the attention function itself, as the
layers of all other families do.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers.models.phimoe.modeling_phimoe import PhimoeAttention
from transformers.models.qwen2_moe.modeling_qwen2_moe import Qwen2MoeAttention


class OurPhimoeAttention(PhimoeAttention):
    """The same parameters; all layers have the configuration's window."""

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """[B, T, D] to ([B, T, D], weights or None)."""
        # What a layer does not know itself it hands on to the attention function.
        kwargs["sliding_window"] = self.config.sliding_window
        found: tuple[Tensor, Tensor] = super().forward(*args, **kwargs)
        return found


class OurQwen2MoeAttention(Qwen2MoeAttention):
    """The same parameters; layers of full attention have no window."""

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """[B, T, D] to ([B, T, D], weights or None)."""
        # What a layer does not know itself it hands on to the attention function.
        kwargs["sliding_window"] = getattr(self, "sliding_window", None)
        found: tuple[Tensor, Tensor] = super().forward(*args, **kwargs)
        return found


def take_over(module: nn.Module) -> None:
    """Makes one of these layers ours in place; any other stays as it is."""
    if type(module) is PhimoeAttention:
        module.__class__ = OurPhimoeAttention
    elif type(module) is Qwen2MoeAttention:
        module.__class__ = OurQwen2MoeAttention
