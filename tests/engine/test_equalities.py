"""What theory says must be equal: LoRA at full rank and full tuning, rank zero and the base."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest
import torch
from torch.nn import functional as F

from bakeoff.data.batches import BatchPlan
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.methods.contract import Method
from bakeoff.methods.low_rank.lora import LoraStack

if TYPE_CHECKING:
    from tests.engine.conftest import Bench, Kit

EPOCHS = 100
RATE = 1e-2


@pytest.fixture(scope="module")
def bench(kit: Kit) -> Bench:
    return kit.bench("llama")


def test_a_rank_of_zero_is_the_base(kit: Kit, bench: Bench) -> None:
    """No option asks for it; the stack's arithmetic gives it all the same, to the bit."""
    method = bench.method("lora", rank=2, target_modules="all-linear")
    x_KND, y_KNE = torch.randn(2, 5, 32), torch.randn(2, 5, 32)
    with Cohort(bench.base, [method], 2) as cohort:
        stack = cohort.stacks["lora"]
        assert isinstance(stack, LoraStack)
        cohort.seat(0, method, kit.perturbed(method, seed=1))
        layer = next(name for name in stack.layers if name.endswith("q_proj"))
        assert not torch.equal(stack.hooks([0, 1]).linear[layer](x_KND, y_KNE), y_KNE)
        for part, shape in (("lora_a", (2, 32, 0)), ("lora_b", (2, 0, 32))):
            stack.tensors[f"{layer}.{part}"] = torch.zeros(shape)
        assert torch.equal(stack.hooks([0, 1]).linear[layer](x_KND, y_KNE), y_KNE)


def directly_tuned(bench: Bench, train: BatchPlan, names: Sequence[str], rate: float) -> float:
    """The loss that Transformers' model reaches when these very layers' weights are tuned."""
    model = bench.reference().requires_grad_(False)
    weights = [model.get_parameter(f"{name}.weight").requires_grad_(True) for name in names]
    adamw = torch.optim.AdamW(weights, lr=rate, weight_decay=0.0)
    [batch] = train.micro_batches(train.epoch(1, 0)[0], 4)
    ids_BT, source_N = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.source)
    loss = torch.zeros(())
    for _ in range(EPOCHS):
        adamw.zero_grad()
        logits = model(input_ids=ids_BT).logits.flatten(0, 1)[source_N]
        loss = F.cross_entropy(logits, torch.from_numpy(batch.targets))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        adamw.step()
    return loss.item()


def test_lora_at_full_rank_reaches_the_loss_of_tuning_the_matrices(kit: Kit, bench: Bench) -> None:
    """A product of full rank can become any change of a matrix; one of rank one cannot.

    Four rows are learnt by heart as far as the frozen head and norms allow, which is the same
    floor for both.
    """
    protocol = ProtocolOptions(
        epochs=EPOCHS, micro_batch_size=4, grad_accum_steps=1, weight_decay=0.0, patience=None
    )
    train, validation = kit.plan(4, rows_per_step=4), kit.plan(2, seed=7)

    def final_nll(rank: int) -> float:
        options = {"target_modules": "all-linear", "rank": rank, "alpha": 2.0 * rank}
        method = bench.method("lora", **options)
        candidate = kit.candidate(method, RATE, seed=1)
        kit.run(bench.base, [candidate], 1, train, validation, protocol)
        return float(candidate.epochs[-1].train_nll)

    floor = directly_tuned(bench, train, list(bench.base.linear_layers()), RATE)
    assert final_nll(32) == pytest.approx(floor, abs=0.01)
    assert final_nll(1) > floor + 0.1


def test_lora_at_full_rank_reaches_the_loss_of_full_tuning(kit: Kit) -> None:
    """With a head that tells tokens far apart, what is frozen is no floor: both learn by heart."""
    bench = type(kit.bench("llama")).of("llama", tied=False)
    with torch.no_grad():
        bench.base.head.weight.mul_(8.0)
    protocol = ProtocolOptions(
        epochs=150, micro_batch_size=4, grad_accum_steps=1, weight_decay=0.0, patience=None
    )
    train, validation = kit.plan(4, rows_per_step=4), kit.plan(2, seed=7)

    def nlls(rate: float, method: Method) -> list[float]:
        candidate = kit.candidate(method, rate, seed=1)
        kit.run(bench.base, [candidate], 1, train, validation, protocol)
        return [record.train_nll for record in candidate.epochs]

    full = nlls(3e-3, bench.method("full"))
    options = {"target_modules": "all-linear", "rank": 32, "alpha": 64.0}
    low_rank = nlls(1e-2, bench.method("lora", **options))
    assert full[0] > 3
    assert full[-1] < 1e-3
    assert low_rank[-1] == pytest.approx(full[-1], abs=1e-4)
