"""An engineer has conversations, and the configuration of a base of 8 billion parameters.

Before anything is downloaded, the plan names the batch, whether activations are computed again, and
4 bits, and says which cards hold it.
"""

from __future__ import annotations

import json

import pytest

from tests.stories.conftest import Installed

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-05,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "bos_token_id": 128000,
    "eos_token_id": 128001,
}


@pytest.mark.soak
def test_a_plan_of_an_8b_base_names_checkpointing_batch_and_4_bits(bakeoff: Installed) -> None:
    pytest.importorskip("bitsandbytes")
    base = bakeoff.folder / "base-8b"
    base.mkdir()
    (base / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    turns = [
        {
            "messages": [
                {"role": "user", "content": f"How do I reset device {n}? " + "It blinks. " * 60},
                {"role": "assistant", "content": f"Hold button {n} for ten seconds."},
            ]
        }
        for n in range(40)
    ]
    (bakeoff.folder / "talks.jsonl").write_text(
        "".join(json.dumps(turn) + "\n" for turn in turns), encoding="utf-8"
    )
    study = {
        "name": "support",
        "base": "base-8b",
        "task": {"kind": "chat", "source": "talks.jsonl", "max_length": 1024},
        "methods": {"qlora": {"kind": "lora", "quantization": "nf4"}, "lora": {"kind": "lora"}},
    }
    (bakeoff.folder / "study.yaml").write_text(json.dumps(study), encoding="utf-8")
    plan = json.loads(bakeoff("plan", "study.yaml", "--gpu", "RTX4090", "--json"))
    held = {row["quantization"]: row for row in plan["held"]}
    assert held["none"]["base_bytes"] > 15e9 > 6.5e9 > held["nf4"]["base_bytes"] > 4e9
    said = " ".join([*plan["remedies"], *plan["notes"]])
    assert "nf4" in said and "micro_batch_size" in said, said
    assert "gradient_checkpointing" in said or "computed again" in said, said
