"""Bases whose logits the engine would get wrong are refused before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    GraniteConfig,
    HyperCLOVAXConfig,
    LlamaConfig,
    MambaConfig,
    MptConfig,
    PreTrainedConfig,
)

from bakeoff.base.library_output import silence_libraries
from bakeoff.base.model import Base
from bakeoff.base.weights.scratch import byte_tokenizer
from bakeoff.base.weights.sources import Source
from bakeoff.errors import BaseModelError

IDS: dict[str, Any] = {
    "vocab_size": 257,
    "bos_token_id": 256,
    "eos_token_id": 256,
    "pad_token_id": 256,
    # Wide enough for logits that differ visibly.
    "initializer_range": 0.2,
}
SIZES: dict[str, Any] = {
    **IDS,
    "max_position_embeddings": 64,
    "hidden_size": 16,
    "intermediate_size": 28,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
GROUPED: dict[str, Any] = {**SIZES, "num_key_value_heads": 2}


def source_of(config: PreTrainedConfig) -> Source:
    auto: Any = AutoModelForCausalLM
    with silence_libraries():
        model = auto.from_config(config, dtype=torch.float32)
    return Source(
        reference="this/base",
        model=model,
        tokenizer=byte_tokenizer(64),
        fingerprint="",
        description="",
    )


def prepared(source: Source) -> Base:
    return Base(source, device=torch.device("cpu"), dtype=torch.float32)


REFUSED: list[tuple[str, Callable[[], PreTrainedConfig], str]] = [
    (
        "logits scaled the other way round",
        lambda: HyperCLOVAXConfig(**GROUPED, logits_scaling=4.0),
        "in one pass, gives other logits",
    ),
    ("both directions", lambda: BertConfig(**SIZES), "in one pass, gives other logits"),
    (
        "a state instead of attention",
        lambda: MambaConfig(**IDS, hidden_size=16, num_hidden_layers=2, state_size=4),
        "carry a state from token to token (MambaMixer)",
    ),
    (
        "attention that needs its own mask",
        lambda: MptConfig(vocab_size=257, d_model=16, n_layers=2, n_heads=4, max_seq_len=64),
        "fails (AttributeError",
    ),
]


@pytest.mark.parametrize(("config", "words"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_what_would_be_computed_wrongly_is_refused(
    config: Callable[[], PreTrainedConfig], words: str
) -> None:
    with silence_libraries():
        source = source_of(config())
        with pytest.raises(BaseModelError) as caught:
            prepared(source)
    message = str(caught.value)
    assert message.startswith("this/base: ")
    assert words in message
    assert "hoose another base" in message or "choose a base without it" in message


def test_granite_without_a_scale_passes() -> None:
    prepared(source_of(GraniteConfig(**GROUPED, embedding_multiplier=3.0, residual_multiplier=0.5)))


def test_a_model_without_a_linear_head_is_refused() -> None:
    source = source_of(LlamaConfig(**GROUPED))
    source.model.set_output_embeddings(torch.nn.Sequential(torch.nn.Linear(16, 257)))
    with pytest.raises(BaseModelError, match=r"^this/base: LlamaForCausalLM has no decoder with a"):
        prepared(source)
