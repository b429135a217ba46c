"""Liger as a rival: its kernels stay in one model, and what it does not know is told."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from transformers.models.llama import modeling_llama

CPU = torch.device("cpu")


@pytest.fixture
def liger(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A stand-in for Liger that knows Llama; returns its function for rotations."""

    def rotation(*_: Any) -> Any:
        raise AssertionError("Liger's kernel, outside of its model's steps")

    def apply(model: Any) -> None:
        model.has_liger = True
        modeling_llama.apply_rotary_pos_emb = rotation

    fake: Any = ModuleType("liger_kernel")
    fake.__spec__ = ModuleSpec("liger_kernel", None)
    fake.transformers = SimpleNamespace(
        monkey_patch=SimpleNamespace(
            MODEL_TYPE_TO_APPLY_LIGER_FN={"llama": apply}, _apply_liger_kernel_to_instance=apply
        )
    )
    monkeypatch.setitem(sys.modules, "liger_kernel", fake)
    monkeypatch.setitem(sys.modules, "liger_kernel.transformers", fake.transformers)
    return rotation


def test_its_functions_are_there_for_its_own_model_alone(
    liger: Callable[..., Any], module: Callable[[str], ModuleType]
) -> None:
    usual = modeling_llama.apply_rotary_pos_emb
    model = module("engines.ours").load_source_of("scratch:tiny-llama").model
    kernels = module("engines.rivals").LigerKernels()
    tuned: Any = module("engines.rivals").tuned_copy(model, "head", CPU, kernels)
    assert tuned.has_liger and not hasattr(model, "has_liger")
    assert modeling_llama.apply_rotary_pos_emb is usual
    with kernels.in_place():
        assert modeling_llama.apply_rotary_pos_emb is liger
    assert modeling_llama.apply_rotary_pos_emb is usual


def test_an_architecture_that_it_does_not_know_is_told(
    liger: Callable[..., Any],
    module: Callable[[str], ModuleType],
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = module("engines.ours").load_source_of("scratch:tiny-gpt-neo").model
    rivals, measuring = module("engines.rivals"), module("engines.measuring")
    contest = measuring.Contest("case", CPU, required=["plain"])

    def build() -> Any:
        return rivals.tuned_copy(model, "head", CPU, rivals.LigerKernels())

    contest.enter("plain+liger", build)
    assert '"skipped": "Liger has no kernels for gpt_neo"' in capsys.readouterr().out
    assert not contest.entrants
    with pytest.raises(measuring.SkippedError):
        contest.enter("plain", build)
