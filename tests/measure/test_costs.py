"""What the process that measures costs finds, and what is known of one that dies."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch

from bakeoff.base.model import Base
from bakeoff.execution.findings import Findings
from bakeoff.measure import costs as measured_costs
from bakeoff.measure.costs import CostFailure, Opener, measure_costs, serve
from bakeoff.runs.records import CandidateRecord, CostRecord, EpochRecord, Provenance
from bakeoff.study import costs, measuring
from bakeoff.study.costs import seconds_for_costs
from bakeoff.study.measuring import opener_of
from bakeoff.types import RunState
from tests.studies import Outcome


def test_the_measuring_process_finds_the_card_as_free_as_can_be(
    monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    """Blocks that this process has reserved and does not use would be missing there."""
    order: list[str] = []

    class Process:
        stdout: ClassVar[list[str]] = []

        def __init__(self, *arguments: Any, **options: Any) -> None:
            order.append("child")

        def kill(self) -> None:
            pass

        wait = kill

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: order.append("emptied"))
    monkeypatch.setattr("bakeoff.measure.costs.subprocess.Popen", Process)
    [(name, failure)] = measure_costs(("python",), {}, ["lora"], place)
    assert name == "lora" and isinstance(failure, CostFailure)
    assert order == ["emptied", "child"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_a_part_that_is_measured_ends_with_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed measurement would go on, and take cores and memory from what follows."""
    asked: list[int] = []
    monkeypatch.setattr(measured_costs, "die_with_parent", asked.append)
    assert measured_costs.apart(lambda: {"asked": asked}) == {"asked": [os.getpid()]}
    assert asked == []  # it is the fork that asks


def command(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


@pytest.mark.usefixtures("quick")
def test_the_bases_are_off_the_card_while_another_process_loads_its_own(
    run_small: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    @contextmanager
    def set_aside(bases: Sequence[Base]) -> Iterator[None]:
        order.append(f"{len(bases)} aside")
        yield
        order.append("back")

    def measured(*given: Any) -> Iterator[tuple[str, CostFailure]]:
        order.append("measured")
        yield "lora", CostFailure(reason="made up")

    monkeypatch.setattr(costs, "set_aside", set_aside)
    monkeypatch.setattr(costs, "measure_costs", measured)
    run_small()
    assert order == ["1 aside", "measured", "back"]


def test_what_a_dying_process_wrote_is_kept(place: Path) -> None:
    code = """import sys; print('a {"micro_batch_size": 4}'); sys.exit('no card left')"""
    found = dict(measure_costs(command(code), {}, ["a", "b"], place))
    assert found["a"] == CostRecord(micro_batch_size=4)
    failure = found["b"]
    assert isinstance(failure, CostFailure)
    assert failure.reason == "the measuring process ended early with status 1: no card left"
    assert failure.traceback == "no card left"


def test_asking_for_a_gpu_opens_none_before_the_forks(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "PYTORCH_NVML_BASED_CUDA_CHECK"
    code = f"""import json, os; print("a", json.dumps({{"error": os.environ["{name}"]}}))"""
    for given, wanted in ((None, "1"), ("0", "0")):
        if given is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, given)
        [(_, failure)] = measure_costs(command(code), {}, ["a"], place)
        assert failure == CostFailure(reason=wanted)


@pytest.mark.parametrize(("device", "before"), [("cuda:0", 0), ("cpu", 1)])
def test_a_study_for_a_gpu_is_read_in_the_forks(
    monkeypatch: pytest.MonkeyPatch, device: str, before: int
) -> None:
    """PEFT, which reading may import, asks bitsandbytes, which asks the card what it is."""
    read: list[object] = []
    monkeypatch.setattr(measuring, "study_from_mapping", lambda *given, **_: read.append(given))
    monkeypatch.setattr(measuring, "open_workbench", lambda *given, **_: "bench")
    opener = opener_of({"study": {}, "device": device, "adapters": {"a": "x"}})
    assert len(read) == before
    assert opener.alone is not None
    opened: list[object] = [opener.bench(), opener.alone("a")]
    assert opened == ["bench"] * 2
    assert len(read) == 1


def test_a_methods_own_error_comes_with_its_traceback(place: Path) -> None:
    code = """print('a {"error": "E: x", "traceback": "Traceback"}')"""
    [(_, failure)] = measure_costs(command(code), {}, ["a"], place)
    assert failure == CostFailure(reason="E: x", traceback="Traceback")


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done in a process of its own, in order; all of it is made up."""
    done: list[str] = []

    def apart(work: Any) -> dict[str, Any]:
        chosen = ", ".join(work.args[0]) if work.func.__name__ == "timed" else work.args[1]
        done.append(f"{work.func.__name__} {chosen}")
        if work.func.__name__ == "measure_memory":
            if chosen == "huge":
                return {"error": "MemoryError: no room", "traceback": "T"}
            return {"peak_memory_bytes": 8, "micro_batch_size": 2}
        if "deadly" in chosen:
            return {"error": "the process ended with status 9, most likely out of memory"}
        return {name: {"repeats": 6, "micro_batch_size": 2} for name in work.args[0]}

    monkeypatch.setattr("bakeoff.measure.costs.apart", apart)
    return done


@pytest.mark.parametrize(
    ("device", "grown", "wanted"),
    [
        ("cpu", 0, 1000),  # the weights are pages of their mapped file
        ("cpu", 400, 1000),  # some are: those of another format were read
        ("cpu", 1100, 1100),  # all were read, and something more
        ("cuda:0", 1100, 0),  # the allocator's peak has them
    ],
)
def test_the_peak_has_the_base_in_it_however_that_is_held(
    monkeypatch: pytest.MonkeyPatch, device: str, grown: int, wanted: int
) -> None:
    peak = 64

    class Peak:
        bytes = peak

        def __init__(self, device: str) -> None:
            pass

        def __enter__(self) -> Peak:
            return self

        def __exit__(self, *error: object) -> None:
            pass

    base = SimpleNamespace(device=torch.device(device), held_bytes=1000)
    bench: Any = SimpleNamespace(
        base=base,
        methods={"lora": {"": SimpleNamespace(base=base)}},
        protocol=SimpleNamespace(micro_batch_size=4),
    )
    sizes = iter([3000, 3000 + grown])
    for name, stub in {
        "give_back_at_once": lambda: None,
        "settled_bytes": lambda: next(sizes),
        "compiled_or_written": lambda bench, warm_up: (bench, None),
        "dry_run": lambda *given, **options: False,
        "release_memory": lambda: None,
        "PeakMemory": Peak,
    }.items():
        monkeypatch.setattr(measured_costs, name, stub)
    found = measured_costs.measure_memory(Opener(bench=lambda: bench, small=lambda: None), "lora")
    assert found == {"peak_memory_bytes": wanted + peak, "micro_batch_size": 4}


def served(names: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bakeoff.measure.costs.gc.freeze", lambda: None)  # this process goes on
        # Nothing is opened: what is measured is given.
        serve(names, Opener(bench=None, small=None))  # type: ignore[arg-type]
    lines = [line.partition(" ") for line in capsys.readouterr().out.splitlines()]
    return {name: json.loads(outcome) for name, _, outcome in lines}


def test_memory_is_measured_in_processes_of_its_own_and_time_in_one(
    forks: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = served(["a", "b", "huge"], capsys)
    assert forks == ["measure_memory a", "measure_memory b", "measure_memory huge", "timed a, b"]
    assert found["a"] == {"peak_memory_bytes": 8, "micro_batch_size": 2, "repeats": 6}
    assert found["huge"]["error"] == "MemoryError: no room"


def test_a_method_that_kills_the_timing_leaves_the_others_theirs(
    forks: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = served(["a", "deadly"], capsys)
    assert forks[2:] == ["timed a, deadly", "timed a", "timed deadly"]
    assert found["a"]["repeats"] == 6 and found["a"]["peak_memory_bytes"] == 8
    assert "status 9" in found["deadly"]["error"]


@pytest.mark.parametrize("threads", [1, 2])
def test_costs_may_take_less_than_a_third_of_what_all_else_took(
    threads: int,
) -> None:
    findings = Findings(schedule=None, wall_seconds={"load": 1.0, "training": 34.0, "total": 99.0})  # type: ignore[arg-type]
    assert seconds_for_costs(findings) == 10.0
    epoch = EpochRecord(epoch=1, train_nll=1.0, val_nll=1.0, seconds=35.0)
    for number in range(2):
        findings.records[str(number)] = CandidateRecord(
            method="lora",
            learning_rate=0.1,
            seed=number,
            state=RunState.COMPLETE,
            best_epoch=1,
            epochs=(epoch,) * 3,
            made_with=Provenance(bakeoff="0", slots=2, threads=threads),
        )
    # An earlier call trained both together for 105 seconds, on all cores or on one of two.
    assert seconds_for_costs(findings, beside=2) == (30.0 if threads == 2 else 15.0)
