"""A linear layer in 8 and 4 bits: its size, its products, and what is kept between passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from bakeoff.base.devices import GpuProfile, standing_for
from bakeoff.base.frozen import frozen_weight
from bakeoff.base.quantized.linear import QuantizedLinear, quantized
from bakeoff.base.quantized.models import whole_linear
from bakeoff.base.quantized.storage import Kind, bitsandbytes, packed_bytes
from bakeoff.errors import ConfigError
from bakeoff.measure.tracing import Trace

pytest.importorskip("bitsandbytes")

KINDS: tuple[Kind, ...] = ("nf4", "int8")
# The second one's rows are no multiple of a block, nor is the whole.
SHAPES = ((128, 192), (28, 50))


@pytest.fixture(params=SHAPES, ids=str)
def linear(request: pytest.FixtureRequest) -> nn.Linear:
    torch.manual_seed(0)
    num_out, num_in = request.param
    return nn.Linear(num_in, num_out)


@pytest.mark.parametrize("kind", KINDS)
def test_it_computes_what_a_layer_of_the_unpacked_weight_computes(
    linear: nn.Linear, kind: Kind
) -> None:
    layer = quantized(linear, kind)
    whole = whole_linear(layer, torch.float32)
    x = torch.randn(2, 7, linear.in_features, requires_grad=True)
    weights = torch.randn(2, 7, linear.out_features)
    found, expected = layer(x), whole(x)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    [ours] = torch.autograd.grad((found * weights).sum(), x)
    [theirs] = torch.autograd.grad((expected * weights).sum(), x)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    # Near the weight that was packed, in steps of a 7th, or a 127th, of the largest of a block.
    error = (layer.weight - linear.weight).abs().max() / linear.weight.abs().max()
    assert 0 < error <= (0.2 if kind == "nf4" else 0.01)


def test_four_bits_are_those_of_bitsandbytes(linear: nn.Linear) -> None:
    functional = bitsandbytes().functional
    packed, state = functional.quantize_4bit(
        linear.weight.detach(), blocksize=64, compress_statistics=True, quant_type="nf4"
    )
    layer = quantized(linear, "nf4")
    assert torch.equal(layer.get_buffer("packed"), packed)
    expected = functional.dequantize_4bit(packed, state)
    assert torch.equal(layer.unpacked(torch.float32), expected)


@pytest.mark.parametrize(("kind", "most"), [("nf4", 0.27), ("int8", 0.52)])
def test_its_share_of_sixteen_bits(kind: Kind, most: float) -> None:
    layer = quantized(nn.Linear(1024, 512, bias=False), kind)
    held = sum(t.numel() * t.element_size() for name, t in layer.named_buffers() if name != "code")
    assert held <= most * 2 * 1024 * 512
    assert held == packed_bytes(1024 * 512, 512, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_unpacked_is_kept_for_the_backward_pass(kind: Kind) -> None:
    layer = quantized(nn.Linear(128, 96), kind)
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    x = torch.randn(3, 128, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        layer(x)
    assert kept
    assert not [t for t in kept if t.is_floating_point() and t.numel() >= 128 * 96]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_unpacked_once_in_each_pass(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    place: Any = "bakeoff.base.quantized.linear.unpacked"
    from bakeoff.base.quantized import linear as module

    original: Callable[..., Tensor] = vars(module)["unpacked"]

    def counted(*arguments: Any) -> Tensor:
        nonlocal calls
        calls += 1
        return original(*arguments)

    monkeypatch.setattr(place, counted)
    layer = quantized(nn.Linear(64, 64), kind)
    x = torch.randn(4, 5, 64, requires_grad=True)  # four slots' rows
    y = layer(x)
    assert calls == 1
    y.sum().backward()
    assert calls == 2


@pytest.mark.parametrize("kind", (*KINDS, "none"))
@pytest.mark.parametrize("is_transposed", [False, True])
def test_the_provider_of_a_weight(linear: nn.Linear, kind: Any, is_transposed: bool) -> None:
    layer: Any = linear
    if is_transposed:
        layer = Conv1D(linear.out_features, linear.in_features)
        layer.weight = nn.Parameter(linear.weight.detach().t().contiguous())
    if kind != "none":
        layer = quantized(layer, kind)
        assert isinstance(layer, QuantizedLinear) and layer.was_transposed is is_transposed
        weight_DE = layer.unpacked(torch.float32).t()
    else:
        weight_DE = linear.weight.detach().t()
    weight = frozen_weight(layer)
    x, y = torch.randn(3, linear.in_features), torch.randn(3, linear.out_features)
    near: Any = {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(weight.matmul(x), x @ weight_DE, **near)
    torch.testing.assert_close(weight.matmul_transposed(y), y @ weight_DE.t(), **near)
    torch.testing.assert_close(weight.column_squares(), weight_DE.square().sum(dim=0), **near)


def test_without_bitsandbytes_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Any:
        raise ImportError("No module named 'bitsandbytes'")

    monkeypatch.setattr("bakeoff.base.quantized.storage._imported", missing)
    with pytest.raises(ConfigError, match=r"pip install 'bakeoff\[quantization\]'"):
        quantized(nn.Linear(64, 64), "nf4")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_on_a_card_eight_bits_are_unpacked_with_no_copy_in_float32(
    linear: nn.Linear, dtype: torch.dtype
) -> None:
    layer = quantized(linear, "int8")
    expected = layer.unpacked(dtype)
    with standing_for(GpuProfile(is_ampere=True)), Trace([layer]) as trace:
        found = layer.unpacked(dtype)
    assert torch.equal(found, expected)
    scales = 4 * linear.out_features
    assert trace.peak_bytes == found.nbytes + scales
    # The weight in 8 bits once, its scales twice, and what is made of them.
    assert trace.work.bytes_moved == found.numel() + found.nbytes + 3 * scales
