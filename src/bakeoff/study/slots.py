"""How many candidates sit in one training pass when the study says ``slots: auto``."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bakeoff.methods.contract import Ground, Method
from bakeoff.metrics.memory import available_bytes
from bakeoff.model.base import Base

MOST_SLOTS = 8
_ACTIVATIONS_A_LAYER = 17
"""Numbers of the hidden width that a transformer layer keeps for its backward pass, a token.

Source: Korthikanti et al. 2022, arXiv:2205.05198, section 4.1, without the attention matrix.
"""
_STATE_BYTES = 16  # value, gradient and two moments in float32
_MEMORY_SHARE = 0.5


def free_bytes(device: torch.device) -> int:
    """Memory that is free on the device, or available on the machine."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return available_bytes()


def auto_slots(base: Base, methods: Sequence[Method], tokens: int) -> int:
    """Slots that half of the free memory holds, by estimate; at least one, at most eight.

    Args:
        base: the base.
        methods: the methods of one ground.
        tokens: of one micro-batch of one slot, padding and prompts included.
    """
    ground = methods[0].ground
    if ground is Ground.OWN_BASE:
        return 1
    slot_bytes = _STATE_BYTES * max(method.num_trainable for method in methods)
    if ground is not Ground.HIDDEN_STATES:
        layers = int(getattr(base.model.config, "num_hidden_layers", 1))
        itemsize = base.compute_dtype.itemsize
        slot_bytes += tokens * layers * base.width * _ACTIVATIONS_A_LAYER * itemsize
    fitting = int(_MEMORY_SHARE * free_bytes(base.device) / slot_bytes)
    return max(1, min(MOST_SLOTS, fitting))
