"""On a CPU each kind of method acts on its own slots alone, and gives what acting on all gives."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from bakeoff.base.devices import GpuProfile, standing_for
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.methods.bottleneck_stack import BottleneckStack
from bakeoff.methods.contract import Method
from bakeoff.search.groups import kind_apart

if TYPE_CHECKING:
    from tests.engine.conftest import Bench, Kit

ROWS, TOKENS = 2, 9
# Seats of one kind in two places, an empty slot, and one that acts in no layer.
SEATS = ("lora", "bottleneck", None, "lora", "lora", "dora", "prefix", "soft_prompt")
OPTIONS: dict[str, dict[str, Any]] = {
    "lora": {"rank": 2, "dropout": 0.5, "target_modules": "all-linear"},
    "dora": {"rank": 2, "dropout": 0.5, "target_modules": "all-linear"},
    "bottleneck": {"size": 3, "placement": "parallel"},
    "prefix": {"prefix_length": 3},
    "soft_prompt": {"prompt_length": 3},
}


@pytest.fixture(scope="module", params=["gpt_neo", "llama"])
def bench(kit: Kit, request: pytest.FixtureRequest) -> Bench:
    return kit.bench(request.param)


def seated(bench: Bench) -> Cohort:
    methods: dict[str, Method] = {
        kind: bench.method(kind, **options) for kind, options in OPTIONS.items()
    }
    cohort = Cohort(bench.base, list(methods.values()), len(SEATS), ProtocolOptions())
    for slot, kind in enumerate(SEATS):
        if kind is not None:
            # Far from the start, at which most change nothing.
            drawn = torch.Generator().manual_seed(slot)
            tensors = methods[kind].initial(drawn)
            moved = {n: t + 0.1 * torch.randn(t.shape, generator=drawn) for n, t in tensors.items()}
            cohort.seat(slot, methods[kind], moved, seed=slot)
    return cohort


def losses_of(cohort: Cohort) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    num_slots = len(cohort.slots)
    ids_KBT = torch.randint(90, (num_slots, ROWS, TOKENS), generator=generator)
    source_KN = torch.tensor([[3, 5, TOKENS + 2]]).expand(num_slots, -1)
    targets_KN = torch.randint(90, source_KN.shape, generator=generator)
    return cohort.losses(ids_KBT, source_KN, targets_KN, torch.ones_like(targets_KN).bool())[0]


def trained(cohort: Cohort) -> tuple[Tensor, Tensor]:
    """[K] losses of one training pass, and all gradients."""
    assert cohort.optimizer is not None
    with cohort, cohort.training_pass(torch.tensor(0), ROWS):
        losses_K = losses_of(cohort)
        losses_K.sum().backward()
    return losses_K.detach(), cohort.optimizer.grads_Kn.clone()


def test_losses_and_gradients_are_those_of_acting_on_all(bench: Bench) -> None:
    cohort, everywhere = seated(bench), seated(bench)
    everywhere._acting_by_kind = lambda rows: nullcontext()  # type: ignore[method-assign]
    found, wanted = trained(cohort), trained(everywhere)
    assert wanted[1].abs().max() > 1e-3
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    # Without gradients, of some slots in another order.
    for slots in ([5, 1, 0, 3], [2, 6], [4]):
        each = []
        for one in (cohort, everywhere):
            with torch.no_grad(), one, one.only(slots):
                each.append(losses_of(one))
        torch.testing.assert_close(*each, rtol=1e-4, atol=1e-6)


def test_an_update_reads_what_a_slots_own_kind_trains(bench: Bench) -> None:
    """And nothing else of its row, where no gradient may be; a new seat has another part."""
    cohort = seated(bench)
    optimizer = cohort.optimizer
    assert optimizer is not None
    _, grads_Kn = trained(cohort)
    own_Kn = torch.zeros_like(grads_Kn, dtype=torch.bool)
    for part in optimizer.parts:
        own_Kn[part.slots, part.numbers] = True
    sizes = {kind: stack.num_values for kind, stack in cohort.stacks.items()}
    assert own_Kn.sum(dim=1).tolist() == [0 if kind is None else sizes[kind] for kind in SEATS]
    assert not grads_Kn[~own_Kn].any()
    assert all(grads_Kn[slot].any() for slot, kind in enumerate(SEATS) if kind is not None)
    dora = bench.method("dora", **OPTIONS["dora"])
    cohort.seat(0, dora, dora.initial(torch.Generator().manual_seed(1)))
    (first,) = [part for part in optimizer.parts if part.slots.start == 0]
    assert first.slots.stop == 1
    assert first.numbers.stop - first.numbers.start == sizes["dora"]


@pytest.mark.parametrize("gone", [0, 3, 4])
def test_who_leaves_changes_no_bit_of_the_others(bench: Bench, gone: int) -> None:
    cohort, others = seated(bench), seated(bench)
    others.vacate(gone)
    (losses_K, grads_Kn), (without_K, grads_without_Kn) = trained(cohort), trained(others)
    stay = [slot for slot in range(len(SEATS)) if slot != gone]
    assert losses_K[stay].equal(without_K[stay])
    assert grads_Kn[stay].equal(grads_without_Kn[stay])


def test_a_kind_sees_the_rows_of_its_own_slots(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[tuple[int, ...]] = set()
    before = BottleneckStack.apply

    def spy(self: BottleneckStack, *arguments: Any) -> Tensor:
        seen.add(tuple(arguments[-1].shape[:2]))
        return before(self, *arguments)

    monkeypatch.setattr(BottleneckStack, "apply", spy)
    trained(seated(bench))
    assert seen == {(1, ROWS * (TOKENS + OPTIONS["soft_prompt"]["prompt_length"]))}


def test_what_is_remembered_does_not_outlive_an_update_or_a_seat(bench: Bench) -> None:
    cohort = seated(bench)
    with torch.no_grad(), cohort:
        before_K = losses_of(cohort)
        cohort._values_Kn += 0.05
        cohort.after_update()
        after_K = losses_of(cohort)
        assert (before_K - after_K).abs()[[0, 1, 3, 4, 5]].min() > 1e-5
        cohort.vacate(0)
        torch.testing.assert_close(losses_of(cohort)[1:], after_K[1:])
        assert losses_of(cohort)[0] != after_K[0]


@pytest.mark.parametrize("kind", ["soft_prompt", "prefix", "lora"])
def test_on_a_cpu_a_kind_shares_passes_with_itself_alone(bench: Bench, kind: str) -> None:
    method = bench.method(kind, **OPTIONS[kind])
    assert kind_apart(method) == kind
    # A plan for a GPU seats them as the GPU does.
    with standing_for(GpuProfile(is_ampere=True, free_bytes=8 << 30)):
        assert kind_apart(method) == ""
