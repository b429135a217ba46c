"""Products with a frozen weight, against PyTorch's own, forward and backward."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.pytorch_utils import Conv1D

from bakeoff.base import products
from bakeoff.base.products import accelerate_products, has_onednn, product

SHAPES = [  # leading axes, width in, width out
    ((1,), 1, 1),
    ((7,), 5, 3),
    ((2, 3, 11), 65, 129),
    ((0,), 4, 6),
    ((4, 33), 128, 515),
]
FORMATS = [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)]

pytestmark = pytest.mark.skipif(not has_onednn(torch.float32), reason="this PyTorch has no oneDNN")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What goes to oneDNN, which takes even the smallest here."""
    for dtype, _ in FORMATS:
        has_onednn(dtype)  # tried once, and not counted
    seen: list[Tensor] = []
    onednn = products._onednn

    def watched(x: Tensor, weight_ED: Tensor, bias_E: Tensor | None) -> Tensor:
        seen.append(x)
        return onednn(x, weight_ED, bias_E)

    monkeypatch.setattr(products, "SMALLEST", 0)
    monkeypatch.setattr(products, "_onednn", watched)
    return seen


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "tolerance"), FORMATS)
@pytest.mark.parametrize("turned", [False, True], ids=["as it lies", "transposed view"])
@pytest.mark.parametrize("with_bias", [False, True])
def test_equals_linear_forward_and_backward(
    shape: tuple[tuple[int, ...], int, int],
    dtype: torch.dtype,
    tolerance: float,
    turned: bool,
    with_bias: bool,
    calls: list[Tensor],
) -> None:
    if not has_onednn(dtype):
        pytest.skip(f"this PyTorch's oneDNN computes no {dtype} on this processor")
    leading, width, out = shape
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(*leading, width, generator=draw).to(dtype)
    weight = torch.randn(out, width, generator=draw).to(dtype)
    if turned:
        weight = weight.t().contiguous().t()
    bias = torch.randn(out, generator=draw).to(dtype) if with_bias else None
    slope = torch.randn(*leading, out, generator=draw).to(dtype)
    outcomes = []
    for compute in (F.linear, product):
        leaf = x.clone().requires_grad_()
        y = compute(leaf, weight, bias)
        y.backward(slope)
        assert leaf.grad is not None
        outcomes.append((y.detach(), leaf.grad))
    for expected, actual in zip(*outcomes, strict=True):
        assert actual.dtype == dtype
        scale = float(expected.abs().max()) if expected.numel() else 1.0
        torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance * scale)
    assert len(calls) == 2, "one product forward, one backward"


def test_takes_rows_in_any_layout(calls: list[Tensor]) -> None:
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(5, 4, 6, generator=draw).transpose(0, 1)
    weight = torch.randn(3, 6, generator=draw)
    torch.testing.assert_close(product(x, weight), F.linear(x, weight))
    assert calls


def test_slopes_of_slopes_are_right(calls: list[Tensor]) -> None:
    draw = torch.Generator().manual_seed(2)
    x = torch.randn(4, 5, generator=draw, dtype=torch.float32)
    weight = torch.randn(3, 5, generator=draw)
    found = []
    for compute in (F.linear, product):
        leaf = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(compute(leaf, weight).pow(3).sum(), leaf, create_graph=True)
        slope.square().sum().backward()
        assert leaf.grad is not None
        found.append(leaf.grad)
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-3)


def _trained_weight() -> tuple[Tensor, Tensor]:
    return torch.ones(2, 3), torch.ones(4, 3, requires_grad=True)


def _other_formats() -> tuple[Tensor, Tensor]:
    return torch.ones(2, 3, dtype=torch.float64), torch.ones(4, 3, dtype=torch.float64)


@pytest.mark.parametrize("make", [_trained_weight, _other_formats])
def test_what_onednn_does_not_do_goes_the_usual_way(make: Any, calls: list[Tensor]) -> None:
    x, weight = make()
    assert torch.equal(product(x, weight), F.linear(x, weight))
    assert not calls


def test_a_trained_weight_gets_its_gradient(calls: list[Tensor]) -> None:
    x, weight = _trained_weight()
    product(x, weight).sum().backward()
    assert weight.grad is not None and weight.grad.unique().tolist() == [2.0]


def test_autocast_compilation_and_traces_see_the_usual_operation(calls: list[Tensor]) -> None:
    x, weight = torch.ones(2, 3), torch.ones(4, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert product(x, weight).dtype == torch.bfloat16
    with FakeTensorMode(allow_non_fake_inputs=True):
        product(torch.ones(2, 3), weight)
    torch.compile(product, backend="eager", fullgraph=True)(x, weight)
    assert not calls


def test_small_products_stay_where_they_are() -> None:
    rows = products.SMALLEST // (64 * 64)
    weight = torch.ones(64, 64)
    assert products._is_for_onednn(torch.ones(rows, 64), weight, None)
    assert not products._is_for_onednn(torch.ones(rows - 1, 64), weight, None)


@pytest.mark.parametrize("failure", [AttributeError, RuntimeError, None])
def test_a_kernel_that_is_missing_or_wrong_is_not_used(
    failure: type[Exception] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(x: Tensor, weight_ED: Tensor, bias_E: Tensor | None) -> Tensor:
        if failure is not None:
            raise failure("no")
        return F.linear(x, weight_ED, bias_E) * 1.001

    monkeypatch.setattr(products, "SMALLEST", 0)
    monkeypatch.setattr(products, "_onednn", broken)
    has_onednn.cache_clear()
    try:
        x, weight = torch.ones(2, 3), torch.ones(4, 3)
        assert torch.equal(product(x, weight), F.linear(x, weight))
    finally:
        has_onednn.cache_clear()


def test_every_linear_layer_of_a_model_is_quickened_and_copies_stay_so(
    calls: list[Tensor],
) -> None:
    config = LlamaConfig(
        vocab_size=31,
        hidden_size=12,
        intermediate_size=20,
        num_hidden_layers=2,
        num_attention_heads=3,
        num_key_value_heads=1,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval().requires_grad_(False)
    conv = Conv1D(7, 5).requires_grad_(False)
    ids = torch.arange(1, 9)[None]
    x = torch.randn(3, 5)
    before, conv_before = model(ids).logits, conv(x)
    names = list(model.state_dict())
    outer: Any = nn.ModuleList([model, conv])
    accelerate_products(outer)
    twin = copy.deepcopy(model)
    calls.clear()
    torch.testing.assert_close(twin(ids).logits, before)
    assert len(calls) == 2 * 7 + 1, "seven layers in each block, and the head"
    torch.testing.assert_close(conv(x), conv_before)
    assert len(calls) == 2 * 7 + 2
    assert list(twin.state_dict()) == names
    assert isinstance(twin.lm_head, nn.Linear)
