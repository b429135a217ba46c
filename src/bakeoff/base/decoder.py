"""Which part of a model is the decoder, and how many positions it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel


def decoder_of(model: PreTrainedModel) -> nn.Module | None:
    """What maps embeddings to normed hidden states; None where it cannot be told apart.

    Beside a tower for images the decoder is one of several parts, which the model itself names.
    """
    is_part = model.config.get_text_config() is not model.config
    own = getattr(model, model.base_model_prefix, None)
    places = [own, model.get_decoder(), getattr(model, "model", None)]
    for found in places[1:] if is_part else places:
        if isinstance(found, nn.Module) and found is not model:
            return found
    return None


def most_positions(config: PreTrainedConfig) -> int | None:
    """The most positions that a decoder's configuration allows, or None if it names none.

    Llama 4 sees positions in chunks and turns its queries by their number from some length on;
    within one chunk it is an ordinary decoder, which is all that is computed here.

    LongRoPE has two sets of angles, and a pass over a row longer than the positions of the first
    takes the second for all of its rows: one row's result would depend on others', and keys that
    are kept would have other angles than the queries after them. So the first set is all that is
    used here. Other dynamic angles change beyond ``max_position_embeddings`` alone.
    """
    named = [getattr(config, "max_position_embeddings", None)]
    if "chunked_attention" in (getattr(config, "layer_types", None) or ()):
        named += [getattr(config, "attention_chunk_size", None)]
    if getattr(config, "attn_temperature_tuning", None):
        named += [(getattr(config, "floor_scale", None) or 1) - 1]
    named += [
        rope.get("original_max_position_embeddings")
        for rope in _rotary_angles(config)
        if rope.get("rope_type") == "longrope"
    ]
    found = [int(value) for value in named if value]
    return min(found) if found else None


def _rotary_angles(config: PreTrainedConfig) -> list[Mapping[str, Any]]:
    """How angles follow from positions: of all layers, or of each type of layers."""
    given: Mapping[str, Any] = getattr(config, "rope_parameters", None) or {}
    return [given, *(found for found in given.values() if isinstance(found, Mapping))]


def layers_of(decoder: nn.Module, config: PreTrainedConfig) -> list[nn.Module]:
    """A decoder's layers in order; none where they cannot be told apart."""
    number = getattr(config, "num_hidden_layers", None)
    for module in decoder.modules():
        if isinstance(module, nn.ModuleList) and len(module) == number:
            return list(module)
    return []
