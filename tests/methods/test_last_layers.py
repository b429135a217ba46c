"""Tuning the last layers against plain PyTorch; what all share stands in test_contract.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from bakeoff.base.model import Base
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.errors import CheckpointError, ConfigError
from bakeoff.methods.contract import ExecutionPath, Method

LENGTHS_B = torch.tensor([12, 9, 4])
ORACLE = [(a, n, h) for a in ("gpt_neo", "llama", "gpt2", "gpt_neox") for n, h in ((1, True),)]
ORACLE += [("gpt2", 2, False), ("llama", 2, True)]
FINAL = {
    "gpt_neo": "transformer.ln_f",
    "gpt2": "transformer.ln_f",
    "llama": "model.norm",
    "gpt_neox": "gpt_neox.final_layer_norm",
}


@pytest.mark.parametrize(("architecture", "num_layers", "head"), ORACLE)
def test_logits_and_gradients_are_those_of_plain_pytorch(
    architecture: str,
    num_layers: int,
    head: bool,
    fresh: Callable[[str], PreTrainedModel],
    base_of: Callable[[str], Base],
    build: Callable[..., Method],
    perturbed: Callable[[Method], dict[str, Tensor]],
    ids_BT: Tensor,
    next_token_nll: Callable[..., Tensor],
    solo_logits: Callable[..., Tensor],
) -> None:
    base = base_of(architecture)
    method = build("last_layers", base, num_layers=num_layers, head=head)
    tensors = perturbed(method)
    model: Any = fresh(architecture).requires_grad_(False)
    output = model.get_output_embeddings()
    if head:
        output.weight = nn.Parameter(output.weight.detach().clone(), requires_grad=False)
    parameters = dict(model.named_parameters())
    (head_name,) = (n for n, p in parameters.items() if p is output.weight) if head else ("",)
    last = [f".{2 - number}." for number in range(1, num_layers + 1)]
    chosen = {
        name
        for name in parameters
        if name.startswith(f"{FINAL[architecture]}.")
        or name == head_name
        or any(mark in name for mark in last)
    }
    assert chosen == set(method.shapes)
    with torch.no_grad():
        for name in chosen:
            parameters[name].copy_(tensors[name])
            parameters[name].requires_grad_(True)
    mask = (torch.arange(ids_BT.shape[1]) < LENGTHS_B[:, None]).long()
    logits = model(input_ids=ids_BT, attention_mask=mask).logits
    ours = solo_logits(method, tensors, ids_BT)
    assert (ours - logits)[mask.bool()].abs().max() <= 2e-5

    targets = ids_BT[:, 1:].masked_fill(mask[:, 1:] == 0, -100)
    F.cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten()).backward()
    with Cohort(base, [method], 1, ProtocolOptions()) as cohort:
        cohort.seat(0, method, tensors)
        next_token_nll(cohort, ids_BT[None], LENGTHS_B[None]).sum().backward()
        for name, tensor in cohort.stacks["last_layers"].tensors.items():
            reference = parameters[name].grad
            assert reference is not None and tensor.grad is not None
            # A key's bias moves all scores of a query alike: its gradient is rounding.
            gap = (tensor.grad[0] - reference).norm()
            assert gap <= 1e-4 * reference.norm() + 1e-7, name


def test_a_slot_with_fewer_layers_keeps_the_bases_below(
    base_of: Callable[[str], Base],
    build: Callable[..., Method],
    perturbed: Callable[..., dict[str, Tensor]],
    ids_BT: Tensor,
    next_token_nll: Callable[..., Tensor],
) -> None:
    base = base_of("gpt2")
    short = build("last_layers", base, head=False)
    long = build("last_layers", base, num_layers=2)
    with Cohort(base, [short, long], 2, ProtocolOptions()) as cohort:
        cohort.seat(0, short, perturbed(short))
        cohort.seat(1, long, perturbed(long))
        next_token_nll(cohort, ids_BT.expand(2, -1, -1), LENGTHS_B.expand(2, -1)).sum().backward()
        for name, tensor in cohort.stacks["last_layers"].tensors.items():
            assert tensor.grad is not None
            assert bool(tensor.grad[0].any()) == (name in short.shapes), name


def test_it_shares_no_cohort_with_others(
    base_of: Callable[[str], Base], build: Callable[..., Method]
) -> None:
    assert build("last_layers", base_of("llama")).execution_path is ExecutionPath.LAST_LAYERS


@pytest.mark.parametrize("num_layers", [0, 3])
def test_a_number_of_blocks_that_is_not_there_is_refused(
    num_layers: int, base_of: Callable[[str], Base], build: Callable[..., Method]
) -> None:
    with pytest.raises(ConfigError, match=rf"^methods\.x\.num_layers: {num_layers} is not betwee"):
        build("last_layers", base_of("llama"), num_layers=num_layers)


def test_another_number_of_blocks_is_refused_by_name(
    base_of: Callable[[str], Base], build: Callable[..., Method], tmp_path: Path
) -> None:
    base = base_of("llama")
    one, two = build("last_layers", base), build("last_layers", base, num_layers=2)
    one.save(one.initial(torch.Generator()), tmp_path)
    with pytest.raises(CheckpointError, match=r"bakeoff_adapter\.json: num_layers is 1"):
        two.load(tmp_path)
