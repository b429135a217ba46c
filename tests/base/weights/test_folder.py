"""Bases in folders: what loads, and what is refused. All models here are small and random."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from bakeoff.base.library_output import silence_libraries
from bakeoff.base.model import Base
from bakeoff.base.weights.scratch import byte_tokenizer, scratch_config, scratch_model
from bakeoff.base.weights.sources import Source
from bakeoff.errors import BaseModelError, CheckpointError
from tests.base.weights.model_folders import SEED, edit_json, logits, save_with_tokenizer


def test_a_folder_loads_relative_and_absolute_with_its_own_weights(
    folder: Path, load: Callable[..., Source]
) -> None:
    source = load("base")
    with silence_libraries():
        reference: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    assert torch.equal(logits(source.model), logits(reference))
    assert not source.model.training
    assert {p.dtype for p in source.model.parameters()} == {torch.float32}
    assert {p.device.type for p in source.model.parameters()} == {"cpu"}
    assert source.reference == "base"
    assert "llama" in source.description
    assert f"{source.model.num_parameters():,}" in source.description
    assert load(str(folder)).fingerprint == source.fingerprint


def test_half_precision_weights_load_as_float32(folder: Path, load: Callable[..., Source]) -> None:
    file = folder / "model.safetensors"
    halves = {name: tensor.half() for name, tensor in load_file(file).items()}
    save_file(halves, file, metadata={"format": "pt"})
    edit_json(folder / "config.json", dtype="float16")
    assert {p.dtype for p in load("base").model.parameters()} == {torch.float32}


def test_sharded_weights_load_and_a_missing_shard_is_named(
    saved: Path, tmp_path: Path, load: Callable[..., Source]
) -> None:
    whole = load(str(saved))
    with silence_libraries():
        whole.model.save_pretrained(tmp_path / "shards", max_shard_size="100KB")
        whole.tokenizer.save_pretrained(tmp_path / "shards")
    shards = sorted((tmp_path / "shards").glob("model-*.safetensors"))
    assert len(shards) > 1
    assert torch.equal(logits(load("shards").model), logits(whole.model))
    shards[-1].unlink()
    with pytest.raises(CheckpointError, match=shards[-1].name):
        load("shards")


def test_an_index_may_not_name_files_outside_its_folder(
    folder: Path, load: Callable[..., Source]
) -> None:
    (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": {"lm_head.weight": "../outside.safetensors"}})
    )
    with pytest.raises(CheckpointError, match="weight_map"):
        load("base")


def test_the_fingerprint_follows_weights_and_configuration_only(
    folder: Path, load: Callable[..., Source]
) -> None:
    before = load("base").fingerprint
    (folder / "README.md").write_text("a model")
    assert load("base").fingerprint == before
    edit_json(folder / "config.json", rms_norm_eps=1e-4)
    other_config = load("base").fingerprint
    file = folder / "model.safetensors"
    tensors = load_file(file)
    tensors["model.norm.weight"][0] += 1
    save_file(tensors, file, metadata={"format": "pt"})
    assert len({before, other_config, load("base").fingerprint}) == 3


def test_a_tied_head_need_not_be_saved(tmp_path: Path, load: Callable[..., Source]) -> None:
    config = scratch_config("scratch:tiny-gpt-neo")
    save_with_tokenizer(scratch_model(config, SEED), tmp_path / "neo")
    assert "lm_head.weight" not in load_file(tmp_path / "neo" / "model.safetensors")
    model: Any = load("neo").model
    assert model.lm_head.weight is model.transformer.wte.weight


def test_missing_weights_are_refused_and_not_made_up(
    folder: Path, load: Callable[..., Source]
) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    del tensors["lm_head.weight"], tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lm_head\.weight.*up_proj.*random"):
        load("base")


def test_weights_of_another_shape_are_refused(folder: Path, load: Callable[..., Source]) -> None:
    edit_json(folder / "config.json", intermediate_size=96)
    with pytest.raises(CheckpointError, match="base"):
        load("base")


@pytest.mark.parametrize("kept", [0, 4, 60, -1])
def test_torn_weights_are_refused(folder: Path, load: Callable[..., Source], kept: int) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: torn"):
        load("base")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.ckpt"])
def test_pickled_weights_are_named_and_never_read(
    folder: Path, load: Callable[..., Source], name: str
) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(folder / "exploded"),)

    (folder / "model.safetensors").unlink()
    torch.save(Bomb(), folder / name)
    with pytest.raises(CheckpointError, match=f"{name}.*not safetensors.*save_pretrained"):
        load("base")
    assert not (folder / "exploded").exists()


def test_a_configuration_cannot_point_at_other_weights(
    folder: Path, load: Callable[..., Source]
) -> None:
    expected = logits(load("base").model)
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] += 1
    save_file(tensors, folder / "other.safetensors", metadata={"format": "pt"})
    edit_json(folder / "config.json", transformers_weights="other.safetensors")
    assert torch.equal(logits(load("base").model), expected)


def test_a_folder_without_configuration_weights_or_tokenizer_says_which(
    saved: Path, tmp_path: Path, load: Callable[..., Source]
) -> None:
    target = tmp_path / "base"
    target.mkdir()
    with pytest.raises(BaseModelError, match=r"no config\.json"):
        load("base")
    shutil.copy(saved / "config.json", target)
    with pytest.raises(CheckpointError, match=r"no model\.safetensors.*save_pretrained"):
        load("base")
    shutil.copy(saved / "model.safetensors", target)
    with pytest.raises(BaseModelError, match=r"no tokenizer.*tokenizer\.json"):
        load("base")
    shutil.copy(saved / "tokenizer.json", target)
    shutil.copy(saved / "tokenizer_config.json", target)
    assert load("base").tokenizer.eos_token == "<|endoftext|>"


@pytest.mark.parametrize("text", [b"{", b"[]", b"\xff\xfe", b""])
def test_a_broken_configuration_is_named(
    folder: Path, load: Callable[..., Source], text: bytes
) -> None:
    (folder / "config.json").write_bytes(text)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load("base")


def test_a_broken_tokenizer_is_named(folder: Path, load: Callable[..., Source]) -> None:
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(BaseModelError, match="base: cannot be loaded"):
        load("base")


def test_an_adapter_is_no_base(folder: Path, load: Callable[..., Source]) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "other/base"}')
    with pytest.raises(BaseModelError, match="there is an adapter beside"):
        load("base")
    (folder / "config.json").unlink()
    with pytest.raises(BaseModelError, match="holds an adapter, not a base"):
        load("base")


# Tokenizers


def test_a_tokenizer_without_padding_pads_with_the_end(
    folder: Path, load: Callable[..., Source]
) -> None:
    edit_json(folder / "tokenizer_config.json", pad_token=None)
    tokenizer = load("base").tokenizer
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 256


def test_a_tokenizer_without_an_end_is_refused(folder: Path, load: Callable[..., Source]) -> None:
    edit_json(folder / "tokenizer_config.json", pad_token=None, eos_token=None)
    with pytest.raises(BaseModelError, match=r"no end-of-sequence token.*eos_token"):
        load("base")


@pytest.mark.parametrize(
    "more",
    [
        {"special_tokens": False},
        {"special_tokens": True, "pad": "<two>"},
        {"special_tokens": True, "bos": "<two>"},
    ],
    ids=str,
)
def test_a_tokenizer_larger_than_the_embedding_is_refused(
    folder: Path, load: Callable[..., Source], more: dict[str, Any]
) -> None:
    tokenizer = byte_tokenizer(64)
    tokenizer.add_tokens(["<one>", "<two>"], special_tokens=more["special_tokens"])
    for name in ("pad", "bos"):
        if name in more:
            setattr(tokenizer, f"{name}_token", more[name])
    tokenizer.save_pretrained(folder)
    with pytest.raises(BaseModelError, match=r"up to 258.*only 257 rows"):
        load("base")


def test_special_tokens_that_no_text_needs_may_be_beyond_the_embedding(
    folder: Path, load: Callable[..., Source]
) -> None:
    tokenizer = byte_tokenizer(64)
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    tokenizer.save_pretrained(folder)
    base = Base(load("base"), device=torch.device("cpu"), dtype=torch.float32)
    assert base.unembedded(base.tokenizer("a text")["input_ids"]) is None
    fault = base.unembedded(base.tokenizer("a <image>")["input_ids"])
    assert fault == "the token '<image>' (257) is none of the 257 that the base embeds"
