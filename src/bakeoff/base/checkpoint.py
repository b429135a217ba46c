"""Weights on disk: safetensors, and an ordinary Transformers checkpoint of a tuned base."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from bakeoff.base.model import Base

CHECKPOINT_WEIGHTS: Final = "model.safetensors"


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Writes ``tensors`` as safetensors with the marker that Transformers and PEFT expect."""
    path.parent.mkdir(parents=True, exist_ok=True)
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(contiguous, path, metadata={"format": "pt"})
    except SafetensorError as error:
        # The library wraps the operating system's refusal; callers recognise a full disk by errno.
        full = "No space left" in str(error)
        raise OSError(errno.ENOSPC if full else errno.EIO, str(error)) from error


def write_checkpoint(
    base: Base,
    weights: Mapping[str, Tensor],
    folder: Path,
    *,
    dtype: torch.dtype | None = None,
) -> None:
    """Writes the base with some of its parameters replaced, its buffers and its tokenizer.

    Args:
        base: the base; its float32 original gives the parameters that are not replaced.
        weights: float32, by a parameter's full name in the base's model. Where the base ties its
            head to its embedding and the head alone is named, they are tied no more.
        folder: is made where it does not exist.
        dtype: of the parameters that are written; float32 without. Buffers keep their own.
    """
    model = base.source.model
    head, embedding = f"{base.head_name}.weight", f"{base.embedding_name}.weight"
    names = [name for name, _ in model.named_parameters()]
    unknown = sorted(set(weights) - {*names, head})
    assert not unknown, f"the base has no parameter called {unknown}"
    unties = base.is_tied and head in weights and embedding not in weights
    written: dict[str, Tensor] = {
        name: tensor for name, tensor in base.source_parameters() if name not in weights
    }
    written |= weights
    if base.is_tied and not unties:
        written.pop(head, None)
    if dtype is not None:
        written = {name: tensor.to(dtype) for name, tensor in written.items()}
    # Transformers reads zeros for those that a file lacks, which is another model.
    written |= base.source_buffers()
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(written, folder / CHECKPOINT_WEIGHTS)
    config = model.config.to_dict()
    config["architectures"] = [type(model).__name__]
    for name in ("_attn_implementation", "quantization_config"):
        config.pop(name, None)
    if dtype is not None:
        config["dtype"] = str(dtype).removeprefix("torch.")
    if unties:
        config["tie_word_embeddings"] = False
    made = type(model.config).from_dict(config)
    if unties:
        # The text tower of a multimodal model has a setting of its own.
        made.get_text_config().tie_word_embeddings = False
    made.save_pretrained(str(folder))
    if model.generation_config is not None:
        model.generation_config.save_pretrained(str(folder))
    base.tokenizer.save_pretrained(str(folder))
