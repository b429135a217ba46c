"""When the layers of a base on a CPU are compiled by themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bakeoff.engine import compiling
from bakeoff.engine.compiling import compiler_serves, is_faster_compiled, pays_to_compile
from bakeoff.engine.options import EngineOptions
from bakeoff.engine.workbench import Workbench
from bakeoff.measure.needs import compiled
from bakeoff.study import settling
from bakeoff.study.loading import study_from_mapping
from bakeoff.study.opening import open_workbench
from tests.studies import Outcome

BFLOAT16 = {"precision": "bfloat16"}


@pytest.fixture
def bench(place: Path, small: Callable[..., dict[str, Any]]) -> Workbench:
    return open_workbench(study_from_mapping(small(**BFLOAT16), folder=place), "cpu")


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the smallest base count as wide and the shortest training as long."""
    monkeypatch.setattr(compiling, "WIDEST", 1)
    monkeypatch.setattr(compiling, "_LEAST_FLOPS", 1.0)
    monkeypatch.setattr(compiling, "compiler_serves", lambda: True)


@pytest.mark.usefixtures("large")
def test_a_long_training_of_a_wide_base_in_bfloat16_is_compiled(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pays_to_compile(bench)
    assert compiled(bench).engine == replace(bench.engine, compile=True)
    for wanted in (True, False):
        left = replace(bench, engine=EngineOptions(compile=wanted))
        assert not pays_to_compile(left), "what is given is not changed"
    monkeypatch.setattr(compiling, "_LEAST_FLOPS", 1e30)
    assert not pays_to_compile(bench), "too short"
    monkeypatch.setattr(compiling, "_LEAST_FLOPS", 1.0)
    monkeypatch.setattr(compiling, "WIDEST", bench.base.width)
    assert not pays_to_compile(bench), "narrow ones have worker threads"
    monkeypatch.setattr(compiling, "WIDEST", 1)
    monkeypatch.setattr(compiling, "compiler_serves", lambda: False)
    assert not pays_to_compile(bench)


def test_threads_and_epochs_decide_how_long_is_long(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule in numbers: four operations for each number of the layers and padded token."""
    numbers = sum(p.numel() for n, p in bench.base.decoder.named_parameters() if "h." in n)
    once = 4 * numbers * bench.plans["train"].tokens_padded
    monkeypatch.setattr(compiling, "is_faster_compiled", lambda base: True)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    for epochs, share, wanted in ((1, 1.0, True), (1, 1.01, False), (2, 1.01, True)):
        monkeypatch.setattr(compiling, "_LEAST_FLOPS", share * once / 3)
        found = replace(bench, protocol=replace(bench.protocol, epochs=epochs))
        assert pays_to_compile(found) is wanted, (epochs, share)


@pytest.mark.usefixtures("large")
def test_float32_is_left_alone(place: Path, small: Callable[..., dict[str, Any]]) -> None:
    bench = open_workbench(study_from_mapping(small(precision="float32"), folder=place), "cpu")
    assert not is_faster_compiled(bench.base)


def test_without_a_compiler_layers_stay_as_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compiler_serves.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert not compiler_serves()
    compiler_serves.cache_clear()


@pytest.mark.usefixtures("large")
def test_a_study_says_that_it_compiles(
    run_small: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Workbench] = []

    def watched(bench: Workbench) -> Workbench:
        asked.append(bench)
        return bench  # compiled layers are test_acceleration.py's

    monkeypatch.setattr(settling, "compiled", watched)
    outcome = run_small(**BFLOAT16)
    assert outcome.code == 0 and len(asked) == 1
    assert "engine.compile=false" in outcome.message
