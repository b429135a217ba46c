"""A held model that computes in float32 for a moment."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bakeoff.base import upcast
from bakeoff.base.upcast import computing_in_float32
from bakeoff.base.weights.scratch import scratch_config, scratch_model


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(input_ids=torch.arange(12)[None], use_cache=False).logits
    return found


@pytest.mark.parametrize("shape", ["scratch:tiny-llama", "scratch:tiny-gpt-neo"])
@pytest.mark.parametrize("largest", [1 << 24, 1000])
def test_it_computes_what_a_float32_copy_computes(
    shape: str, largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upcast, "_LARGE", largest)  # the smaller: layers by a few rows at a time
    model: Any = scratch_model(scratch_config(shape))
    for parameter in model.parameters():
        parameter.data = parameter.data.bfloat16()
    before = logits(model)
    with computing_in_float32(model):
        wide = logits(model)
        assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert torch.equal(logits(model), before)
    assert not any("forward" in vars(module) for module in model.modules())
    for parameter in model.parameters():
        parameter.data = parameter.data.float()
    torch.testing.assert_close(wide, logits(model), atol=1e-5, rtol=1e-5)
    assert (before.float() - wide).abs().max() > 1e-4


def test_an_error_inside_leaves_the_weights_as_they_were() -> None:
    layer = nn.Sequential(nn.Linear(4, 3)).bfloat16()
    weight = layer[0].weight
    with pytest.raises(RuntimeError), computing_in_float32(layer):
        layer(torch.zeros(2, 5))
    assert layer[0].weight is weight
