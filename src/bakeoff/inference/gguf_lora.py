"""A LoRA in llama.cpp's format, by the library that llama.cpp's own converter writes with.

Axis letters: ``D`` a layer's width in, ``E`` its width out, ``R`` rank, ``H`` heads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bakeoff.base.model import Base
from bakeoff.errors import ConfigError
from bakeoff.inference.to_lora import Converted

FILE: Final = "adapter.gguf"
_ARCHITECTURES: Final = {
    "llama": "LLAMA",
    "mistral": "LLAMA",
    "qwen2": "QWEN2",
    "qwen3": "QWEN3",
    "gemma": "GEMMA",
    "phi3": "PHI3",
}
"""Transformers' names of architectures by gguf's, of those whose layers are named one for one."""
_PERMUTED: Final = frozenset(("llama", "mistral"))
"""Whose queries and keys llama.cpp keeps in another order of rows."""


def check_architecture(base: Base) -> None:
    """Raises ConfigError where llama.cpp's format has no place for the base."""
    if base.model_type not in _ARCHITECTURES:
        raise ConfigError(
            f"--to gguf-lora: {base.model_type} is none of the architectures that are written as "
            f"GGUF ({', '.join(_ARCHITECTURES)}); --to lora works"
        )


def write_gguf_lora(converted: Converted, base: Base, folder: Path) -> Path:
    """Writes ``adapter.gguf``, which ``llama-server --lora`` loads over the base's GGUF.

    Raises:
        ConfigError: llama.cpp's format has no place for the base, or for one of the layers.
    """
    import gguf

    check_architecture(base)
    arch = gguf.MODEL_ARCH[_ARCHITECTURES[base.model_type]]
    config: Any = base.config
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    try:
        writer.add_type("adapter")
        writer.add_string("adapter.type", "lora")
        # llama.cpp scales by alpha over rank: one.
        writer.add_float32("adapter.lora.alpha", float(converted.rank))
        for layer in sorted({name.rpartition(".")[0] for name in converted.tensors}):
            name = names.get_name(f"{layer}.weight", try_suffixes=(".weight",))
            if name is None:
                raise ConfigError(f"--to gguf-lora: GGUF has no name for {layer}; --to lora works")
            a_RD = converted.tensors[f"{layer}.lora_a"].t().contiguous().float().numpy()
            b_ER = converted.tensors[f"{layer}.lora_b"].t().contiguous().float().numpy()
            heads = _heads(config, layer)
            if base.model_type in _PERMUTED and heads:
                b_ER = permuted(b_ER, heads)
            writer.add_tensor(f"{name}.lora_a", a_RD)
            writer.add_tensor(f"{name}.lora_b", b_ER)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
    return path


def _heads(config: Any, layer: str) -> int:
    """Heads of a layer whose rows are permuted; 0 of any other."""
    if layer.endswith("q_proj"):
        return int(config.num_attention_heads)
    return int(config.num_key_value_heads) if layer.endswith("k_proj") else 0


def permuted(b_ER: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """[E, R] rows as llama.cpp's rotary embedding pairs them: neighbours instead of halves."""
    rows, rank = b_ER.shape
    by_head = b_ER.reshape(heads, 2, rows // heads // 2, rank)
    return np.ascontiguousarray(by_head.swapaxes(1, 2).reshape(rows, rank))
