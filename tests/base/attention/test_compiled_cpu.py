"""Attention of compiled layers on a CPU against the definition in float64, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bakeoff.base.attention import compiled_cpu
from bakeoff.base.attention import interface as attention
from bakeoff.base.attention.compiled_cpu import LONGEST, compiled_attention, serves
from bakeoff.base.attention.interface import attend, scores_whole
from tests.base.attention.nearness import assert_near

CPU = torch.device("cpu")
# Rows, heads, heads of keys, positions, width, scaling.
SHAPES = [
    pytest.param(3, 4, 4, 40, 8, None, id="a head of keys each"),
    pytest.param(2, 6, 2, 129, 16, 0.3, id="grouped"),
    pytest.param(1, 3, 1, 7, 64, None, id="one head of keys, few positions"),
    pytest.param(2, 2, 2, 1, 8, 1.0, id="one position"),
]


def tensors(rows: int, heads: int, key_heads: int, positions: int, width: int) -> list[Tensor]:
    """Query, key, value and slope, laid out as a model's projections give them."""
    draw = torch.Generator().manual_seed(5)
    return [
        torch.randn(rows, positions, count, width, generator=draw).bfloat16().transpose(1, 2)
        for count in (heads, key_heads, key_heads, heads)
    ]


def defined(query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
    """In the tensors' own format."""
    return F.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=scaling, enable_gqa=True
    )


@pytest.mark.parametrize(("rows", "heads", "key_heads", "positions", "width", "scaling"), SHAPES)
def test_it_computes_the_definition_and_its_gradient(
    rows: int, heads: int, key_heads: int, positions: int, width: int, scaling: float | None
) -> None:
    *inputs, slope = tensors(rows, heads, key_heads, positions, width)
    exact = [tensor.double().requires_grad_() for tensor in inputs]
    expected = defined(exact[0], exact[1], exact[2], scaling)
    wanted = [expected, *torch.autograd.grad(expected, exact, slope.double())]
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    output = compiled_attention(leaves[0], leaves[1], leaves[2], scaling=scaling)
    found = [output, *torch.autograd.grad(output, leaves, slope)]
    assert_near(found, wanted)


def test_large_scores_are_not_rounded_on_the_way_back() -> None:
    """Rounded to bfloat16, scores of a hundred would be half a nat off."""
    query, key, value, slope = tensors(1, 2, 2, 64, 64)
    query = query * 4
    exact = [tensor.double().requires_grad_() for tensor in (query, key, value)]
    wanted = torch.autograd.grad(defined(exact[0], exact[1], exact[2], 1.0), exact, slope.double())
    leaves = [tensor.clone().requires_grad_() for tensor in (query, key, value)]
    output = compiled_attention(leaves[0], leaves[1], leaves[2], scaling=1.0)
    for right, ours in zip(wanted, torch.autograd.grad(output, leaves, slope), strict=True):
        assert float((ours.double() - right).abs().max()) < 2e-2 * float(right.abs().max())


def test_compiled_layers_take_it_with_its_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced once for all shapes, and only within ``scores_whole``."""
    seen: list[int] = []
    written = compiled_cpu.compiled_attention

    def watched(*given: Tensor, scaling: float | None) -> Tensor:
        seen.append(1)
        return written(*given, scaling=scaling)

    monkeypatch.setattr(attention, "compiled_attention", watched)
    monkeypatch.setattr(attention, "serves", lambda query, key: False)
    layer = nn.Identity()

    def attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return attend(query, key, value, module=layer, scaling=None, window=None)

    for enabled in (False, True):
        torch._dynamo.reset()
        compiled = torch.compile(attended, backend="aot_eager", dynamic=True)
        for positions in (24, 31):
            *inputs, slope = tensors(2, 4, 2, positions, 8)
            found = []
            for function in (attended, compiled):
                leaves = [tensor.clone().requires_grad_() for tensor in inputs]
                with scores_whole(enabled):
                    output = function(*leaves)
                found.append([output, *torch.autograd.grad(output, leaves, slope)])
            for right, ours in zip(*found, strict=True):
                torch.testing.assert_close(ours, right, rtol=2e-2, atol=2e-2)
        assert bool(seen) is enabled


def test_what_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_cpu, "cpu_multiplies_bfloat16", lambda: True)
    assert serves(CPU, torch.bfloat16, LONGEST)
    assert not serves(CPU, torch.bfloat16, LONGEST + 1), "its scores would fill memory"
    assert not serves(CPU, torch.float32, 64)
    assert not serves(torch.device("cuda"), torch.bfloat16, 64)
    monkeypatch.setattr(compiled_cpu, "cpu_multiplies_bfloat16", lambda: False)
    assert not serves(CPU, torch.bfloat16, 64)
