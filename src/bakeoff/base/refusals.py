"""Decoders that the engine cannot drive, known by their modules and refused with the reason."""

from __future__ import annotations

import re
from typing import Final

from transformers import PreTrainedModel

from bakeoff.base.decoder import decoder_of
from bakeoff.errors import BaseModelError

_STATE_SPACE: Final = re.compile(
    r"mamba|rwkv|xlstm|mlstm|recurrent|rglru|gateddelta|deltanet|ssm|lightningattention"
    r"|linearattention|retention"
)
"""Layers that carry a state from position to position, by a part of their classes' names."""

_NOT_MIXERS: Final = ("Norm", "Block", "DecoderLayer", "Model", "Rotary", "MLP", "Mlp", "Experts")


def require_attention(model: PreTrainedModel, reference: str) -> None:
    """Refuses a decoder that carries a state through its positions.

    Rows of several slots, prefixes and the shared prompts of choices are kept apart by masks over
    keys and values. A state has neither: what a padding or another branch put into it stays in.

    Raises:
        BaseModelError: it has such layers.
    """
    decoder = decoder_of(model) or model
    for module in decoder.modules():
        name = type(module).__name__
        if module is not decoder and _STATE_SPACE.search(name.lower()) and _is_mixer(name):
            raise BaseModelError(
                f"{reference}: {type(model).__name__} has layers that carry a state from token to "
                f"token ({name}) instead of keys and values; padding and the rows of other "
                "candidates cannot be masked out of it. Choose another base: a decoder with "
                "attention in every layer (docs/architectures.md lists those that are tested)"
            )


def _is_mixer(name: str) -> bool:
    """Whether a class is a layer itself, and not a norm or a decoder's block."""
    return not any(part in name for part in _NOT_MIXERS)
