"""Random weights in published shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from bakeoff.base.library_output import silence_libraries
from bakeoff.base.weights.scratch import scratch_config, scratch_model
from bakeoff.base.weights.sources import Source
from bakeoff.errors import BaseModelError

SEED = 20240229


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = model(input_ids=torch.tensor([[5, 17, 200, 3]])).logits
    return result


@pytest.mark.parametrize(
    ("reference", "parameters"),
    [("scratch:gpt-neo-125m", 125_198_592), ("scratch:smollm2-135m", 134_515_008)],
)
def test_published_shapes_have_their_published_size(reference: str, parameters: int) -> None:
    auto: Any = AutoModelForCausalLM
    with torch.device("meta"), silence_libraries():
        model = auto.from_config(scratch_config(reference))
    assert model.num_parameters() == parameters


def test_the_gpt_neo_shape_alternates_global_and_local_layers() -> None:
    config: Any = scratch_config("scratch:gpt-neo-125m")
    assert config.attention_layers == ["global", "local"] * 6
    assert (config.window_size, config.max_position_embeddings) == (256, 2048)
    assert (config.hidden_size, config.num_heads, config.vocab_size) == (768, 12, 50257)


def test_the_smollm2_shape_is_the_published_one() -> None:
    config: Any = scratch_config("scratch:smollm2-135m")
    assert config.rope_parameters["rope_theta"] == 100_000
    assert (config.num_attention_heads, config.num_key_value_heads) == (9, 3)


@pytest.mark.parametrize("reference", ["scratch:tiny-gpt-neo", "scratch:tiny-llama"])
def test_scratch_is_the_same_every_time_and_leaves_the_generator_alone(
    load: Callable[..., Source], reference: str
) -> None:
    torch.manual_seed(SEED)
    state = torch.get_rng_state()
    first = load(reference)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    second = load(reference)
    assert first.fingerprint == second.fingerprint
    assert torch.equal(logits(first.model), logits(second.model))
    config = scratch_config(reference)
    assert not torch.equal(logits(scratch_model(config, SEED)), logits(first.model))


def test_the_byte_tokenizer_decodes_what_it_encoded(load: Callable[..., Source]) -> None:
    tokenizer = load("scratch:tiny-llama").tokenizer
    text = " Héllo  日本\n\t😀 \x00 'don't' 12345 "
    ids = tokenizer(text)["input_ids"]
    assert len(ids) == len(text.encode())
    assert tokenizer.decode(ids) == text
    assert tokenizer("<|endoftext|>")["input_ids"] == [256] == [tokenizer.eos_token_id]
    assert len(tokenizer) == 257


def test_an_unknown_shape_lists_the_known_ones(load: Callable[..., Source]) -> None:
    with pytest.raises(BaseModelError, match=r"scratch:gpt-5.*scratch:gpt-neo-125m"):
        load("scratch:gpt-5")
