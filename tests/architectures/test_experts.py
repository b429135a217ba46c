"""LoRA on experts that are one tensor: files, merging, and what does not go with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from bakeoff.base.library_output import silence_libraries
from bakeoff.errors import ConfigError
from bakeoff.testing.passes import logits_of
from tests.architectures.checks import base_of, lora_on, some_tensors
from tests.architectures.families import model_of

IDS = torch.arange(1, 21).view(2, 10)


@pytest.mark.parametrize("target_experts", [False, True])
@pytest.mark.parametrize("family", ["deepseek_v3", "gpt_oss", "qwen3_moe"])
def test_peft_loads_what_is_saved(family: str, target_experts: bool, tmp_path: Path) -> None:
    base = base_of(family)
    method = lora_on(base, target_experts=target_experts)
    tensors = some_tensors(method, 3)
    method.save(tensors, tmp_path)
    expected = logits_of(method, tensors, IDS)
    loading: Any = PeftModel
    with silence_libraries(), torch.no_grad():
        peft = loading.from_pretrained(model_of(family), str(tmp_path)).eval()
        torch.testing.assert_close(peft(input_ids=IDS).logits, expected, atol=1e-4, rtol=1e-4)
    again = method.load(tmp_path)
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("family", ["gpt_oss", "qwen3_moe"])
def test_merged_weights_compute_the_same(family: str) -> None:
    base = base_of(family)
    method = lora_on(base, target_experts=True)
    tensors = some_tensors(method, 3)
    merged = method.merged_weights(tensors)
    model: Any = model_of(family)
    with torch.no_grad():
        for name, weight in merged.items():
            model.get_parameter(name).copy_(weight)
        found = model(input_ids=IDS).logits
    torch.testing.assert_close(found, logits_of(method, tensors, IDS), atol=1e-4, rtol=1e-4)


def test_experts_are_frozen_unless_asked_for() -> None:
    base = base_of("qwen3_moe")
    assert not any("experts" in name for name in lora_on(base).shapes)
    trained = lora_on(base, target_experts=True).shapes
    # 4 experts of 32 x 32 (gate and up in one) and 16 x 32, in two layers, at rank 2.
    counted = sum(torch.Size(s).numel() for n, s in trained.items() if "experts" in n)
    assert counted == 2 * 4 * 2 * ((32 + 32) + (16 + 32))


@pytest.mark.parametrize(
    ("family", "options", "words"),
    [
        ("llama", {}, "keeps no experts as one tensor"),
        ("qwen3_moe", {"dropout": 0.1}, r"methods.lora.dropout: 0.1 does not go with"),
        ("qwen3_moe", {"init": "pissa"}, r"methods.lora.init: pissa does not go with"),
    ],
)
def test_what_does_not_go_with_experts_is_refused(
    family: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        lora_on(base_of(family), target_experts=True, **options)
