"""A LoRA for llama.cpp: read back by gguf's reader, it is the update that was written."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from transformers import LlamaConfig

from bakeoff.base.model import Base
from bakeoff.base.weights.scratch import BYTE_VOCABULARY_SIZE, byte_tokenizer, scratch_model
from bakeoff.base.weights.sources import Source
from bakeoff.errors import ConfigError
from bakeoff.inference.gguf_lora import write_gguf_lora
from bakeoff.inference.to_lora import to_lora
from bakeoff.methods.registry import method_type

HEADS, KEY_HEADS, WIDTH = 4, 2, 32


def llama() -> Base:
    config = LlamaConfig(
        vocab_size=BYTE_VOCABULARY_SIZE,
        max_position_embeddings=128,
        hidden_size=WIDTH,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_HEADS,
    )
    source = Source(
        reference="test:llama",
        model=scratch_model(config, 3),
        tokenizer=byte_tokenizer(128),
        fingerprint="none",
        description="random",
    )
    return Base(source, device=torch.device("cpu"), dtype=torch.float32)


def as_transformers(b_ER: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """llama.cpp's order of rows turned back, as Transformers reads its files."""
    rows, rank = b_ER.shape
    return b_ER.reshape(heads, rows // heads // 2, 2, rank).swapaxes(1, 2).reshape(rows, rank)


def test_the_file_holds_the_update_in_llama_cpps_order(tmp_path: Path) -> None:
    base = llama()
    chosen = method_type("lora", where="test")
    options = chosen.options_type(rank=3, alpha=6.0, target_modules="all-linear")
    method = chosen(options, base, where="test")
    generator = torch.Generator().manual_seed(5)
    tensors = {
        name: 0.1 * torch.randn(shape, generator=generator) for name, shape in method.shapes.items()
    }
    kept: Any = SimpleNamespace(method=method, load=lambda: tensors)
    converted = to_lora(kept, None)
    assert converted.rank == 3 and converted.is_exact
    reader = GGUFReader(write_gguf_lora(converted, base, tmp_path))
    fields = {name: field.contents() for name, field in reader.fields.items()}
    assert fields["general.type"] == "adapter" and fields["adapter.type"] == "lora"
    assert fields["general.architecture"] == "llama" and fields["adapter.lora.alpha"] == 3.0
    found = {tensor.name: np.array(tensor.data) for tensor in reader.tensors}
    assert len(found) == 2 * 2 * 7
    for ours, theirs, heads in (
        ("self_attn.q_proj", "attn_q", HEADS),
        ("self_attn.k_proj", "attn_k", KEY_HEADS),
        ("self_attn.v_proj", "attn_v", 0),
        ("mlp.down_proj", "ffn_down", 0),
    ):
        a_RD = found[f"blk.1.{theirs}.weight.lora_a"]
        b_ER = found[f"blk.1.{theirs}.weight.lora_b"]
        if heads:
            b_ER = as_transformers(b_ER, heads)
        name = f"model.layers.1.{ours}"
        expected_DE = 2 * tensors[f"{name}.lora_a"] @ tensors[f"{name}.lora_b"]
        np.testing.assert_allclose((b_ER @ a_RD).T, expected_DE.numpy(), atol=1e-5)


def test_what_cannot_be_a_lora_is_told_by_the_word_that_was_given() -> None:
    kept: Any = SimpleNamespace(method=SimpleNamespace(kind="prefix", is_mergeable=lambda: False))
    with pytest.raises(ConfigError, match="--to gguf-lora: prefix changes no weights"):
        to_lora(kept, None, "gguf-lora")
    with pytest.raises(ConfigError, match="--to lora: prefix"):
        to_lora(kept, None)
