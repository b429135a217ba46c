"""Trainable parameters: published counts, and closed forms on odd shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, Final

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoConfig,
    GPTNeoXConfig,
    LlamaConfig,
    OPTConfig,
    PreTrainedConfig,
)

from bakeoff.base.library_output import silence_libraries
from bakeoff.base.model import Base
from bakeoff.base.weights.scratch import byte_tokenizer, scratch_config
from bakeoff.base.weights.sources import Source
from bakeoff.methods.contract import Method


def shapes_only(config: PreTrainedConfig) -> Base:
    """A base without numbers: what a method counts are shapes."""
    auto: Any = AutoModelForCausalLM
    with torch.device("meta"), silence_libraries():
        model = auto.from_config(config, dtype=torch.float32)
    source = Source(
        reference="shapes",
        model=model,
        tokenizer=byte_tokenizer(64),
        fingerprint="",
        description="",
    )
    return Base(source, device=torch.device("meta"), dtype=torch.float32, probe=False)


@pytest.fixture(scope="module")
def gpt_neo_125m() -> Base:
    return shapes_only(scratch_config("scratch:gpt-neo-125m"))


@pytest.mark.parametrize(
    ("kind", "options", "count"),
    [
        ("head", {}, 38_597_376),
        ("head", {"tied": True}, 38_597_376),
        ("lora", {}, 2 * 1_327_104),
        ("lora", {"rank": 8, "target_modules": None}, 294_912),
        ("lora", {"rank": 8, "target_modules": ("q_proj", "v_proj")}, 294_912),
        ("lora", {"rank": 8}, 1_327_104),
        ("dora", {"rank": 8, "target_modules": None}, 313_344),
        ("soft_prompt", {"prompt_length": 12}, 9_216),
        ("full", {}, 125_198_592),
        ("prefix", {"prefix_length": 20}, 20 * 2 * 12 * 768),
        ("p_tuning", {"prompt_length": 12}, 12 * 768 + 3 * (768 * 768 + 768)),
        ("bottleneck", {}, 12 * (2 * 768 * 48 + 48 + 768)),
        ("bottleneck", {"variant": "houlsby"}, 24 * (2 * 768 * 48 + 48 + 768)),
        ("ia3", {"target_modules": None}, 12 * (2 * 768 + 3072)),
        ("ia3", {}, 12 * (4 * 768 + 3072 + 3072)),
        ("bitfit", {}, 12 * (3072 + 4 * 768) + 768),
        ("bitfit", {"norms": True}, 12 * (3072 + 6 * 768) + 2 * 768),
        ("last_layers", {}, 7_085_568 + 2 * 768 + 38_597_376),
    ],
)
def test_gpt_neo_125m(
    gpt_neo_125m: Base,
    build: Callable[..., Method],
    kind: str,
    options: dict[str, Any],
    count: int,
) -> None:
    method = build(kind, gpt_neo_125m, **options)
    assert method.num_trainable == count
    assert sum(prod(shape) for shape in method.shapes.values()) == count


V: Final = 263


def gpt_neo(layers: int, d: int, ffn: int, positions: int) -> tuple[Base, Mapping[str, int]]:
    """Closed forms: [in + out] of q, k, v, o, fc, proj; all biases but those of q, k, v."""
    base = shapes_only(
        GPTNeoConfig(
            vocab_size=V,
            max_position_embeddings=positions,
            hidden_size=d,
            intermediate_size=ffn,
            num_layers=layers,
            num_heads=3,
            attention_types=[[["global", "local", "local"], layers // 3]],
        )
    )
    block = 4 * d * d + d + 2 * d * ffn + ffn + d + 4 * d
    return base, {
        "pefts": layers * 2 * (d + d),
        "outputs": layers * 2 * d,
        "all-linear": layers * (4 * 2 * d + 2 * (d + ffn)),
        "width": d,
        "full": V * d + positions * d + layers * block + 2 * d,
        "keys": d,
        "ia3": layers * (2 * d + ffn),
        "biases": layers * (d + ffn + d + 2 * d) + d,
        "norms": layers * 2 * d + d,
        "block": block,
        "final": 2 * d,
    }


def llama(layers: int, d: int, ffn: int, positions: int) -> tuple[Base, Mapping[str, int]]:
    """Six heads, two of them for keys and values; untied; no biases; rotary positions."""
    base = shapes_only(
        LlamaConfig(
            vocab_size=V,
            max_position_embeddings=positions,
            hidden_size=d,
            intermediate_size=ffn,
            num_hidden_layers=layers,
            num_attention_heads=6,
            num_key_value_heads=2,
            tie_word_embeddings=False,
        )
    )
    kv = d // 3
    block = 2 * d * d + 2 * d * kv + 3 * d * ffn + 2 * d
    return base, {
        "pefts": layers * ((d + d) + (d + kv)),
        "outputs": layers * (d + kv),
        "all-linear": layers * (2 * 2 * d + 2 * (d + kv) + 3 * (d + ffn)),
        "width": d,
        "full": 2 * V * d + layers * block + d,
        "keys": kv,
        "ia3": layers * (2 * kv + ffn),
        "biases": 0,
        "norms": layers * 2 * d + d,
        "block": block,
        "final": d,
    }


def gpt2(layers: int, d: int, ffn: int, positions: int) -> tuple[Base, Mapping[str, int]]:
    """One fused layer for q, k and v; tied."""
    base = shapes_only(
        GPT2Config(
            vocab_size=V, n_positions=positions, n_embd=d, n_inner=ffn, n_layer=layers, n_head=3
        )
    )
    block = 3 * d * d + 3 * d + d * d + d + 2 * d * ffn + ffn + d + 4 * d
    return base, {
        "pefts": layers * (d + 3 * d),
        "outputs": layers * 3 * d,
        "all-linear": layers * ((d + 3 * d) + 2 * d + 2 * (d + ffn)),
        "width": d,
        "full": V * d + positions * d + layers * block + 2 * d,
        "keys": d,
        "ia3": layers * (3 * d + ffn),
        "biases": layers * (3 * d + d + ffn + d + 2 * d) + d,
        "norms": layers * 2 * d + d,
        "block": block,
        "final": 2 * d,
    }


def gpt_neox(layers: int, d: int, ffn: int, positions: int) -> tuple[Base, Mapping[str, int]]:
    """As GPT-2, with rotary positions and an untied head."""
    base = shapes_only(
        GPTNeoXConfig(
            vocab_size=V,
            max_position_embeddings=positions,
            hidden_size=d,
            intermediate_size=ffn,
            num_hidden_layers=layers,
            num_attention_heads=3,
            tie_word_embeddings=False,
        )
    )
    block = 3 * d * d + 3 * d + d * d + d + 2 * d * ffn + ffn + d + 4 * d
    return base, {
        "pefts": layers * (d + 3 * d),
        "outputs": layers * 3 * d,
        "all-linear": layers * ((d + 3 * d) + 2 * d + 2 * (d + ffn)),
        "width": d,
        "full": 2 * V * d + layers * block + 2 * d,
        "keys": d,
        "ia3": layers * (3 * d + ffn),
        "biases": layers * (3 * d + d + ffn + d + 2 * d) + d,
        "norms": layers * 2 * d + d,
        "block": block,
        "final": 2 * d,
    }


def opt(layers: int, d: int, ffn: int, positions: int) -> tuple[Base, Mapping[str, int]]:
    """An embedding of width 10 projected to d and back; positions have two rows more."""
    base = shapes_only(
        OPTConfig(
            vocab_size=V,
            max_position_embeddings=positions,
            hidden_size=d,
            word_embed_proj_dim=10,
            ffn_dim=ffn,
            num_hidden_layers=layers,
            num_attention_heads=3,
        )
    )
    block = 4 * (d * d + d) + 2 * d * ffn + ffn + d + 4 * d
    return base, {
        "pefts": layers * 2 * (d + d),
        "outputs": layers * 2 * d,
        "all-linear": layers * (4 * 2 * d + 2 * (d + ffn)) + 2 * (d + 10),
        "width": 10,
        "full": V * 10 + (positions + 2) * d + 2 * d * 10 + layers * block + 2 * d,
        "keys": d,
        "ia3": layers * (2 * d + ffn),
        "biases": layers * (4 * d + ffn + d + 2 * d) + d,
        "norms": layers * 2 * d + d,
        "block": block,
        "final": 2 * d,
    }


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (gpt_neo, (3, 21, 37, 19)),
        (llama, (5, 36, 50, 33)),
        (gpt2, (2, 27, 41, 23)),
        (gpt_neox, (4, 30, 46, 29)),
        (opt, (1, 33, 17, 31)),
    ],
)
def test_closed_forms(
    build: Callable[..., Method],
    make: Callable[..., tuple[Base, Mapping[str, int]]],
    shape: tuple[int, int, int, int],
) -> None:
    base, sizes = make(*shape)
    for rank in (1, 7):
        at_pefts = build("lora", base, rank=rank, target_modules=None)
        assert at_pefts.num_trainable == rank * sizes["pefts"]
        assert build("lora", base, rank=rank).num_trainable == rank * sizes["all-linear"]
        magnitudes = build("dora", base, rank=rank, target_modules=None)
        assert magnitudes.num_trainable - at_pefts.num_trainable == sizes["outputs"]
    # Ranks by layer: all of them doubled, then none.
    doubled = build("lora", base, rank=3, ranks={".*": 6}, init="orthogonal", target_modules=None)
    assert doubled.num_trainable == 6 * sizes["pefts"]
    assert build("soft_prompt", base, prompt_length=5).num_trainable == 5 * sizes["width"]
    assert build("head", base).num_trainable == V * sizes["width"]
    assert build("full", base).num_trainable == sizes["full"]
    d, layers, keys = int(base.model.config.hidden_size), shape[0], sizes["keys"]
    for hidden in (3, 8):
        projected = build("prefix", base, prefix_length=4, projection=True, hidden=hidden)
        wide = 2 * layers * (hidden + 1)
        assert projected.num_trainable == keys * (4 + hidden + wide) + hidden
        encoded = build("p_tuning", base, prompt_length=4, hidden=hidden)
        w = sizes["width"]
        through = w * hidden + hidden + hidden * hidden + hidden + hidden * w + w
        assert encoded.num_trainable == 4 * w + through
        place = 2 * d * hidden + hidden + d
        assert build("bottleneck", base, size=hidden).num_trainable == layers * place
        both = build("bottleneck", base, size=hidden, variant="houlsby")
        assert both.num_trainable == 2 * layers * place
    assert build("prefix", base, prefix_length=4).num_trainable == 4 * 2 * layers * keys
    assert build("ia3", base, target_modules=None).num_trainable == sizes["ia3"]
    biases, norms = sizes["biases"], sizes["norms"]
    assert build("bitfit", base, norms=True).num_trainable == biases + norms
    if biases:
        assert build("bitfit", base).num_trainable == biases
    for number in range(1, layers + 1):
        last = build("last_layers", base, num_layers=number, head=False)
        assert last.num_trainable == number * sizes["block"] + sizes["final"]
        headed = build("last_layers", base, num_layers=number)
        assert headed.num_trainable == last.num_trainable + V * sizes["width"]
