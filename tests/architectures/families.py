"""A tiny random model of each family of decoders that Transformers has.

A family is named as Transformers names its ``model_type``, and a variant by a word behind it. Sizes
are those of Llama where a family has no word of its own for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch
from transformers import CONFIG_MAPPING, PreTrainedConfig, PreTrainedModel

from bakeoff.base.library_output import silence_libraries
from bakeoff.base.weights.folder import auto_class

VOCABULARY: Final = 257
END_ID: Final = VOCABULARY - 1
WEIGHTS_SEED: Final = 31

_IDS: Final[Mapping[str, Any]] = {
    "vocab_size": VOCABULARY,
    "bos_token_id": END_ID,
    "eos_token_id": END_ID,
    "pad_token_id": END_ID,
    "tie_word_embeddings": False,
}
_SIZES: Final[Mapping[str, Any]] = {
    **_IDS,
    "max_position_embeddings": 128,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
_GPT: Final[Mapping[str, Any]] = {
    **_IDS,
    "n_positions": 128,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
}
_EXPERTS: Final[Mapping[str, Any]] = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
}
_LOCAL: Final[Mapping[str, Any]] = {"num_local_experts": 4, "num_experts_per_tok": 2}
_MIXED: Final[Mapping[str, Any]] = {"layer_types": ["sliding_attention", "full_attention"]}
_LATENT: Final[Mapping[str, Any]] = {
    "num_key_value_heads": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "n_group": 2,
    "topk_group": 1,
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 12,
}
_VISION: Final[Mapping[str, Any]] = {
    "depth": 1,
    "embed_dim": 16,
    "hidden_size": 32,
    "num_heads": 2,
    "patch_size": 4,
}
_MULTIMODAL_ROPE: Final[Mapping[str, Any]] = {
    "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
}

FAMILIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "apertus": {},
    "arcee": {},
    "bloom": {"n_layer": 2, "n_head": 4, "hidden_size": 32},
    "codegen": {**_GPT, "n_ctx": 128, "n_inner": 48, "rotary_dim": 4},
    "cohere": {"logit_scale": 0.25},
    "cohere2": {"logit_scale": 0.25, "sliding_window": 5, **_MIXED},
    "deepseek_v2": {**_LATENT, "topk_method": "greedy"},
    "deepseek_v3": _LATENT,
    "ernie4_5": {},
    "exaone4": {"sliding_window": 5, **_MIXED},
    "falcon": {"multi_query": True, "alibi": False},
    "falcon alibi": {"multi_query": False, "alibi": True, "bias": True},
    "falcon new": {"new_decoder_architecture": True, "num_kv_heads": 2, "alibi": False},
    "gemma": {"head_dim": 8},
    "gemma2": {
        "head_dim": 8,
        "sliding_window": 5,
        "attn_logit_softcapping": 1.5,
        "final_logit_softcapping": 2.0,
    },
    "gemma3": {
        "text_config": {**_SIZES, "head_dim": 8, "sliding_window": 5, **_MIXED},
        "vision_config": {
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 8,
            "patch_size": 4,
        },
        "mm_tokens_per_image": 4,
    },
    "gemma3_text": {"head_dim": 8, "sliding_window": 5, **_MIXED},
    "glm": {"head_dim": 8},
    "glm4": {"head_dim": 8},
    "glm4_moe": {**_LATENT, "num_key_value_heads": 2, "head_dim": 8},
    "gpt2": _GPT,
    "gpt_bigcode": _GPT,
    "gpt_neo": {
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 5,
        "resid_dropout": 0.0,
        "embed_dropout": 0.0,
        "attention_dropout": 0.0,
    },
    "gpt_neox": {"hidden_dropout": 0.0, "attention_dropout": 0.0},
    "gpt_oss": {**_LOCAL, "head_dim": 8, "sliding_window": 5, **_MIXED},
    "gptj": {**_GPT, "n_inner": 48, "rotary_dim": 4},
    "granite": {"logits_scaling": 4.0, "embedding_multiplier": 3.0, "residual_multiplier": 0.5},
    "granitemoe": {**_LOCAL, "logits_scaling": 4.0},
    "helium": {"head_dim": 8},
    "hunyuan_v1_dense": {"head_dim": 8},
    "lfm2": {
        "layer_types": ["conv", "full_attention"],
        "block_ff_dim": 48,
        "block_multiple_of": 8,
        "conv_L_cache": 3,
    },
    "llama": {},
    "llama4_text": {
        **_LOCAL,
        "num_experts_per_tok": 1,
        "head_dim": 8,
        "intermediate_size_mlp": 48,
        "moe_layers": [1],
        "no_rope_layers": [1, 0],
        "attention_chunk_size": 64,
        "layer_types": ["chunked_attention", "full_attention"],
    },
    "ministral": {"head_dim": 8, "sliding_window": 5, **_MIXED},
    "ministral3": {"head_dim": 8},
    "mistral": {"sliding_window": 5},
    "mistral3": {
        "text_config": {"model_type": "mistral", **_SIZES, "head_dim": 8},
        "vision_config": {
            "model_type": "pixtral",
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 8,
            "patch_size": 4,
        },
    },
    "mixtral": _LOCAL,
    "nanochat": {},
    "nemotron": {},
    "olmo": {},
    "olmo2": {},
    "olmo3": {"sliding_window": 5, **_MIXED},
    "olmoe": {**_EXPERTS, "intermediate_size": 16},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32, "dropout": 0.0, "attention_dropout": 0.0},
    "phi": {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attention_dropout": 0.0},
    "phi3": {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "sliding_window": 5},
    "phimoe": {**_LOCAL, "sliding_window": 5},
    "qwen2": {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
    "qwen2_5_vl": {
        "text_config": {**_SIZES, **_MULTIMODAL_ROPE},
        "vision_config": {**_VISION, "out_hidden_size": 32, "hidden_size": 16, "num_heads": 2},
    },
    "qwen2_moe": {
        **_EXPERTS,
        "shared_expert_intermediate_size": 24,
        "use_sliding_window": True,
        "sliding_window": 5,
        "max_window_layers": 1,
    },
    "qwen2_vl": {"text_config": {**_SIZES, **_MULTIMODAL_ROPE}, "vision_config": _VISION},
    "qwen3": {"head_dim": 8},
    "qwen3_moe": {**_EXPERTS, "head_dim": 8, "norm_topk_prob": True},
    "qwen3_vl": {
        "text_config": {**_SIZES, "head_dim": 8, **_MULTIMODAL_ROPE},
        "vision_config": {
            "depth": 1,
            "hidden_size": 16,
            "num_heads": 2,
            "intermediate_size": 16,
            "patch_size": 4,
            "out_hidden_size": 32,
            "deepstack_visual_indexes": [0],
        },
    },
    "seed_oss": {"head_dim": 8},
    "smollm3": {"no_rope_layers": [1, 0]},
    "stablelm": {},
    "starcoder2": {"sliding_window": 5, "residual_dropout": 0.0, "embedding_dropout": 0.0},
}
"""What each family's configuration has beside or instead of the common sizes."""

REFUSED: Final[Mapping[str, Mapping[str, Any]]] = {
    "falcon_mamba": {"state_size": 4},
    "jamba": {**_EXPERTS, "num_experts": 2, "mamba_d_state": 4, "attn_layer_offset": 1},
    "mamba": {"state_size": 4},
    "mamba2": {"state_size": 4, "num_heads": 4, "head_dim": 16, "n_groups": 1},
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 128, "expansion_ratio": 2},
    "qwen3_next": {
        **_EXPERTS,
        "head_dim": 8,
        "layer_types": ["linear_attention", "full_attention"],
        "linear_num_value_heads": 2,
        "linear_num_key_heads": 2,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "shared_expert_intermediate_size": 16,
    },
    "recurrent_gemma": {"lru_width": 32, "attention_window_size": 8},
    "rwkv": {"attention_hidden_size": 32, "context_length": 64},
}
"""Families that are refused: most carry a state instead of keys and values."""


def is_known(family: str) -> bool:
    """Whether the installed Transformers has it."""
    return family.partition(" ")[0] in CONFIG_MAPPING


def config_of(family: str) -> PreTrainedConfig:
    """The tiny configuration of a family."""
    own = dict({**FAMILIES, **REFUSED}[family])
    model_type = family.partition(" ")[0]
    common: Mapping[str, Any] = _SIZES
    if own.get("text_config") or "n_embd" in own or "d_model" in own or "n_layer" in own:
        common = _IDS
    elif model_type in ("gpt_neo", "opt", "gpt_neox", "falcon"):
        left_out: tuple[str, ...] = ("num_key_value_heads",)
        if model_type in ("gpt_neo", "falcon"):
            left_out += ("num_attention_heads",) if model_type == "gpt_neo" else ()
            left_out += ("intermediate_size",)
        if model_type == "gpt_neo":
            left_out += ("num_hidden_layers",)
        common = {name: value for name, value in _SIZES.items() if name not in left_out}
    with silence_libraries():
        config: PreTrainedConfig = CONFIG_MAPPING[model_type](**{**common, **own})
    return config


def model_of(family: str) -> PreTrainedModel:
    """A float32 model as Transformers makes it, every weight redrawn; the same at every call."""
    config = config_of(family)
    with silence_libraries():
        model: PreTrainedModel = auto_class(config).from_config(config, dtype=torch.float32)
    generator = torch.Generator().manual_seed(WEIGHTS_SEED)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0.0, 0.1, generator=generator)
            if parameter.dim() == 1 and "norm" in name.lower() and name.endswith("weight"):
                parameter.add_(1.0)
    model.eval()
    return model
