"""The stacked AdamW against ``torch.optim.AdamW``, and slots that leave the finite numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.utils._python_dispatch import TorchDispatchMode

from bakeoff.engine.optimizer import Part, SlotAdamW

CPU = torch.device("cpu")
NUM_SLOTS, NUM_VALUES, NUM_UPDATES = 4, 301, 30
RATES = [1e-3, 5e-2, 0.3, 7e-5]


def start(seed: int = 3) -> Tensor:
    return torch.randn(NUM_SLOTS, NUM_VALUES, generator=torch.Generator().manual_seed(seed))


def gradients(update: int, spread: float = 1.0) -> Tensor:
    """Gradients of very different sizes, some of them exactly zero."""
    generator = torch.Generator().manual_seed(1000 + update)
    drawn = torch.randn(NUM_SLOTS, NUM_VALUES, generator=generator)
    sizes = 10.0 ** torch.randint(-6, 3, drawn.shape, generator=generator)
    return spread * drawn * sizes * (torch.rand(drawn.shape, generator=generator) > 0.1)


def rates_at(update: int) -> Tensor:
    return torch.tensor(RATES, dtype=torch.float64) * (1 - update / 60)


def optimizer_of(values: Tensor, **options: object) -> SlotAdamW:
    decay = {k: options.pop(k) for k in ("weight_decay",) if k in options}
    optimizer = SlotAdamW(*values.shape, device=CPU, **options)  # type: ignore[arg-type]
    for slot in range(len(values)):
        optimizer.reset(slot, **decay)  # type: ignore[arg-type]
    optimizer.values_Kn.copy_(values)
    return optimizer


def advance(optimizer: SlotAdamW, grads: Tensor, rates_K: Tensor) -> Tensor:
    optimizer.zero_grad()
    optimizer.grads_Kn += grads
    return optimizer.step(rates_K, torch.zeros(len(grads)))


def plain(slot: int, *, weight_decay: float, max_grad_norm: float | None) -> list[Tensor]:
    """One slot's values after each update by PyTorch's single-tensor AdamW."""
    value = torch.nn.Parameter(start()[slot].clone())
    optimizer = torch.optim.AdamW([value], lr=1.0, weight_decay=weight_decay, foreach=False)
    trail = []
    for update in range(NUM_UPDATES):
        value.grad = gradients(update)[slot].clone()
        if max_grad_norm is not None:
            clip_grad_norm_([value], max_grad_norm)
        optimizer.param_groups[0]["lr"] = rates_at(update)[slot].item()
        optimizer.step()
        trail.append(value.detach().clone())
    return trail


@pytest.mark.parametrize("weight_decay", [0.0, 0.01, 0.3])
def test_without_clip_equal_to_pytorch_to_the_bit(weight_decay: float) -> None:
    optimizer = optimizer_of(start(), weight_decay=weight_decay, max_grad_norm=None)
    expected = [plain(k, weight_decay=weight_decay, max_grad_norm=None) for k in range(NUM_SLOTS)]
    for update in range(NUM_UPDATES):
        norm_K = advance(optimizer, gradients(update), rates_at(update))
        torch.testing.assert_close(norm_K, gradients(update).norm(dim=1))
        for slot in range(NUM_SLOTS):
            assert torch.equal(optimizer.values_Kn[slot], expected[slot][update]), (update, slot)


@pytest.mark.parametrize("max_grad_norm", [0.5, 1e9])
def test_with_clip_equal_to_clip_grad_norm(max_grad_norm: float) -> None:
    optimizer = optimizer_of(start(), weight_decay=0.01, max_grad_norm=max_grad_norm)
    expected = [plain(k, weight_decay=0.01, max_grad_norm=max_grad_norm) for k in range(NUM_SLOTS)]
    for update in range(NUM_UPDATES):
        advance(optimizer, gradients(update), rates_at(update))
        for slot in range(NUM_SLOTS):
            values = optimizer.values_Kn[slot]
            gap = (values - expected[slot][update]).norm() / expected[slot][update].norm()
            assert gap < 1e-6, (update, slot)


def test_the_clip_is_by_all_values_where_other_processes_hold_some() -> None:
    grads = torch.stack([torch.full((4,), 3.0), torch.full((4,), 0.1)])
    rates_K = torch.zeros(2, dtype=torch.float64)
    whole, parted = (
        optimizer_of(torch.zeros(2, 4), max_grad_norm=1.0, num_replicated=own) for own in (None, 1)
    )
    torch.testing.assert_close(advance(parted, grads, rates_K), torch.tensor([6.0, 0.2]))
    advance(whole, grads, rates_K)
    torch.testing.assert_close(parted.grads_Kn, whole.grads_Kn)


def test_the_clip_is_each_slots_own() -> None:
    """A neighbour with a huge gradient is clipped; a small gradient stays as it is."""
    grads = torch.stack([torch.full((4,), 0.1), torch.full((4,), 1e6)])
    optimizer = optimizer_of(torch.zeros(2, 4), max_grad_norm=1.0)
    advance(optimizer, grads, torch.zeros(2, dtype=torch.float64))
    assert torch.equal(optimizer.grads_Kn[0], grads[0])
    torch.testing.assert_close(optimizer.grads_Kn[1].norm(), torch.tensor(1.0))


PARTS = [
    Part(slots=slice(0, 2), numbers=slice(0, 90)),
    Part(slots=slice(2, 3), numbers=slice(90, 301)),
]
"""The last slot has none."""


@pytest.mark.parametrize("ratio", [1.0, 16.0])
@pytest.mark.parametrize("max_grad_norm", [None, 0.5])
def test_an_update_of_parts_is_that_of_rows_of_these_numbers(
    max_grad_norm: float | None, ratio: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "bakeoff.engine.optimizer._block_values", lambda device: 64
    )  # several blocks
    has_ratio_n = torch.arange(NUM_VALUES) % 3 == 0
    limited = optimizer_of(start(), max_grad_norm=max_grad_norm, has_ratio_n=has_ratio_n)
    limited.limit_to(PARTS)
    apart = [
        optimizer_of(
            start()[part.slots, part.numbers],
            max_grad_norm=max_grad_norm,
            has_ratio_n=has_ratio_n[part.numbers],
        )
        for part in PARTS
    ]
    for optimizer in (limited, *apart):
        optimizer.rate_ratio_K.fill_(ratio)
    for update in range(5):
        grads, rates_K = gradients(update), rates_at(update)
        limited.zero_grad()
        # What does not count may be anything.
        limited.grads_Kn.fill_(float("nan"))
        for part in PARTS:
            limited.grads_Kn[part.slots, part.numbers] = grads[part.slots, part.numbers]
        norm_K = limited.step(rates_K, torch.zeros(NUM_SLOTS))
        for part, own in zip(PARTS, apart, strict=True):
            own_norm_K = advance(own, grads[part.slots, part.numbers], rates_K[part.slots])
            torch.testing.assert_close(norm_K[part.slots], own_norm_K)
    untouched = torch.ones(NUM_SLOTS, NUM_VALUES, dtype=torch.bool)
    for part, own in zip(PARTS, apart, strict=True):
        untouched[part.slots, part.numbers] = False
        assert torch.equal(limited.values_Kn[part.slots, part.numbers], own.values_Kn)
    assert torch.equal(limited.values_Kn[untouched], start()[untouched])
    assert not limited.moments(0)["first"][untouched[0]].any()


def test_gradients_of_parts_are_cleared() -> None:
    optimizer = optimizer_of(start())
    optimizer.limit_to(PARTS)
    optimizer.grads_Kn.fill_(1.0)
    optimizer.zero_grad()
    assert not any(optimizer.grads_Kn[part.slots, part.numbers].any() for part in PARTS)
    optimizer.limit_to(None)
    optimizer.zero_grad()
    assert not optimizer.grads_Kn.any()


@pytest.mark.parametrize("max_grad_norm", [None, 1.0])
@pytest.mark.parametrize("poison", [float("nan"), float("inf"), 1e38])
def test_a_slot_that_is_not_finite_stops_and_its_neighbours_do_not_notice(
    max_grad_norm: float | None, poison: float
) -> None:
    sick, tame = (optimizer_of(start(), max_grad_norm=max_grad_norm) for _ in range(2))
    for update in range(8):
        grads = gradients(update)
        advance(tame, grads, rates_at(update))
        before = sick.values_Kn[1].clone()
        if update == 3:
            grads[1, 5:7] = poison  # 1e38 is finite, but the norm is not
        advance(sick, grads, rates_at(update))
        if update >= 3:
            assert torch.equal(sick.values_Kn[1], before)
        assert sick.alive_K.tolist() == [True, update < 3, True, True]
    others = [0, 2, 3]
    assert torch.equal(sick.values_Kn[others], tame.values_Kn[others])


def test_a_loss_that_is_not_finite_stops_its_slot() -> None:
    optimizer = optimizer_of(start())
    optimizer.grads_Kn += gradients(0)
    optimizer.step(rates_at(0), torch.tensor([0.0, float("nan"), float("inf"), 1.0]))
    assert optimizer.alive_K.tolist() == [True, False, False, True]
    unchanged = (optimizer.values_Kn == start()).all(dim=1)
    assert unchanged.tolist() == [False, True, True, False]


def test_a_reset_slot_starts_anew_and_the_others_go_on() -> None:
    """Slot 2 diverges, is vacated, and its next candidate trains as if it were the first."""
    optimizer, undisturbed = (optimizer_of(start(), max_grad_norm=None) for _ in range(2))
    for update in range(10):
        grads = gradients(update)
        advance(undisturbed, grads, rates_at(update))
        if update == 3:
            grads[2] = float("nan")
        if update == 4:
            optimizer.vacate(2)
            assert not optimizer.values_Kn[2].any()
        if update == 6:
            assert not optimizer.values_Kn[2].any()
            optimizer.reset(2)
            optimizer.values_Kn[2] = start(9)[2]
        advance(optimizer, grads, rates_at(update))
        assert optimizer.alive_K[2].item() == (update < 3 or update >= 6)
    assert torch.equal(optimizer.values_Kn[[0, 1, 3]], undisturbed.values_Kn[[0, 1, 3]])

    fresh = optimizer_of(start(9), max_grad_norm=None)
    for update in range(6, 10):
        advance(fresh, gradients(update), rates_at(update))
    assert torch.equal(optimizer.values_Kn[2], fresh.values_Kn[2])


def test_an_overflow_halves_the_scale_and_skips_the_update() -> None:
    """The same update is tried until its scale is small enough, and leaves no other trace."""
    grads = [gradients(update) for update in range(5)]
    optimizer = optimizer_of(start(), max_grad_norm=None, scales_loss=True)
    [initial] = set(optimizer.loss_scale_K.tolist())
    ceiling = grads[3].abs().max() * initial / 5  # as float16's largest number
    skipped = 0
    for update, grad in enumerate(grads):
        while True:
            scaled = grad * optimizer.loss_scale_K[:, None]
            if update == 3:
                scaled = torch.where(scaled.abs().amax(1, True) > ceiling, float("inf"), scaled)
            else:
                assert scaled.isfinite().all()
            overflows = ~scaled.isfinite().all()
            # Slots go on alone in a study; here all wait for the last one.
            scaled = torch.full_like(scaled, float("inf")) if overflows else scaled
            before = optimizer.values_Kn.clone()
            advance(optimizer, scaled, rates_at(update))
            assert optimizer.alive_K.all()
            if not overflows:
                break
            skipped += 1
            assert torch.equal(optimizer.values_Kn, before)
    assert skipped == 3
    assert optimizer.loss_scale_K.tolist() == [initial / 8] * NUM_SLOTS

    undisturbed = optimizer_of(start(), max_grad_norm=None)
    for update, grad in enumerate(grads):
        advance(undisturbed, grad, rates_at(update))
    # Scales are powers of two, so that an unscaled gradient has the very bits of a plain one.
    assert torch.equal(optimizer.values_Kn, undisturbed.values_Kn)


def test_the_scale_grows_back_after_many_good_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bakeoff.engine.optimizer._GROWTH_INTERVAL", 4)
    optimizer = optimizer_of(start(), scales_loss=True)
    initial = optimizer.loss_scale_K[0].item()
    seen = []
    for update in range(9):
        grads = gradients(update)
        if update == 0:
            grads[0, 0] = float("inf")
        advance(optimizer, grads, rates_at(update))
        seen.append(optimizer.loss_scale_K[0].item() / initial)
    assert seen == [0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0, 2.0]


def test_a_slot_that_overflows_at_every_scale_has_diverged() -> None:
    optimizer = optimizer_of(start(), scales_loss=True)
    grads = gradients(0)
    grads[3, 0] = float("nan")
    updates = 0
    while optimizer.alive_K[3]:
        advance(optimizer, grads, rates_at(0))
        updates += 1
        assert updates < 50
    assert optimizer.loss_scale_K[3] < 1
    assert torch.equal(optimizer.values_Kn[3], start()[3])
    assert optimizer.alive_K.tolist() == [True, True, True, False]


def test_other_slots_do_not_share_the_scale() -> None:
    optimizer = optimizer_of(start(), scales_loss=True)
    grads = gradients(0)
    grads[1, 0] = float("inf")
    before = optimizer.loss_scale_K.clone()
    advance(optimizer, grads, rates_at(0))
    assert (optimizer.loss_scale_K / before).tolist() == [1.0, 0.5, 1.0, 1.0]


@pytest.mark.parametrize("states", ["32bit", "8bit"])
@pytest.mark.parametrize("scales_loss", [False, True])
def test_an_update_that_memory_does_not_hold_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, scales_loss: bool, states: str
) -> None:
    """Whoever runs out of memory makes the whole update again, and it must not count twice."""
    monkeypatch.setattr("bakeoff.engine.optimizer._BLOCK_VALUES", {"cpu": 4 * 100, "cuda": 1})
    short, calm = (optimizer_of(start(), scales_loss=scales_loss, states=states) for _ in range(2))
    grads = gradients(0) * short.loss_scale_K[:, None]
    tried = 0
    for failing in range(1, 40):
        with ShortMemory(failing, least_values=100) as memory:
            try:
                advance(short, grads, rates_at(0))
            except torch.OutOfMemoryError:
                tried += 1
        if not memory.has_failed:
            break
    advance(calm, grads, rates_at(0))
    assert tried > 0
    assert torch.equal(short.values_Kn, calm.values_Kn)
    for slot in range(NUM_SLOTS):
        assert torch.equal(short.counters(slot), calm.counters(slot))
        for name, moment in short.moments(slot).items():
            assert torch.equal(moment, calm.moments(slot)[name])


class ShortMemory(TorchDispatchMode):
    """Fails in the n-th operation that takes memory for so many values or more."""

    def __init__(self, failing: int, least_values: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._left, self._least = failing, least_values
        self.has_failed = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        takes = not func.is_view and not func._schema.is_mutable
        if takes and isinstance(result, Tensor) and result.numel() >= self._least:
            self._left -= 1
            if self._left == 0:
                self.has_failed = True
                raise torch.OutOfMemoryError("CUDA out of memory")
        return result


def test_every_slot_has_a_weight_decay_of_its_own() -> None:
    decays = [0.0, 0.01, 0.3, 0.01]
    optimizer = optimizer_of(start(), max_grad_norm=None)
    for slot, decay in enumerate(decays):
        optimizer.reset(slot, weight_decay=decay)
    expected = [plain(k, weight_decay=decays[k], max_grad_norm=None) for k in range(NUM_SLOTS)]
    for update in range(NUM_UPDATES):
        advance(optimizer, gradients(update), rates_at(update))
        for slot in range(NUM_SLOTS):
            assert torch.equal(optimizer.values_Kn[slot], expected[slot][update])
