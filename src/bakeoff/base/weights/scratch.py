"""Bases with random weights in published shapes: for benchmarks and tests, without a network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    GPTNeoConfig,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from bakeoff.base.library_output import silence_libraries
from bakeoff.base.weights.references import SCRATCH_PREFIX as SCRATCH_PREFIX
from bakeoff.base.weights.references import SCRATCH_REFERENCES as SCRATCH_REFERENCES
from bakeoff.base.weights.references import SCRATCH_SHAPES
from bakeoff.errors import BaseModelError

SCRATCH_SEED: Final = 1701

END_OF_TEXT: Final = "<|endoftext|>"
# 256 bytes, then the end of text.
BYTE_VOCABULARY_SIZE: Final = 257
_END_OF_TEXT_ID: Final = 256


def _gpt_neo_125m() -> GPTNeoConfig:
    # EleutherAI/gpt-neo-125m, config.json.
    return GPTNeoConfig(
        vocab_size=50257,
        max_position_embeddings=2048,
        hidden_size=768,
        num_layers=12,
        num_heads=12,
        attention_types=[[["global", "local"], 6]],
        window_size=256,
        activation_function="gelu_new",
        tie_word_embeddings=True,
    )


def _smollm2_135m() -> LlamaConfig:
    # HuggingFaceTB/SmolLM2-135M, config.json.
    return LlamaConfig(
        vocab_size=49152,
        max_position_embeddings=8192,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        rms_norm_eps=1e-5,
        initializer_range=1 / 24,
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
        tie_word_embeddings=True,
    )


def _tiny_gpt_neo() -> GPTNeoConfig:
    return GPTNeoConfig(
        vocab_size=BYTE_VOCABULARY_SIZE,
        max_position_embeddings=256,
        hidden_size=64,
        num_layers=2,
        num_heads=4,
        attention_types=[[["global", "local"], 1]],
        window_size=16,
        tie_word_embeddings=True,
    )


def _tiny_llama() -> LlamaConfig:
    return LlamaConfig(
        vocab_size=BYTE_VOCABULARY_SIZE,
        max_position_embeddings=256,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=True,
    )


_SHAPES: Final[Mapping[str, Callable[[], PreTrainedConfig]]] = dict(
    zip(
        SCRATCH_SHAPES,
        (_gpt_neo_125m, _smollm2_135m, _tiny_gpt_neo, _tiny_llama),
        strict=True,
    )
)


def scratch_config(reference: str) -> PreTrainedConfig:
    """The configuration behind ``scratch:NAME``.

    Raises:
        BaseModelError: no shape has that name.
    """
    make = _SHAPES.get(reference.removeprefix(SCRATCH_PREFIX))
    if make is None:
        raise BaseModelError(
            f"base {reference!r}: no such shape; name one of {', '.join(SCRATCH_REFERENCES)}"
        )
    with silence_libraries():
        config = make()
    # The published ids belong to tokenizers that are not here.
    config.bos_token_id = config.eos_token_id = config.pad_token_id = _END_OF_TEXT_ID
    return config


def scratch_model(config: PreTrainedConfig, seed: int = SCRATCH_SEED) -> PreTrainedModel:
    """A model with random float32 weights, the same for the same seed; evaluation mode, on CPU.

    The caller's CPU generator is left as it was.
    """
    generator = torch.default_generator
    auto: Any = AutoModelForCausalLM
    state = generator.get_state()
    generator.manual_seed(seed)
    try:
        with silence_libraries():
            model: PreTrainedModel = auto.from_config(config, dtype=torch.float32).eval()
    finally:
        generator.set_state(state)
    return model


def scratch_fingerprint(reference: str, config: PreTrainedConfig, seed: int = SCRATCH_SEED) -> str:
    """A SHA-256 over the shape and the seed, which fix the weights."""
    shape = config.to_diff_dict()
    shape.pop("transformers_version", None)
    spec = {"reference": reference, "seed": seed, "config": shape}
    return hashlib.sha256(json.dumps(spec, sort_keys=True, default=str).encode()).hexdigest()


def byte_tokenizer(max_length: int) -> PreTrainedTokenizerBase:
    """A tokenizer with one token a byte and ``<|endoftext|>``; it decodes what it encoded."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: index for index, character in enumerate(alphabet)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    make: Callable[..., PreTrainedTokenizerBase] = PreTrainedTokenizerFast
    return make(
        tokenizer_object=backend,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    )
