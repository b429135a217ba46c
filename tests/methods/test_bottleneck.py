"""Bottlenecks' own rules; what all methods share is in test_contract.py."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from bakeoff.base.model import Base
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.methods.bottleneck_stack import BottleneckStack
from bakeoff.methods.contract import Method


def test_a_pass_that_fails_between_norm_and_mlp_leaves_nothing(
    build: Callable[..., Method], base_of: Callable[[str], Base], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The residual stream holds all that the pass had computed before."""
    base = base_of("llama")
    method = build("bottleneck", base)
    # The factory names no class, and the decoder none of its layers.
    assert method.stream_norms  # type: ignore[attr-defined]
    seen: list[weakref.ref[Tensor]] = []
    see = BottleneckStack.see

    def spy(self: BottleneckStack, place: str, slots: Any, x_KND: Tensor, y_KND: Tensor) -> Tensor:
        seen.append(weakref.ref(x_KND))
        return see(self, place, slots, x_KND, y_KND)

    def short(*arguments: Any) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(BottleneckStack, "see", spy)
    mlp = base.decoder.layers[0].mlp.gate_proj  # type: ignore[union-attr, index]
    with Cohort(base, [method], 1, ProtocolOptions()) as cohort:
        cohort.seat(0, method, method.initial(torch.Generator().manual_seed(0)))
        hook = mlp.register_forward_hook(short)
        try:
            with pytest.raises(torch.OutOfMemoryError):
                cohort.hidden_states(torch.zeros(1, 1, 5, dtype=torch.int64))
        finally:
            hook.remove()
        gc.collect()
        assert [reference() for reference in seen] == [None]
