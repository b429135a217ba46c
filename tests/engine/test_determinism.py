"""The switch for deterministic kernels, and what it leaves behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import torch
from torch.utils import deterministic as settings

from bakeoff.config import from_mapping
from bakeoff.engine.determinism import choose_algorithms
from bakeoff.engine.options import EngineOptions, ProtocolOptions
from bakeoff.errors import ConfigError

if TYPE_CHECKING:
    from tests.engine.conftest import Kit

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(WORKSPACE, raising=False)
    yield
    choose_algorithms(deterministic=False)
    torch.use_deterministic_algorithms(False)


def test_it_is_off_by_default_and_takes_a_truth_value_only() -> None:
    assert EngineOptions().deterministic is False
    assert from_mapping(EngineOptions, {"deterministic": True}).deterministic is True
    with pytest.raises(ConfigError, match=r"engine\.deterministic"):
        from_mapping(EngineOptions, {"deterministic": "always"}, path="engine")


def test_it_asks_torch_and_cublas() -> None:
    choose_algorithms(deterministic=True)
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert os.environ[WORKSPACE] == ":4096:8"
    assert settings.fill_uninitialized_memory is False  # type: ignore[attr-defined]
    os.environ.pop(WORKSPACE)


def test_a_workspace_that_the_user_has_chosen_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WORKSPACE, ":16:8")
    choose_algorithms(deterministic=True)
    assert os.environ[WORKSPACE] == ":16:8"


def test_the_next_study_is_free_again_and_what_others_chose_stays() -> None:
    choose_algorithms(deterministic=True)
    choose_algorithms(deterministic=False)
    assert not torch.are_deterministic_algorithms_enabled()
    assert settings.fill_uninitialized_memory is True  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True)
    choose_algorithms(deterministic=False)
    assert torch.are_deterministic_algorithms_enabled(), "set by someone else"


def test_on_a_cpu_every_number_stays_the_same(kit: Kit) -> None:
    def trained() -> list[torch.Tensor]:
        bench = kit.bench("llama")
        methods = [bench.method("lora", rank=2, dropout=0.5), bench.method("soft_prompt")]
        candidates = [
            kit.candidate(method, 1e-2, id=method.kind, seed=seed)
            for seed, method in enumerate(methods)
        ]
        protocol = ProtocolOptions(epochs=1, micro_batch_size=4, grad_accum_steps=2)
        kit.run(bench.base, candidates, 2, kit.plan(16), kit.plan(5), protocol)
        return [t for c in candidates for t in (c.tensors or {}).values()]

    free = trained()
    choose_algorithms(deterministic=True)
    assert free and all(torch.equal(a, b) for a, b in zip(free, trained(), strict=True))
