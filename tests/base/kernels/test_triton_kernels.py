"""Our kernels in Triton's interpreter, against plain PyTorch (``make kernels``)."""

from __future__ import annotations

import importlib.util
import os
from types import ModuleType

import pytest
import torch
from torch import Tensor

from bakeoff.base.kernels.fused import first_fault, fused_kernels
from bakeoff.engine import optimizer as optimizers
from bakeoff.engine import slopes
from bakeoff.engine.loss import linear_cross_entropy
from bakeoff.engine.optimizer import SlotAdamW
from bakeoff.methods.low_rank import dropout
from bakeoff.methods.training_pass import TrainingPass

CPU = torch.device("cpu")
needs_interpreter = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None or os.environ.get("TRITON_INTERPRET") != "1",
    reason="Triton is not installed, or not set to interpret; `make kernels` runs these",
)


@pytest.fixture
def kernels() -> ModuleType:
    from bakeoff.base.kernels import triton_kernels

    return triton_kernels


@needs_interpreter
def test_a_fault_of_a_kernel_is_found_before_it_is_used(
    kernels: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert first_fault(kernels, CPU) is None
    original = kernels.cross_entropy

    def wrong(*given: Tensor) -> Tensor:
        found: Tensor = original(*given)
        return found + 1e-3

    with monkeypatch.context() as patch:
        patch.setattr(kernels, "cross_entropy", wrong)
        assert first_fault(kernels, CPU) == "losses of logits differ"
    with monkeypatch.context() as patch:
        patch.setattr(kernels, "update", lambda *given, **named: None)
        assert first_fault(kernels, CPU) == "AdamW's update differs"
    monkeypatch.setattr(kernels, "dropped", lambda x, *given, **named: x)
    assert first_fault(kernels, CPU) == "dropout leaves other numbers"


@needs_interpreter
@pytest.mark.parametrize("cap", [None, 3.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_losses_and_gradients_are_those_of_plain_pytorch(
    kernels: ModuleType, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, cap: float | None
) -> None:
    draw = torch.Generator().manual_seed(4)
    hidden = torch.randn(2, 37, 8, generator=draw).to(dtype)
    weight = torch.randn(2, 5003, 8, generator=draw)
    targets = torch.randint(0, 5003, (2, 37), generator=draw)
    mask = torch.rand(2, 37, generator=draw) < 0.8
    found = []
    for chosen in (None, kernels):
        monkeypatch.setattr(slopes, "fused_kernels", lambda tensor, chosen=chosen: chosen)
        x, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        sums, each = linear_cross_entropy(x, w, None, targets, mask, cap=cap)
        sums.sum().backward()
        with torch.no_grad():
            alone, _ = linear_cross_entropy(x, w, None, targets, mask, cap=cap)
        assert x.grad is not None and w.grad is not None
        found.append((sums.detach(), each, alone, x.grad.float(), w.grad))
    near = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}[dtype]
    for number, (plain, fused) in enumerate(zip(*found, strict=True)):
        gap = (plain - fused).norm() / plain.norm()
        assert gap < (1e-5 if number < 3 else near), number


@needs_interpreter
@pytest.mark.parametrize("has_ratio", [False, True])
@pytest.mark.parametrize("clip", [None, 1.0])
def test_an_update_is_that_of_plain_pytorch(
    kernels: ModuleType, monkeypatch: pytest.MonkeyPatch, has_ratio: bool, clip: float | None
) -> None:
    """Also for a slot whose gradient is not finite, and one that is empty."""
    draw = torch.Generator().manual_seed(5)
    ratio_n = torch.rand(1500, generator=draw) < 0.3 if has_ratio else None
    grads = torch.randn(4, 3, 1500, generator=draw)
    grads[2, 1, 7] = torch.nan
    values = torch.randn(3, 1500, generator=draw)
    both = []
    for chosen in (None, kernels):
        monkeypatch.setattr(optimizers, "fused_kernels", lambda tensor, chosen=chosen: chosen)
        optimizer = SlotAdamW(3, 1500, device=CPU, max_grad_norm=clip, has_ratio_n=ratio_n)
        optimizer.values_Kn.copy_(values)
        for slot in (0, 1):
            optimizer.reset(slot, weight_decay=0.1, rate_ratio=8.0 if has_ratio else 1.0)
        optimizer.vacate(2)
        for given in grads:
            optimizer.grads_Kn.copy_(given)
            optimizer.step(torch.tensor([1e-2, 1e-3, 1.0]).double(), torch.ones(3))
        both.append(optimizer)
    plain, fused = both
    assert plain.alive_K.tolist() == fused.alive_K.tolist() == [True, False, False]
    assert not fused.values_Kn[2].any()
    torch.testing.assert_close(fused.values_Kn, plain.values_Kn, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(fused.grads_Kn, plain.grads_Kn, rtol=1e-6, atol=1e-6)
    for slot in range(3):
        for name, row in plain.moments(slot).items():
            torch.testing.assert_close(fused.moments(slot)[name], row, rtol=1e-6, atol=1e-7)


@needs_interpreter
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("width", [5, 1100])
def test_dropout_leaves_what_plain_pytorch_leaves(
    kernels: ModuleType, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, width: int
) -> None:
    """Forward and backward, also of views and for a slot without dropout.

    To the bit, but in bfloat16, to which Triton's interpreter does not round but cuts.
    """
    draw = torch.Generator().manual_seed(6)
    x = torch.randn(3, width, 12, generator=draw).to(dtype).transpose(1, 2)
    slope = torch.randn(3, 12, width, generator=draw).to(dtype)
    now = TrainingPass(
        seed_K=torch.tensor([1, 2**31 + 5, -3]),
        update_K=torch.tensor([0, 7, 2**20]),
        first_row=torch.tensor(5),
        num_rows=4,
    )
    shares = (0.1, 0.0, 0.6)
    threshold_K = torch.tensor([dropout.threshold(share) for share in shares], dtype=torch.int32)
    scale_K = torch.tensor([1 / (1 - share) for share in shares])
    found = []
    for chosen in (None, kernels):
        monkeypatch.setattr(dropout, "fused_kernels", lambda tensor, chosen=chosen: chosen)
        leaf = x.detach().requires_grad_()
        left = dropout.dropped(leaf, now, 987654321, threshold_K, scale_K)
        left.backward(slope)
        assert leaf.grad is not None
        found.append((left.detach(), leaf.grad))
    for plain, fused in zip(*found, strict=True):
        assert torch.equal(plain == 0, fused == 0)
        near = 8e-3 if dtype == torch.bfloat16 else 0
        torch.testing.assert_close(fused, plain, rtol=near, atol=0)
    assert torch.equal(found[1][0][1], x[1]) and not torch.equal(found[1][0][0], x[0])


def test_without_a_card_plain_pytorch_computes() -> None:
    assert fused_kernels(torch.zeros(1)) is None
