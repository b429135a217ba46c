"""Attention by blocks against the definition in float64, forward and backward."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bakeoff.base.attention import cpu as cpu_attention
from bakeoff.base.attention import interface as attention
from bakeoff.base.attention.cpu import blockwise_attention, serves
from bakeoff.base.attention.interface import attend
from bakeoff.base.devices import GpuProfile, standing_for
from tests.base.attention.nearness import assert_near

# Rows, heads, heads of keys, positions, key width, value width, scaling, window.
SHAPES = [
    pytest.param(3, 4, 4, 40, 8, 8, None, None, id="one block"),
    pytest.param(2, 4, 2, 129, 8, 8, 1.0, None, id="grouped, one query in the second block"),
    pytest.param(2, 6, 1, 300, 16, 5, 0.3, None, id="one head of keys, narrower values"),
    pytest.param(3, 2, 2, 290, 8, 8, None, 50, id="window shorter than a block"),
    pytest.param(2, 4, 2, 400, 8, 8, None, 200, id="window longer than a block"),
    pytest.param(1, 2, 2, 150, 8, 8, None, 1, id="window of one"),
    pytest.param(1, 2, 2, 150, 8, 8, None, 150, id="window as long as the row"),
    pytest.param(7, 12, 12, 256, 4, 4, None, None, id="several groups of rows"),
]


def tensors(*shape: int) -> list[Tensor]:
    """Query, key, value and slope, laid out as a model's projections give them."""
    rows, heads, key_heads, positions, width, value_width = shape
    draw = torch.Generator().manual_seed(5)
    return [
        torch.randn(rows, positions, count, size, generator=draw).bfloat16().transpose(1, 2)
        for count, size in (
            (heads, width),
            (key_heads, width),
            (key_heads, value_width),
            (heads, value_width),
        )
    ]


def defined(
    query: Tensor, key: Tensor, value: Tensor, scaling: float | None, window: int | None
) -> Tensor:
    """In the tensors' own format, with a mask."""
    positions = query.shape[2]
    mask = torch.ones(positions, positions, dtype=torch.bool).tril()
    if window is not None:
        mask = mask.triu(1 - window)
    return F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=scaling, enable_gqa=True
    )


@pytest.mark.parametrize(
    ("rows", "heads", "key_heads", "positions", "width", "value_width", "scaling", "window"), SHAPES
)
def test_it_computes_the_definition_and_its_gradient(
    rows: int,
    heads: int,
    key_heads: int,
    positions: int,
    width: int,
    value_width: int,
    scaling: float | None,
    window: int | None,
) -> None:
    *inputs, slope = tensors(rows, heads, key_heads, positions, width, value_width)
    exact = [tensor.double().requires_grad_() for tensor in inputs]
    expected = defined(exact[0], exact[1], exact[2], scaling, window)
    wanted = [expected, *torch.autograd.grad(expected, exact, slope.double())]
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    output = blockwise_attention(leaves[0], leaves[1], leaves[2], scaling=scaling, window=window)
    found = [output, *torch.autograd.grad(output, leaves, slope)]
    assert_near(found, wanted)
    with torch.no_grad():
        again = blockwise_attention(inputs[0], inputs[1], inputs[2], scaling=scaling, window=window)
    assert torch.equal(again, output), "nothing is kept, and nothing else changes"


def test_large_scores_are_not_rounded() -> None:
    """Rounded to bfloat16, scores of a hundred would be half a nat off."""
    query, key, value, _ = tensors(1, 2, 2, 64, 64, 64)
    query = query * 4
    exact = defined(query.double(), key.double(), value.double(), 1.0, None)
    ours = blockwise_attention(query, key, value, scaling=1.0, window=None)
    assert float((ours.double() - exact).abs().max()) < 2e-2
    scores = (query @ key.transpose(2, 3)).double()
    hidden = torch.ones(64, 64, dtype=torch.bool).triu(1)
    rounded = scores.masked_fill(hidden, float("-inf")).softmax(-1) @ value.double()
    assert float((rounded - exact).abs().max()) > 1e-1


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    query, key, value, slope = tensors(7, 12, 12, 200, 8, 8)
    key[3] = float("nan")
    found = []
    for rows in (slice(0, 7), slice(2, 3)):
        leaves = [t[rows].clone().requires_grad_() for t in (query, key, value)]
        output = blockwise_attention(leaves[0], leaves[1], leaves[2], scaling=None, window=None)
        grads = torch.autograd.grad(output, leaves, slope[rows])
        found.append([part[2] if len(part) == 7 else part[0] for part in (output, *grads)])
    for together, alone in zip(*found, strict=True):
        assert torch.equal(together, alone)


def _query(positions: int = 64, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return torch.zeros(1, 2, positions, 8, dtype=dtype)


def test_what_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_attention, "_multiplies_bfloat16", lambda: True)
    assert serves(_query(), _query())
    assert not serves(_query(dtype=torch.float32), _query(dtype=torch.float32))
    assert not serves(_query(cpu_attention.LONGEST + 1), _query(cpu_attention.LONGEST + 1))
    assert not serves(_query(cpu_attention.SHORTEST - 1), _query(cpu_attention.SHORTEST - 1))
    assert not serves(_query(), _query(65)), "keys from before"
    assert not serves(_query().to("meta"), _query().to("meta"))
    monkeypatch.setattr(cpu_attention, "_multiplies_bfloat16", lambda: False)
    assert not serves(_query(), _query())


def test_whoever_stands_for_a_gpu_keeps_the_fused_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_attention, "_multiplies_bfloat16", lambda: True)
    calls: list[Any] = []

    def watched(*arguments: Tensor, **options: Any) -> Tensor:
        calls.append(arguments)
        return blockwise_attention(*arguments, **options)

    monkeypatch.setattr(attention, "blockwise_attention", watched)
    layer = nn.Identity()
    for window in (None, 9):
        attend(_query(), _query(), _query(), module=layer, scaling=None, window=window)
    assert len(calls) == 2
    with standing_for(GpuProfile(is_ampere=True)):
        attend(_query(), _query(), _query(), module=layer, scaling=None, window=None)
    assert len(calls) == 2
