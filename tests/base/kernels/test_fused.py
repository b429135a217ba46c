"""Our own kernels are tried once, before anything is allocated that they work on."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from bakeoff.base.kernels import fused
from bakeoff.engine import cohort

CARD = torch.device("cuda", 0)


@pytest.fixture
def triton(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Triton is there, and its kernels are this module, which nothing has tried yet."""
    kernels = ModuleType("kernels")
    monkeypatch.setattr(fused, "_ready", {})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "triton")
    monkeypatch.setattr(importlib, "import_module", lambda name: kernels)
    return kernels


def on_card() -> Any:
    return SimpleNamespace(device=CARD)


def test_kernels_that_compute_what_pytorch_does_are_used(
    triton: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[ModuleType] = []
    monkeypatch.setattr(fused, "first_fault", lambda kernels, device: tried.append(kernels))
    assert fused.fused_kernels(on_card()) is None
    fused.prepare_fused(CARD)
    fused.prepare_fused(CARD)
    assert tried == [triton] and fused.fused_kernels(on_card()) is triton
    assert fused.fused_kernels(torch.zeros(1)) is None  # of a processor


@pytest.mark.parametrize("fault", ["AdamW's update differs", RuntimeError("no such card")])
def test_kernels_that_do_not_leave_pytorch_to_compute_and_say_why(
    fault: str | Exception,
    triton: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def found(kernels: ModuleType, device: torch.device) -> str:
        if isinstance(fault, Exception):
            raise fault
        return fault

    monkeypatch.setattr(fused, "first_fault", found)
    fused.prepare_fused(CARD)
    assert fused.fused_kernels(on_card()) is None
    assert str(fault) in caplog.text


def test_a_cohort_tries_them_before_its_stacks_and_its_optimizer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []

    class SeenError(Exception):
        """Ends the making of a cohort."""

    def stack_type(kind: str) -> Any:
        order.append("stack")
        raise SeenError

    monkeypatch.setattr(cohort, "prepare_fused", lambda device: order.append(f"tried {device}"))
    monkeypatch.setattr(cohort, "stack_type", stack_type)
    method: Any = SimpleNamespace(kind="lora")
    with pytest.raises(SeenError):
        cohort.Cohort(on_card(), [method], 1)
    assert order == ["tried cuda:0", "stack"]
