"""Bases from GGUF files, written here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from bakeoff.base.weights import gguf as gguf_module
from bakeoff.base.weights.gguf_metadata import read_gguf_metadata
from bakeoff.base.weights.scratch import byte_tokenizer
from bakeoff.base.weights.sources import Source
from bakeoff.errors import BaseModelError, CheckpointError, StoreError

SEED = 20240229


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = model(input_ids=torch.tensor([[5, 17, 200, 3]])).logits
    return result


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
    writer.add_token_list([*sorted(vocabulary, key=lambda token: vocabulary[token]), "ĠĠ"])
    writer.add_token_types([1] * 256 + [3, 1])
    writer.add_token_merges(["Ġ Ġ"])
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


@pytest.mark.parametrize(
    ("split", "expected"),
    [("smollm", ["x", "ĠĠ", "1", "2"]), ("gpt-2", ["x", "Ġ", "Ġ", "1", "2"])],
)
def test_digits_split_as_the_file_says(gguf_folder: Path, split: str, expected: list[str]) -> None:
    write_gguf(gguf_folder / "model.gguf", split=split)
    tokenizer = gguf_module.gguf_tokenizer(gguf_folder / "model.gguf")
    assert tokenizer is not None
    assert tokenizer.tokenize("x  12") == expected


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


def test_metadata_reads_as_it_was_written(gguf_folder: Path) -> None:
    import gguf

    write_gguf(gguf_folder / "model.gguf")
    ours = read_gguf_metadata(gguf_folder / "model.gguf")
    fields = gguf.GGUFReader(gguf_folder / "model.gguf").fields
    theirs = {k: f.contents() for k, f in fields.items() if not k.startswith("GGUF.")}
    assert ours == theirs
    assert len(ours) > 10


@pytest.mark.parametrize("data", [b"", b"GGUF", b"GGML" + bytes(60), b"GGUF\x03" + b"\xff" * 60])
def test_torn_metadata_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "torn.gguf").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"torn\.gguf"):
        read_gguf_metadata(tmp_path / "torn.gguf")
