"""Vectors trained through a network, against PEFT's own networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from bakeoff.base.model import Base
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import ProtocolOptions
from bakeoff.methods.contract import Method

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
LENGTHS_B = torch.tensor([12, 9, 4])
KINDS: dict[str, dict[str, Any]] = {
    "prefix": {"prefix_length": 4, "projection": True, "hidden": 6},
    "p_tuning": {"prompt_length": 5, "hidden": 7},
}
CASES = [(a, k) for a in ("gpt_neo", "llama", "gpt2", "gpt_neox") for k in KINDS]


def peft_twin(model: PreTrainedModel, kind: str) -> Any:
    options = KINDS[kind]
    config: Any
    if kind == "prefix":
        config = peft.PrefixTuningConfig(
            task_type="CAUSAL_LM",
            num_virtual_tokens=options["prefix_length"],
            prefix_projection=True,
            encoder_hidden_size=options["hidden"],
        )
    else:
        config = peft.PromptEncoderConfig(
            task_type="CAUSAL_LM",
            num_virtual_tokens=options["prompt_length"],
            encoder_hidden_size=options["hidden"],
        )
    return peft.get_peft_model(model, config).eval()


def logits_of(model: Any, ids_BT: Tensor) -> Tensor:
    mask = (torch.arange(ids_BT.shape[1]) < LENGTHS_B[:, None]).long()
    logits: Tensor = model(input_ids=ids_BT, attention_mask=mask).logits
    return logits[:, -ids_BT.shape[1] :]


def largest_gap(a_BTV: Tensor, b_BTV: Tensor) -> float:
    real = torch.arange(a_BTV.shape[1]) < LENGTHS_B[:, None]
    return (a_BTV - b_BTV)[real].abs().max().item()


@pytest.mark.parametrize(("architecture", "kind"), CASES)
def test_logits_and_gradients_are_those_of_pefts_network(
    architecture: str,
    kind: str,
    fresh: Callable[[str], PreTrainedModel],
    base_of: Callable[[str], Base],
    build: Callable[..., Method],
    perturbed: Callable[[Method], dict[str, Tensor]],
    ids_BT: Tensor,
    next_token_nll: Callable[..., Tensor],
    solo_logits: Callable[..., Tensor],
    tmp_path: Path,
) -> None:
    method = build(kind, base_of(architecture), **KINDS[kind])
    tensors = perturbed(method)
    theirs = peft_twin(fresh(architecture), kind)
    encoder = theirs.prompt_encoder["default"]
    assert {n: tuple(p.shape) for n, p in encoder.named_parameters()} == method.shapes
    encoder.load_state_dict(tensors)
    expected = logits_of(theirs, ids_BT)
    assert largest_gap(solo_logits(method, tensors, ids_BT), expected.detach()) <= 1e-5

    real = torch.arange(1, ids_BT.shape[1]) < LENGTHS_B[:, None]
    targets = ids_BT[:, 1:].masked_fill(~real, -100)
    F.cross_entropy(expected[:, :-1].flatten(0, 1), targets.flatten()).backward()
    with Cohort(method.base, [method], 1, ProtocolOptions()) as cohort:
        cohort.seat(0, method, tensors)
        next_token_nll(cohort, ids_BT[None], LENGTHS_B[None]).sum().backward()
        for name, tensor in cohort.stacks[kind].tensors.items():
            reference = encoder.get_parameter(name).grad
            assert tensor.grad is not None
            assert (tensor.grad[0] - reference).norm() <= 1e-4 * reference.norm(), name

    # Both ways through the files.
    method.save(tensors, tmp_path / "ours")
    read: Any = peft.PeftModel.from_pretrained(fresh(architecture), str(tmp_path / "ours")).eval()
    with torch.no_grad():
        assert largest_gap(logits_of(read, ids_BT), expected.detach()) <= 1e-5
    theirs.save_pretrained(str(tmp_path / "theirs"))
    loaded = method.load(tmp_path / "theirs")
    assert largest_gap(solo_logits(method, loaded, ids_BT), expected.detach()) <= 1e-5


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_start_has_the_spread_of_pefts(
    kind: str,
    fresh: Callable[[str], PreTrainedModel],
    base_of: Callable[[str], Base],
    build: Callable[..., Method],
) -> None:
    ours = build(kind, base_of("llama"), **KINDS[kind]).initial(torch.Generator().manual_seed(0))
    theirs = peft_twin(fresh("llama"), kind).prompt_encoder["default"]
    for name, tensor in ours.items():
        if tensor.numel() > 60:
            expected = theirs.get_parameter(name).std().item()
            assert tensor.std().item() == pytest.approx(expected, rel=0.3), name
            if not name.startswith("embedding"):
                assert tensor.abs().max() <= 1.3 * theirs.get_parameter(name).abs().max()
