"""Bytes of a model's weights."""

from __future__ import annotations

from torch import nn


def model_bytes(model: nn.Module) -> int:
    """Bytes of all weights and buffers, each shared one once."""
    tensors = [*model.parameters(), *model.buffers()]
    return sum({id(t): t.numel() * t.element_size() for t in tensors}.values())
