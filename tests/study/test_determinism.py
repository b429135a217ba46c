"""A study's option for deterministic kernels reaches PyTorch before its base is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bakeoff.engine.determinism import choose_algorithms
from bakeoff.study.loading import study_from_mapping
from bakeoff.study.opening import load_base


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    yield
    choose_algorithms(deterministic=False)


def test_the_base_is_loaded_with_the_studys_choice(
    place: Path, small: Callable[..., dict[str, Any]]
) -> None:
    for wanted in (True, False):
        study = study_from_mapping(small(engine={"deterministic": wanted}), folder=place)
        assert study.resolved["engine"]["deterministic"] is wanted
        load_base(study, "cpu")
        assert torch.are_deterministic_algorithms_enabled() is wanted
