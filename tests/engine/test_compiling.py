"""When the layers of a base on a CPU are compiled by themselves."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch._inductor import exc
from torch._inductor.runtime.cache_dir_utils import default_cache_dir

from bakeoff.base.model import Base
from bakeoff.engine import acceleration, compiling
from bakeoff.engine.compiling import (
    compiled_or_written,
    compiler_serves,
    is_compiler_failure,
    is_faster_compiled,
    pays_to_compile,
)
from bakeoff.engine.options import EngineOptions
from bakeoff.engine.workbench import Workbench
from bakeoff.measure.needs import compiled
from bakeoff.measure.rounds import time_methods
from bakeoff.runs.reading import read_results
from bakeoff.study import settling
from bakeoff.study.loading import study_from_mapping
from bakeoff.study.opening import open_workbench, schedule_of
from bakeoff.types import RunState
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


def test_a_compiled_pass_has_as_many_slots_as_another(
    place: Path, small: Callable[..., dict[str, Any]]
) -> None:
    study = study_from_mapping(small(**BFLOAT16, protocol={"seeds": 3}), folder=place)
    opened = open_workbench(study, "cpu")
    candidates = schedule_of(study, opened).candidates
    assert len(candidates) == 3 and opened.num_slots(candidates) == 3
    assert compiled(opened).num_slots(candidates) == 3
    assert replace(compiled(opened), slots=2).num_slots(candidates) == 2


@pytest.mark.usefixtures("large")
def test_not_where_no_method_goes_through_the_layers_or_memory_is_short(
    bench: Workbench, place: Path, small: Callable[..., dict[str, Any]]
) -> None:
    recomputing = replace(bench, engine=replace(bench.engine, gradient_checkpointing=True))
    assert not pays_to_compile(recomputing), "whole rows' scores are in no forecast"
    methods: dict[str, Any] = {"head": {"kind": "head"}, "full": {"kind": "full"}}
    apart = small(**BFLOAT16, methods=methods)
    bench = open_workbench(study_from_mapping(apart, folder=place), "cpu")
    assert not pays_to_compile(bench)


def test_epochs_decide_how_long_is_long(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule in numbers: four operations for each number of the layers and padded token."""
    numbers = sum(p.numel() for n, p in bench.base.decoder.named_parameters() if "h." in n)
    once = 4 * numbers * bench.plans["train"].tokens_padded
    monkeypatch.setattr(compiling, "is_faster_compiled", lambda base: True)
    for epochs, share, wanted in ((1, 1.0, True), (1, 1.01, False), (2, 1.01, True)):
        monkeypatch.setattr(compiling, "_LEAST_FLOPS", share * once)
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


@pytest.mark.usefixtures("quick", "large")
def test_a_study_says_that_it_compiles(
    run_small: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Workbench] = []

    def watched(bench: Workbench) -> Workbench:
        asked.append(bench)
        return bench  # compiled layers are test_acceleration.py's

    monkeypatch.setattr(settling, "compiled", watched)
    # Its process would compile in earnest.
    monkeypatch.setattr("bakeoff.study.stages.measure_all", lambda *given: None)
    outcome = run_small(**BFLOAT16)
    assert outcome.code == 0 and len(asked) == 1
    assert "engine.compile=false" in " ".join(outcome.out.split())


@pytest.mark.usefixtures("quick", "large")
@pytest.mark.parametrize("before", [True, False])
def test_a_run_goes_on_as_it_began(
    run_small: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """Whatever the rule says by then, as it does of more epochs or another machine."""
    answers = iter([before])
    monkeypatch.setattr(settling, "pays_to_compile", lambda bench: next(answers))
    # Its process would compile in earnest.
    monkeypatch.setattr("bakeoff.study.stages.measure_all", lambda *given: None)
    asked: list[Workbench] = []

    def marked(bench: Workbench) -> Workbench:
        asked.append(bench)
        return replace(bench, engine=replace(bench.engine, compile=True))

    monkeypatch.setattr(settling, "compiled", marked)
    # Compiled layers are test_acceleration.py's.
    monkeypatch.setattr(acceleration, "compiled_layers", lambda base, longest: nullcontext())
    assert run_small(**BFLOAT16).code == 0
    assert run_small(**BFLOAT16, protocol={"epochs": 2}).code == 0
    assert len(asked) == 2 * before


class _CompilerError(RuntimeError):
    """As Inductor's: a file in its cache is torn, or g++ was killed."""


_CompilerError.__module__ = "torch._inductor.exc"


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Has everything that is to be compiled fail; counts."""
    calls: list[int] = []

    def compiled_layers(base: Base, longest: int) -> None:
        calls.append(longest)
        raise _CompilerError("file too short")

    monkeypatch.setattr(acceleration, "compiled_layers", compiled_layers)
    return calls


@pytest.fixture
def auto_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has ``auto`` compile, as it does on a GPU."""
    monkeypatch.setattr(EngineOptions, "compiles_on", lambda own, kind: own.compile is not False)


@pytest.mark.usefixtures("quick", "auto_compiles")
def test_a_gpu_that_cannot_compile_trains_layers_as_they_are_written(
    run_small: Callable[..., Outcome],
    place: Path,
    failing: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", default_cache_dir())  # as importing it does
    monkeypatch.setattr("bakeoff.study.stages.measure_all", lambda *given: None)
    outcome = run_small()
    assert outcome.code == 0 and len(failing) == 1
    assert "could not be compiled" in " ".join(outcome.out.split())
    assert [c.state for c in read_results(place / "out").candidates.values()] == [RunState.COMPLETE]
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(place / "cache" / "compiled")


@pytest.mark.usefixtures("auto_compiles")
def test_a_gpu_that_cannot_compile_has_costs(bench: Workbench, failing: list[int]) -> None:
    assert bench.engine.compile == "auto"
    found = time_methods(bench, ["lora"], rounds=2)
    assert "error" not in found["lora"]
    assert len(failing) == 1


def test_auto_compiles_on_a_gpu_and_on_no_cpu_by_itself() -> None:
    kinds = ("cuda", "cpu")
    assert [EngineOptions().compiles_on(kind) for kind in kinds] == [True, False]
    for wanted in (True, False):
        assert [EngineOptions(compile=wanted).compiles_on(kind) for kind in kinds] == [wanted] * 2


class _TritonError(Exception):
    """As Triton's own where it compiles by itself."""


_TritonError.__module__ = "triton.compiler.errors"


def test_what_fails_on_a_machine_that_cannot_compile_is_the_compilers() -> None:
    # What the error reads of a card, which is not here; hence the ignore below.
    old = SimpleNamespace(name="Tesla P100", major=6, minor=0)
    for error in (
        exc.TritonMissing(None),
        exc.GPUTooOldForTriton(old, None),  # type: ignore[arg-type]
        exc.InductorError(RuntimeError("gcc failed"), None),
        RuntimeError("Failed to find C compiler. Please specify via CC environment variable."),
        _TritonError("PassManager::run failed"),
    ):
        assert is_compiler_failure(error), error
    assert not is_compiler_failure(RuntimeError("shapes differ"))


@pytest.mark.usefixtures("quick")
def test_where_the_compiler_fails_training_goes_on_as_it_is_written(
    run_small: Callable[..., Outcome],
    place: Path,
    failing: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And what was compiled is thrown away: a torn file would fail every later call."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", default_cache_dir())  # as importing it does
    monkeypatch.setattr("bakeoff.study.stages.measure_all", lambda *given: None)
    torn = place / "cache" / "compiled" / "torn.so"
    torn.parent.mkdir(parents=True)
    torn.touch()
    outcome = run_small(engine={"compile": True})
    assert outcome.code == 0 and len(failing) == 1
    assert "could not be compiled" in " ".join(outcome.out.split())
    assert not torn.exists()
    results = read_results(place / "out")
    assert results.status == "complete"
    assert [c.state for c in results.candidates.values()] == [RunState.COMPLETE]


def test_costs_are_measured_as_layers_are_written_where_the_compiler_fails(
    bench: Workbench, failing: list[int]
) -> None:
    compiling_bench = replace(bench, engine=replace(bench.engine, compile=True))
    found = time_methods(compiling_bench, ["lora"], rounds=2)
    assert "error" not in found["lora"]
    assert len(failing) == 1, "it is not tried again in every turn"
    with pytest.raises(ValueError, match="its own"):
        compiled_or_written(compiling_bench, _fails)


def _fails(bench: Workbench) -> None:
    raise ValueError("its own")
