"""Attention of GPT-J and CodeGen, which compute scores by a method of their own.

What is before and after that method, rotation and projections, is the library's. Without a mask and
a cache of Transformers' it is our attention.
"""

from __future__ import annotations

from torch import Tensor, nn
from transformers.models.codegen.modeling_codegen import CodeGenAttention
from transformers.models.gptj.modeling_gptj import GPTJAttention

from bakeoff.base.attention.interface import attend
from bakeoff.base.families.lending import require_nothing_before


class OurGPTJAttention(GPTJAttention):
    """The same parameters; scores by ``attend``."""

    def _attn(
        self, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        if attention_mask is not None:
            require_nothing_before(self)
            found: tuple[Tensor, Tensor | None] = super()._attn(  # type: ignore[no-untyped-call]
                query, key, value, attention_mask
            )
            return found
        scaling = float(1 / self.scale_attn)
        return attend(query, key, value, module=self, scaling=scaling, window=None), None


class OurCodeGenAttention(CodeGenAttention):
    """The same parameters; scores by ``attend``."""

    def _attn(
        self, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        if attention_mask is not None:
            require_nothing_before(self)
            found: tuple[Tensor, Tensor | None] = super()._attn(  # type: ignore[no-untyped-call]
                query, key, value, attention_mask
            )
            return found
        scaling = float(1 / self.scale_attn)
        return attend(query, key, value, module=self, scaling=scaling, window=None), None


def take_over(module: nn.Module) -> bool:
    """Makes one of these layers ours in place; False for any other."""
    if type(module) is GPTJAttention:
        module.__class__ = OurGPTJAttention
    elif type(module) is CodeGenAttention:
        module.__class__ = OurCodeGenAttention
    else:
        return False
    return True
