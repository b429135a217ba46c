"""BitFit against plain PyTorch; what all methods share stands in test_contract.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from bakeoff.base.model import Base
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.errors import ConfigError
from bakeoff.methods.contract import Method

LENGTHS_B = torch.tensor([12, 9, 4])
ORACLE = [(a, norms) for a in ("gpt_neo", "llama", "gpt2", "gpt_neox") for norms in (False, True)]
ORACLE.remove(("llama", False))


@pytest.mark.parametrize(("architecture", "norms"), ORACLE)
def test_logits_and_gradients_are_those_of_plain_pytorch(
    architecture: str,
    norms: bool,
    fresh: Callable[[str], PreTrainedModel],
    base_of: Callable[[str], Base],
    build: Callable[..., Method],
    perturbed: Callable[[Method], dict[str, Tensor]],
    ids_BT: Tensor,
    next_token_nll: Callable[..., Tensor],
    solo_logits: Callable[..., Tensor],
) -> None:
    method = build("bitfit", base_of(architecture), norms=norms)
    tensors = perturbed(method)
    model: Any = fresh(architecture).requires_grad_(False)
    head = model.get_output_embeddings()
    parameters = dict(model.named_parameters())
    chosen = {
        f"{name}.{part}"
        for name, module in model.named_modules()
        for part in ("weight", "bias")
        if module is not head
        and f"{name}.{part}" in parameters
        and (part == "bias" or (norms and "norm" in type(module).__name__.lower()))
    }
    assert chosen == set(method.shapes)
    with torch.no_grad():
        for name in chosen:
            parameters[name].copy_(tensors[name])
            parameters[name].requires_grad_(True)
    mask = (torch.arange(ids_BT.shape[1]) < LENGTHS_B[:, None]).long()
    logits = model(input_ids=ids_BT, attention_mask=mask).logits
    ours = solo_logits(method, tensors, ids_BT)
    assert (ours - logits)[mask.bool()].abs().max() <= 1e-5

    targets = ids_BT[:, 1:].masked_fill(mask[:, 1:] == 0, -100)
    F.cross_entropy(logits[:, :-1].flatten(0, 1), targets.flatten()).backward()
    with Cohort(method.base, [method], 1, ProtocolOptions()) as cohort:
        cohort.seat(0, method, tensors)
        next_token_nll(cohort, ids_BT[None], LENGTHS_B[None]).sum().backward()
        for name, tensor in cohort.stacks["bitfit"].tensors.items():
            reference = parameters[name].grad
            assert reference is not None and tensor.grad is not None
            # A key's bias moves all scores of a query alike: its gradient is rounding.
            gap = (tensor.grad[0] - reference).norm()
            assert gap <= 1e-4 * reference.norm() + 1e-8, name


def test_slots_with_and_without_norms_keep_to_themselves(
    base_of: Callable[[str], Base],
    build: Callable[..., Method],
    perturbed: Callable[..., dict[str, Tensor]],
    ids_BT: Tensor,
    token_logits: Callable[..., Tensor],
    solo_logits: Callable[..., Tensor],
    untuned_logits: Callable[..., Tensor],
) -> None:
    base = base_of("gpt_neo")
    methods = [build("bitfit", base, norms=norms) for norms in (False, True)]
    seats = [(method, perturbed(method, seed)) for seed, method in enumerate(methods)]
    with Cohort(base, methods, 3) as cohort, torch.no_grad():
        for slot, seat in enumerate(seats):
            cohort.seat(slot, *seat)
        together = token_logits(cohort, ids_BT.expand(3, -1, -1))
    for slot, seat in enumerate(seats):
        assert (together[slot] - solo_logits(*seat, ids_BT)).abs().max() <= 1e-5
    assert (together[2] - untuned_logits(base, ids_BT)).abs().max() <= 1e-5


def test_a_neighbours_gradient_does_not_reach_what_a_slot_does_not_hold(
    base_of: Callable[[str], Base],
    build: Callable[..., Method],
    perturbed: Callable[..., dict[str, Tensor]],
    ids_BT: Tensor,
    next_token_nll: Callable[..., Tensor],
) -> None:
    base = base_of("gpt2")
    biases, norms = build("bitfit", base), build("bitfit", base, norms=True)
    with Cohort(base, [biases, norms], 2, ProtocolOptions()) as cohort:
        cohort.seat(0, biases, perturbed(biases))
        cohort.seat(1, norms, perturbed(norms))
        next_token_nll(cohort, ids_BT.expand(2, -1, -1), LENGTHS_B.expand(2, -1)).sum().backward()
        for name, tensor in cohort.stacks["bitfit"].tensors.items():
            assert tensor.grad is not None
            assert bool(tensor.grad[0].any()) == (name in biases.shapes), name


def test_a_base_without_biases_needs_norms(
    base_of: Callable[[str], Base], build: Callable[..., Method]
) -> None:
    with pytest.raises(ConfigError, match=r"^methods\.x: scratch:llama has no biases .* norms: t"):
        build("bitfit", base_of("llama"))


@pytest.mark.parametrize("dtype", [torch.bfloat16])
def test_a_small_step_of_a_norm_survives_a_coarse_format(
    dtype: torch.dtype, base_of: Callable[[str], Base]
) -> None:
    from bakeoff.base.norms import normalise

    norm = base_of("llama").norm_layers()["model.norm"]
    x_KND = torch.randn(2, 64, 16, generator=torch.Generator().manual_seed(3)).to(dtype)
    weight_KD = torch.ones(2, 16)
    weight_KD[1] += 1e-3
    first, second = normalise(norm, x_KND, weight_KD, None)
    assert not torch.equal(first, second)
