"""Single passes through a small base, for the contract of methods.

Axis letters: ``K`` slots, ``B`` rows, ``T`` tokens, ``V`` vocabulary, ``D`` width.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from bakeoff.base.model import Base
from bakeoff.base.outputs import capped
from bakeoff.base.weights.sources import load_source
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.methods.contract import Method, Tensors

ROWS, TOKENS = 3, 12


@cache
def small_base(reference: str) -> Base:
    """A base of random weights on the CPU in float32; no test may change it."""
    with tempfile.TemporaryDirectory() as cache_dir:
        source = load_source(reference, root=Path.cwd(), cache_dir=Path(cache_dir))
    return Base(source, device=torch.device("cpu"), dtype=torch.float32)


def some_ids(seed: int) -> Tensor:
    """[B, T] token ids of the small bases' bytes."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (ROWS, TOKENS), generator=generator)


def token_logits(cohort: Cohort, ids_KBT: Tensor) -> Tensor:
    """[K, B, T, V] logits at the tokens, not at vectors that a method puts before them."""
    hidden_KBTD, moved_K = cohort.hidden_states(ids_KBT)
    num_tokens = ids_KBT.shape[-1]
    if moved_K is not None:
        hidden_KBTD = torch.stack(
            [h[:, s : s + num_tokens] for h, s in zip(hidden_KBTD, moved_K.tolist(), strict=True)]
        )
    weight, bias = cohort.head()
    weight_KDV = (weight if weight.dim() == 3 else weight[None]).transpose(1, 2)
    logits_KBTV = torch.einsum(
        "kbtd,kdv->kbtv", hidden_KBTD, weight_KDV.expand(len(hidden_KBTD), -1, -1)
    )
    logits_KBTV = logits_KBTV if bias is None else logits_KBTV + bias
    return capped(logits_KBTV, cohort.base.logit_cap)


def logits_of(method: Method, tensors: Tensors, ids_BT: Tensor) -> Tensor:
    """[B, T, V] logits of rows under one candidate alone."""
    with Cohort(method.base, [method], 1) as cohort, torch.no_grad():
        cohort.seat(0, method, tensors)
        return token_logits(cohort, ids_BT[None])[0]


def untuned_logits(base: Base, ids_BT: Tensor) -> Tensor:
    """[B, T, V] logits of rows under the base itself."""
    with Cohort(base, [], 1) as cohort, torch.no_grad():
        return token_logits(cohort, ids_BT[None])[0]


def next_token_nll(cohort: Cohort, ids_KBT: Tensor) -> Tensor:
    """[K] mean nats of all next tokens, differentiable."""
    num_slots, rows, num_tokens = ids_KBT.shape
    position = torch.arange(num_tokens - 1)
    source_N = (torch.arange(rows)[:, None] * num_tokens + position).flatten()
    targets_KN = ids_KBT[:, :, 1:].flatten(1)
    mask_KN = torch.ones_like(targets_KN, dtype=torch.bool)
    sums_K, _ = cohort.losses(ids_KBT, source_N.expand(num_slots, -1), targets_KN, mask_KN)
    return sums_K / mask_KN.sum(dim=1)


def trained(
    seats: Sequence[tuple[Method, Tensors]], ids_KBT: Tensor, rate: float, updates: int
) -> tuple[Tensor, list[Tensors]]:
    """Trains candidates in one cohort, each on its own rows.

    Args:
        seats: for each slot a method and what it starts from. ids_KBT: [K, B, T].

    Returns:
        ([updates, K] the loss before each update, each slot's tensors after the last).
    """
    methods, losses = [method for method, _ in seats], []
    protocol = ProtocolOptions(weight_decay=0.0)
    with Cohort(methods[0].base, methods, len(seats), protocol) as cohort:
        assert cohort.optimizer is not None
        for slot, seat in enumerate(seats):
            cohort.seat(slot, *seat)
        rates_K = torch.full((len(seats),), rate, dtype=torch.float64)
        for _ in range(updates):
            cohort.optimizer.zero_grad()
            loss_K = next_token_nll(cohort, ids_KBT)
            loss_K.sum().backward()
            cohort.optimizer.step(rates_K, loss_K.detach())
            losses.append(loss_K.detach())
        return torch.stack(losses), [cohort.take(slot) for slot in range(len(seats))]
