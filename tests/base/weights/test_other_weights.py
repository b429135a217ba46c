"""Weights that are not what the configuration says: more, others, or of another type."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bakeoff.base.weights.scratch import scratch_config, scratch_model
from bakeoff.base.weights.sources import Source
from bakeoff.errors import CheckpointError
from tests.base.weights.model_folders import edit_json, save_with_tokenizer


def edit_weights(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> dict[str, Tensor]:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})
    return tensors


def refusal(load: Callable[..., Source]) -> str:
    with pytest.raises(CheckpointError) as caught:
        load("base")
    return str(caught.value)


def test_layers_that_the_configuration_would_drop_are_named(
    folder: Path, load: Callable[..., Source]
) -> None:
    edit_json(folder / "config.json", num_hidden_layers=1, layer_types=None)
    message = refusal(load)
    assert message.startswith(str(folder))
    assert "model.layers.1." in message and " more" in message
    assert "config.json" in message and "fetch or save" in message


def test_an_extra_tensor_is_named(folder: Path, load: Callable[..., Source]) -> None:
    edit_weights(folder, lambda tensors: tensors.update({"score.weight": torch.zeros(2, 2)}))
    assert "score.weight" in refusal(load)


def test_buffers_that_older_libraries_kept_are_no_weights(
    folder: Path, load: Callable[..., Source]
) -> None:
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    edit_weights(folder, lambda tensors: tensors.update({name: torch.zeros(4)}))
    load("base")


@pytest.fixture
def tied(tmp_path: Path) -> Path:
    """A folder whose head is its embedding, and is stored all the same."""
    config: Any = scratch_config("scratch:tiny-llama")
    config.tie_word_embeddings = True
    save_with_tokenizer(scratch_model(config), tmp_path / "base")
    edit_weights(
        tmp_path / "base",
        lambda w: w.update({"lm_head.weight": w["model.embed_tokens.weight"].clone()}),
    )
    return tmp_path / "base"


def test_a_stored_head_that_is_the_embedding_loads(tied: Path, load: Callable[..., Source]) -> None:
    load("base")


def test_a_stored_head_that_differs_from_the_tied_embedding_is_refused(
    tied: Path, load: Callable[..., Source]
) -> None:
    edit_weights(tied, lambda tensors: tensors["lm_head.weight"].mul_(1.5))
    message = refusal(load)
    assert "lm_head.weight" in message and "tie_word_embeddings" in message


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32, torch.bool])
def test_weights_of_a_type_without_fractions_are_refused(
    folder: Path, load: Callable[..., Source], dtype: torch.dtype
) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    edit_weights(folder, lambda tensors: tensors.update({name: tensors[name].to(dtype)}))
    message = refusal(load)
    assert name in message and "unquantised" in message


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_eight_bits_without_their_scales_are_refused(
    folder: Path, load: Callable[..., Source], dtype: torch.dtype
) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    edit_weights(folder, lambda tensors: tensors.update({name: tensors[name].to(dtype)}))
    assert name in refusal(load)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_other_types_with_fractions_load(
    folder: Path, load: Callable[..., Source], dtype: torch.dtype
) -> None:
    edit_weights(folder, lambda w: w.update({name: one.to(dtype) for name, one in w.items()}))
    load("base")
