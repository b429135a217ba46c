"""Models that cannot be a base. All models here are small and random."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertLMHeadModel,
    T5Config,
    T5ForConditionalGeneration,
)

from bakeoff.base.library_output import silence_libraries
from bakeoff.base.weights.sources import Source
from bakeoff.errors import BaseModelError
from tests.base.weights.model_folders import SEED, edit_json, save_with_tokenizer


def test_an_encoder_decoder_is_refused_by_name(tmp_path: Path, load: Callable[..., Source]) -> None:
    config = T5Config(vocab_size=300, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
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
    with pytest.raises(BaseModelError, match=r"BertForMaskedLM.*no decoder.*causal language model"):
        load("bert")


def test_a_model_that_looks_ahead_is_refused_whatever_it_is_called(
    tmp_path: Path, load: Callable[..., Source]
) -> None:
    config = small_bert()
    config.is_decoder = True
    torch.manual_seed(SEED)
    with silence_libraries():
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


@pytest.mark.parametrize("method", ["gptq", "awq", "fp8", "mxfp4"])
def test_quantised_weights_are_refused(
    folder: Path, load: Callable[..., Source], method: str
) -> None:
    edit_json(folder / "config.json", quantization_config={"quant_method": method, "bits": 4})
    with pytest.raises(BaseModelError, match=rf"by {method}.*quantization: nf4"):
        load("base")
