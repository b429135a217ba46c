"""How many candidates, and how many rows of each, share one training pass."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from bakeoff.base.devices import format_of, kind_of
from bakeoff.base.model import Base
from bakeoff.engine.backends.memory import free_bytes
from bakeoff.engine.loss import chunk_tokens
from bakeoff.methods.contract import Method

MOST_SLOTS = 32
SATURATING_TOKENS = {"cpu": 4096, "cuda": 32768}
"""Tokens of all slots in one pass beyond which more bring nothing: on a CPU by measurement
(``docs/performance.md``, "How many slots"), on a GPU an estimate.
"""
_ACTIVATIONS_A_LAYER = 17
"""Numbers of the hidden width that a transformer layer keeps for its backward pass, a token.

Source: Korthikanti et al. 2022, arXiv:2205.05198, section 4.1, without the attention matrix.
"""
_STATE_BYTES = 16  # value, gradient and two moments in float32
_MEMORY_SHARE = 0.5


def useful_slots(device: torch.device, tokens: float) -> int:
    """Slots up to which a pass gets faster by the token; at least one, at most ``MOST_SLOTS``.

    The rule looks at shapes alone, so that one study on one kind of device always gets one number.

    Args:
        device: where.
        tokens: of one slot in one pass, on average.
    """
    saturating = SATURATING_TOKENS.get(kind_of(device), SATURATING_TOKENS["cuda"])
    return max(1, min(MOST_SLOTS, math.ceil(saturating / max(1.0, tokens))))


def auto_slots(
    base: Base, methods: Sequence[Method], tokens: int, mean_tokens: float | None = None
) -> int:
    """Slots that half of the free memory holds, by estimate, and that still raise throughput.

    Args:
        base: the base.
        methods: the methods of one execution path.
        tokens: of the largest micro-batch of one slot, padding and prompts included.
        mean_tokens: of a micro-batch on average; None if all are as large.
    """
    execution_path = methods[0].execution_path
    if not execution_path.shares_base:
        return 1
    # Every slot has room for a candidate of every kind.
    by_kind: dict[str, int] = {}
    for method in methods:
        by_kind[method.kind] = max(by_kind.get(method.kind, 0), method.num_trainable)
    slot_bytes = _STATE_BYTES * sum(by_kind.values())
    itemsize = format_of(base.compute_dtype).itemsize
    slot_bytes += (
        chunk_tokens(base.device, base.vocabulary * base.width) * base.vocabulary * (4 + itemsize)
    )
    if not execution_path.reads_hidden_states:
        layers = int(getattr(base.config, "num_hidden_layers", 1))
        slot_bytes += tokens * layers * base.width * _ACTIVATIONS_A_LAYER * itemsize
    fitting = int(_MEMORY_SHARE * free_bytes(base.device) / slot_bytes)
    useful = useful_slots(base.device, tokens if mean_tokens is None else mean_tokens)
    return max(1, min(useful, fitting))


def joined_rows(
    device: torch.device,
    *,
    num_slots: int,
    row_tokens: int,
    micro_batch_size: int,
    grad_accum_steps: int,
    num_rows: int,
) -> int:
    """Rows of a slot in one pass of training where micro-batches of an update are joined on a GPU.

    Small passes leave a GPU idle. On a CPU none are joined: smaller passes stay in the cache. The
    rule looks at shapes alone, as ``useful_slots`` does.

    Args:
        device: where.
        num_slots: candidates in a pass. row_tokens: of the longest row, prompts included.
        micro_batch_size: rows of a slot. grad_accum_steps: micro-batches of an update.
        num_rows: of the training set; a pass that is larger would compute padding.

    Returns:
        ``micro_batch_size`` times the largest divisor of ``grad_accum_steps`` with which all slots
        have at most ``SATURATING_TOKENS`` in a pass.
    """
    if kind_of(device) != "cuda":
        return micro_batch_size
    one = num_slots * micro_batch_size * max(1, row_tokens)
    most = min(SATURATING_TOKENS["cuda"] // one, -(-num_rows // micro_batch_size))
    divisors = [d for d in range(1, grad_accum_steps + 1) if grad_accum_steps % d == 0]
    return max([1, *(d for d in divisors if d <= most)]) * micro_batch_size
