"""What a model does to its head's products before they are logits.

A factor on the logits (Cohere's ``logit_scale``, one by Granite's ``logits_scaling``) is put on the
hidden states, so that nothing that reads a head need know of it. A soft cap (Gemma 2) is no
product: the loss, scores and generation ask the base for it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedConfig


def logit_scale(config: PreTrainedConfig) -> float:
    """The factor on the head's products that the configuration of a decoder names; else 1."""
    factor = _number(config, "logit_scale")
    divisor = _number(config, "logits_scaling")
    return (1.0 if factor is None else factor) / (divisor or 1.0)


def logit_cap(config: PreTrainedConfig) -> float | None:
    """The soft cap of the logits that the configuration of a decoder names."""
    return _number(config, "final_logit_softcapping") or None


def _number(config: PreTrainedConfig, name: str) -> float | None:
    value = getattr(config, name, None)
    return float(value) if isinstance(value, int | float) else None


def capped(logits: Tensor, cap: float | None) -> Tensor:
    """Logits under a soft cap; in place where there is one and no gradient is asked for."""
    if cap is None:
        return logits
    if torch.is_grad_enabled() and logits.requires_grad:
        return torch.tanh(logits / cap) * cap
    return logits.div_(cap).tanh_().mul_(cap)
