"""Head tuning's own rules; what all methods share stands in test_contract.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bakeoff.base.model import Base
from bakeoff.errors import CheckpointError, ConfigError
from bakeoff.methods.contract import ExecutionPath, Method


def test_a_tied_head_needs_a_tied_base(
    build: Callable[..., Method], base_of: Callable[[str], Base]
) -> None:
    with pytest.raises(ConfigError, match=r"^methods\.x\.tied: true, but scratch:llama does not"):
        build("head", base_of("llama"), tied=True)


def test_the_execution_path_follows_from_what_changes(
    build: Callable[..., Method], base_of: Callable[[str], Base]
) -> None:
    assert build("head", base_of("gpt2")).execution_path is ExecutionPath.HIDDEN_STATES
    assert build("head", base_of("gpt2"), tied=True).execution_path is ExecutionPath.EMBEDDING


@pytest.mark.parametrize("tied", [False, True])
def test_the_tuned_weight_acts_where_it_should(
    tied: bool,
    build: Callable[..., Method],
    base_of: Callable[[str], Base],
    perturbed: Callable[[Method], dict[str, Tensor]],
    ids_BT: Tensor,
    solo_logits: Callable[..., Tensor],
    untuned_logits: Callable[..., Tensor],
) -> None:
    base = base_of("gpt_neo")
    method = build("head", base, tied=tied)
    tensors = perturbed(method)
    twin, _ = base.private_copy()
    assert twin.is_tied
    if not tied:
        twin.head.weight = torch.nn.Parameter(twin.head.weight.clone())
    with torch.no_grad():
        twin.head.weight.copy_(tensors["weight"])
    expected = untuned_logits(twin, ids_BT)
    assert (solo_logits(method, tensors, ids_BT) - expected).abs().max() <= 1e-5


def test_tied_and_untied_adapters_are_not_confused(
    build: Callable[..., Method], base_of: Callable[[str], Base], tmp_path: Path
) -> None:
    base = base_of("gpt2")
    tied, untied = build("head", base, tied=True), build("head", base)
    tied.save(tied.initial(torch.Generator()), tmp_path)
    with pytest.raises(CheckpointError, match=r"bakeoff_adapter\.json: tied is True"):
        untied.load(tmp_path)
