"""The chunked cross-entropy against PyTorch's own, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bakeoff.base.devices import GpuProfile, standing_for
from bakeoff.engine import loss
from bakeoff.engine.loss import chunk_tokens, linear_cross_entropy
from bakeoff.measure.tracing import Trace, traced

CHUNK_TOKENS = chunk_tokens(torch.device("cpu"))

SHAPES = [  # slots, tokens, width, vocabulary
    (1, 1, 3, 5),
    (3, 7, 8, 11),
    (2, CHUNK_TOKENS, 5, 17),
    (2, CHUNK_TOKENS + 1, 5, 17),
    (1, 2 * CHUNK_TOKENS + 31, 7, 13),
    (2, CHUNK_TOKENS + 1, 129, 515),  # large enough for oneDNN
]


def make(
    shape: tuple[int, int, int, int], *, per_slot: bool, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hidden states, head, targets, and a mask that drops about a third."""
    num_slots, num_tokens, width, vocabulary = shape
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(num_slots, num_tokens, width, generator=generator)
    head_shape = (num_slots, vocabulary, width) if per_slot else (vocabulary, width)
    weight = torch.randn(head_shape, generator=generator)
    targets = torch.randint(vocabulary, (num_slots, num_tokens), generator=generator)
    mask = torch.rand(num_slots, num_tokens, generator=generator) > 0.3
    mask[:, 0] = True
    return hidden, weight, targets, mask


def expected_nlls(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, mask: Tensor
) -> Tensor:
    """[K, N] by the full logits."""
    per_slot = weight.dim() == 3
    logits = hidden @ (weight.transpose(1, 2) if per_slot else weight.t())
    logits = logits if bias is None else logits + bias
    nlls = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    return nlls.view(targets.shape) * mask


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("per_slot", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
def test_loss_and_gradients_are_those_of_cross_entropy(
    shape: tuple[int, int, int, int], per_slot: bool, with_bias: bool
) -> None:
    hidden, weight, targets, mask = make(shape, per_slot=per_slot)
    # A head shared by several slots is frozen: only one slot's own may be trained. So is a bias.
    trains_head = per_slot or shape[0] == 1
    factor_K = torch.arange(1, shape[0] + 1) / 7
    outcomes = []
    for compute in (expected_nlls, linear_cross_entropy):
        x = hidden.clone().requires_grad_()
        w = weight.clone().requires_grad_(trains_head)
        bias = None
        if with_bias:
            bias = torch.linspace(-1, 1, shape[3]).requires_grad_(shape[0] == 1)
        if compute is expected_nlls:
            each = expected_nlls(x, w, bias, targets, mask)
            sums = each.sum(dim=1)
        else:
            sums, each = linear_cross_entropy(x, w, bias, targets, mask)
        (sums * factor_K).sum().backward()
        bias_grad = None if bias is None else bias.grad
        outcomes.append((sums.detach(), each.detach(), x.grad, w.grad, bias_grad))
    names = ("sums", "each", "hidden", "head", "bias")
    for name, expected, actual in zip(names, *outcomes, strict=True):
        assert (expected is None) == (actual is None), name
        if expected is not None:
            torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5, msg=name)
    assert not outcomes[1][1].requires_grad


def test_chunks_are_larger_where_reading_the_head_costs_as_much_as_the_arithmetic() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert chunk_tokens(cpu, 512 * 64) == CHUNK_TOKENS == 32
    assert chunk_tokens(cpu, 50257 * 768) == 128
    assert chunk_tokens(cuda) == chunk_tokens(cuda, 50257 * 768) == 256


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("per_slot", [False, True])
def test_scaled_sums_add_their_gradient_where_the_head_keeps_it(
    shape: tuple[int, int, int, int], per_slot: bool
) -> None:
    hidden, weight, targets, mask = make(shape, per_slot=per_slot)
    if not per_slot and shape[0] > 1:
        weight.requires_grad_(False)
    scale_K = torch.arange(1, shape[0] + 1) / 7
    before = torch.randn(weight.shape, generator=torch.Generator().manual_seed(3))
    outcomes = []
    for scaled in (False, True):
        x = hidden.clone().requires_grad_()
        w = weight.clone().requires_grad_(per_slot or shape[0] == 1)
        place = w.grad = before.clone() if w.requires_grad else None
        for _ in range(2):  # two passes of an update
            if scaled:
                sums, each = linear_cross_entropy(x, w, None, targets, mask, scale_K)
            else:
                sums, each = linear_cross_entropy(x, w, None, targets, mask)
                sums = sums * scale_K
            sums.sum().backward()
        if place is not None:
            assert w.grad is place, "graphs hold this very memory"
        outcomes.append((sums.detach(), each, x.grad, w.grad))
    for name, expected, actual in zip(("sums", "each", "hidden", "head"), *outcomes, strict=True):
        assert (expected is None) == (actual is None), name
        if expected is not None:
            torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5, msg=name)


def test_a_head_without_a_gradient_of_its_own_gets_it_by_the_backward_pass() -> None:
    hidden, weight, targets, mask = make((1, 9, 4, 7), per_slot=False)
    weight.requires_grad_()
    sums, _ = linear_cross_entropy(hidden, weight, None, targets, mask, torch.full((1,), 0.5))
    (grad,) = torch.autograd.grad(sums.sum(), weight)
    assert grad.any() and weight.grad is None


def test_without_gradients_no_gradient_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A leaf that is trained asks for one even in an evaluation."""

    def never(*arguments: Tensor) -> None:
        raise AssertionError("an evaluation computed a gradient")

    monkeypatch.setattr(loss, "_add_outer", never)
    hidden, weight, targets, mask = make((1, 9, 4, 7), per_slot=True)
    weight.requires_grad_()
    with torch.no_grad():
        linear_cross_entropy(hidden, weight, None, targets, mask)
    with pytest.raises(AssertionError, match="computed a gradient"):
        linear_cross_entropy(hidden, weight, None, targets, mask)


@pytest.mark.parametrize("per_slot", [False, True])
def test_a_gpu_s_products_give_the_same_gradients(per_slot: bool) -> None:
    hidden, weight, targets, mask = make((3 if per_slot else 1, 40, 6, 15), per_slot=per_slot)
    outcomes = []
    for profile in (None, GpuProfile(is_ampere=True)):
        x, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        with standing_for(profile):
            sums, _ = linear_cross_entropy(x, w, None, targets, mask)
            sums.sum().backward()
        outcomes.append((sums.detach(), x.grad, w.grad))
    for expected, actual in zip(*outcomes, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("per_slot", [False, True])
def test_a_gpu_s_products_of_few_bits_give_the_gradients_within_their_rounding(
    monkeypatch: pytest.MonkeyPatch, per_slot: bool, dtype: torch.dtype
) -> None:
    """Also with a scale of the loss that would carry hidden states out of float16."""
    # As the card computes it: a CPU has no product of few bits that is written in float32.
    monkeypatch.setattr(loss, "wide_product", lambda left, right: left.float() @ right.float())
    hidden, weight, targets, mask = make((3 if per_slot else 1, 40, 6, 15), per_slot=per_slot)
    hidden *= 100
    weight /= 100
    scale_K = torch.full((len(hidden),), 2.0**11)
    outcomes = []
    for given, profile in ((torch.float32, None), (dtype, GpuProfile(is_ampere=True))):
        x = hidden.to(given).detach().requires_grad_()
        w = weight.clone().requires_grad_()
        with standing_for(profile):
            sums, _ = linear_cross_entropy(x, w, None, targets, mask, scale_K)
            sums.sum().backward()
        assert x.grad is not None and w.grad is not None and w.grad.dtype == torch.float32
        outcomes.append((sums.detach(), x.grad.float(), w.grad))
    for expected, actual in zip(*outcomes, strict=True):
        assert actual.isfinite().all()
        assert (actual - expected).norm() / expected.norm() < (
            1e-2 if dtype == torch.bfloat16 else 2e-3
        )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("per_slot", [False, True])
def test_no_product_of_the_vocabulary_on_a_gpu_is_in_float32(
    per_slot: bool, dtype: torch.dtype
) -> None:
    """At least 14 ms of an update of a head of 50,257 x 768 on an H100, and 117 ms on a T4."""
    slots, tokens, width, vocabulary = 2 if per_slot else 1, 300, 16, 1000
    shape = (slots, vocabulary, width) if per_slot else (vocabulary, width)
    with traced(gpu=GpuProfile(is_ampere=True)):
        hidden = torch.empty(slots, tokens, width, dtype=dtype, requires_grad=True)
        weight = torch.empty(shape, requires_grad=True)
        targets = torch.empty(slots, tokens, dtype=torch.int64)
        with Trace() as trace:
            sums, _ = linear_cross_entropy(hidden, weight, None, targets, targets.bool())
            sums.sum().backward()
    size = chunk_tokens(torch.device("cuda"))
    product = 2.0 * slots * -(-tokens // size) * size * width * vocabulary
    assert trace.work.flops == {dtype: 3 * product}
    # A chunk's logits and slopes, the head's copy in few bits and its gradient; padded hidden
    # states and their gradient are small beside them.
    logits = slots * size * vocabulary
    assert trace.peak_bytes < 1.25 * (logits * (4 + 2) + weight.numel() * (2 + 4))


def test_no_tokens_give_zero_and_zero_gradients() -> None:
    hidden = torch.zeros(2, 0, 4, requires_grad=True)
    weight = torch.randn(2, 9, 4, requires_grad=True)
    targets = torch.zeros(2, 0, dtype=torch.int64)
    sums, each = linear_cross_entropy(hidden, weight, None, targets, targets.bool())
    sums.sum().backward()
    assert sums.tolist() == [0.0, 0.0]
    assert each.shape == (2, 0)
    assert hidden.grad is not None and hidden.grad.shape == (2, 0, 4)
    assert weight.grad is not None and not weight.grad.any()


def test_masked_tokens_change_nothing_even_when_they_are_not_finite() -> None:
    hidden, weight, targets, mask = make((2, 40, 6, 15), per_slot=False)
    outcomes = []
    for filler in (0.0, float("inf")):
        x = torch.where(mask[..., None], hidden, filler).requires_grad_()
        sums, each = linear_cross_entropy(x, weight, None, targets, mask)
        sums.sum().backward()
        outcomes.append((sums.detach(), each, x.grad))
    for clean, dirty in zip(*outcomes, strict=True):
        assert clean is not None and dirty is not None
        assert torch.equal(clean, dirty)


@pytest.mark.parametrize("per_slot", [False, True])
def test_bfloat16_hidden_states(per_slot: bool) -> None:
    hidden, weight, targets, mask = make((2, 300, 16, 33), per_slot=per_slot)
    exact = hidden.clone().requires_grad_()
    expected = expected_nlls(exact, weight, None, targets, mask).sum(dim=1)
    expected.sum().backward()
    low = hidden.bfloat16().requires_grad_()
    # The frozen shared head is kept in compute dtype, a slot's own in float32.
    head = weight if per_slot else weight.bfloat16()
    sums, _ = linear_cross_entropy(low, head, None, targets, mask)
    assert sums.dtype == torch.float32
    sums.sum().backward()
    torch.testing.assert_close(sums, expected, rtol=1e-2, atol=0)
    assert low.grad is not None and exact.grad is not None
    gap = (low.grad.float() - exact.grad).norm() / exact.grad.norm()
    assert gap < 2e-2


@pytest.mark.parametrize("per_slot", [False, True])
@pytest.mark.parametrize("num_own", [3, 200, CHUNK_TOKENS, CHUNK_TOKENS + 40])
def test_a_slot_is_to_the_bit_independent_of_its_neighbours_tokens(
    per_slot: bool, num_own: int
) -> None:
    """Slot 0 has the same tokens; its neighbour has none, as many, or several chunks more."""
    longest = 5 * CHUNK_TOKENS + 3
    hidden, weight, targets, _ = make((2, longest, 24, 101), per_slot=per_slot)
    outcomes = []
    for num_other in (0, num_own, longest):
        size = max(num_own, num_other)
        mask = torch.zeros(2, size, dtype=torch.bool)
        mask[0, :num_own], mask[1, :num_other] = True, True
        x = hidden[:, :size].clone().requires_grad_()
        w = weight.clone().requires_grad_(per_slot)
        sums, each = linear_cross_entropy(x, w, None, targets[:, :size], mask)
        (sums / 3).sum().backward()
        assert x.grad is not None
        head_grad = torch.zeros(1) if w.grad is None else w.grad[0]
        outcomes.append((sums[0].detach(), each[0, :num_own], x.grad[0, :num_own], head_grad))
    for other in outcomes[1:]:
        for name, expected, actual in zip(
            ("sum", "each", "hidden", "head"), outcomes[0], other, strict=True
        ):
            assert torch.equal(actual, expected), name
