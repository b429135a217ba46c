"""Bases of billions of random weights, as folders that any loader reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedConfig

from bakeoff.base.weights.scratch import byte_tokenizer

SHARD_BYTES: Final = 2 << 30
_SEED: Final = 0


def make_base(folder: Path, config: PreTrainedConfig, device: torch.device) -> None:
    """Makes a base of random weights in bfloat16, shard by shard, unless it is there.

    Args:
        folder: gets weights, configuration and a tokenizer of bytes. config: its shape.
        device: where numbers are drawn; a card draws eight billion in seconds.

    Raises:
        SystemExit: the folder holds a base of another shape.
    """
    done = folder / "config.json"
    if done.exists():
        there = json.loads(done.read_text(encoding="utf-8"))
        wanted = json.loads(config.to_json_string(use_diff=False))
        keys = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")
        if any(there.get(key) != wanted[key] for key in keys):
            raise SystemExit(f"{folder} holds a base of another shape; give another --folder")
        return
    folder.mkdir(parents=True, exist_ok=True)
    with torch.device("meta"):
        shapes = AutoModelForCausalLM.from_config(config).state_dict()
    draw = torch.Generator(device).manual_seed(_SEED)
    shards: list[dict[str, Tensor]] = [{}]
    held, index = 0, {}
    for name, shape in shapes.items():
        tensor = torch.ones(shape.shape, dtype=torch.bfloat16)
        if tensor.dim() > 1:
            drawn = torch.randn(shape.shape, generator=draw, device=device, dtype=torch.bfloat16)
            tensor = (drawn * config.initializer_range).cpu()
        if held + tensor.nbytes > SHARD_BYTES and shards[-1]:
            _write(folder, len(shards), shards[-1])
            shards[-1], held = {}, 0
            shards.append({})
        shards[-1][name] = tensor
        held += tensor.nbytes
        index[name] = _file(len(shards))
    _write(folder, len(shards), shards[-1])
    total = sum(2 * shape.numel() for shape in shapes.values())
    content = {"metadata": {"total_size": total}, "weight_map": index}
    (folder / "model.safetensors.index.json").write_text(json.dumps(content), encoding="utf-8")
    byte_tokenizer(int(config.max_position_embeddings)).save_pretrained(folder)
    config.architectures = ["LlamaForCausalLM"]
    config.dtype = torch.bfloat16
    # Last: with it the base is whole.
    config.save_pretrained(folder)


def _file(number: int) -> str:
    return f"model-{number:05d}.safetensors"


def _write(folder: Path, number: int, tensors: dict[str, Tensor]) -> None:
    save_file(tensors, folder / _file(number), metadata={"format": "pt"})
