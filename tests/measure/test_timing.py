"""What is timed, with a clock that the test turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from bakeoff.base.compiled import compiled_layers
from bakeoff.base.weights import scratch
from bakeoff.base.weights.scratch import scratch_config
from bakeoff.engine import acceleration as accelerate
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.workbench import Workbench
from bakeoff.measure import timing
from bakeoff.measure.dry_run import seated
from bakeoff.measure.timing import Budget, time_epoch, time_generation, time_writing, token_latency
from bakeoff.study.loading import study_from_mapping
from bakeoff.study.opening import open_workbench

TICK = 0.25


@pytest.fixture
def bench(place: Path, small: Callable[..., dict[str, Any]]) -> Workbench:
    methods = {"lora": {"rank": 2}, "head": {}}
    return open_workbench(study_from_mapping(small(methods=methods), folder=place), "cpu")


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that moves on each time somebody looks."""
    numbers = count()
    monkeypatch.setattr(timing, "clock", lambda: TICK * next(numbers))


@pytest.mark.usefixtures("ticking")
def test_latency_is_the_time_between_two_passes_of_the_decoder(bench: Workbench) -> None:
    assert token_latency(bench, bench.methods["lora"][""]) == TICK


@pytest.mark.usefixtures("ticking")
def test_a_summary_of_two_tokens_has_no_further_one(
    bench: Workbench, place: Path, small: Callable[..., dict[str, Any]]
) -> None:
    short = small(generation={"max_new_tokens": 2})
    one = open_workbench(study_from_mapping(short, folder=place), "cpu")
    assert token_latency(one, one.methods["lora"][""]) is None


@pytest.mark.usefixtures("ticking")
def test_a_step_that_was_start_up_has_no_latency() -> None:
    """Its token is written while the clock stands still: it would count as one without a time."""
    timer = timing._Clockwork(torch.device("cpu"))
    for step in range(5):
        timer.step()
        if step == 1:
            with timer.start_up():
                pass
    assert timer.spans == [TICK] * 3


def test_each_width_is_captured_with_room_for_all_its_steps(bench: Workbench) -> None:
    """A step that needs more room than the first of its width is captured, which takes long."""
    plan = bench.plans["train"]
    steps = [step for epoch in range(4) for step in plan.epoch(0, epoch)]
    chosen = timing._roomiest(plan, steps, 2)
    most: dict[int, int] = {}
    for step in steps:
        counted = sum(batch.num_supervised for batch in plan.micro_batches(step, 2))
        most[step.width] = max(most.get(step.width, 0), counted)
    assert {step.width for step in chosen} == set(plan.widths) & set(most)
    assert len(chosen) == len(most)
    for step in chosen:
        counted = sum(batch.num_supervised for batch in plan.micro_batches(step, 2))
        assert counted == most[step.width]


def test_nothing_of_the_clockwork_stays_on_the_base(bench: Workbench) -> None:
    token_latency(bench, bench.methods["lora"][""])
    assert not bench.base.decoder._forward_pre_hooks


@pytest.mark.usefixtures("ticking")
def test_an_epoch_is_the_samples_rate_times_its_tokens(bench: Workbench) -> None:
    found = time_epoch(bench, bench.methods["lora"][""], 4, Budget(train=1e9, evaluation=1e9))
    plan = bench.plans["train"]
    assert found["measured_steps"] == found["epoch_steps"] == plan.num_steps
    # Every look at the clock is a tick later, so a step and an update both take one tick, and
    # what a step takes beyond its update is nothing.
    assert found["train"] == pytest.approx(TICK * plan.num_steps)
    batches = list(bench.plans["validation"].in_length_order(4))
    assert found["validation"] == pytest.approx(TICK * len(batches))
    assert found["first_epoch_extra"] == 0.0
    assert found["max"] >= found["mean"] == found["train"] + found["validation"]


def test_what_compilation_takes_is_in_no_epoch(
    place: Path, small: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of one layer, which is compiled twice: each layer more takes seconds more.
    one_layer = scratch_config("scratch:tiny-gpt-neo")
    one_layer.attention_types, one_layer.attention_layers = [[["global"], 1]], ["global"]
    one_layer.num_layers = 1
    monkeypatch.setitem(scratch._SHAPES, "tiny-gpt-neo", lambda: one_layer)
    bench = open_workbench(study_from_mapping(small(), folder=place), "cpu")
    seconds = 0.0

    def backend(module: Any, inputs: Any) -> Any:
        nonlocal seconds
        seconds += 1000.0
        return module.forward

    def clock() -> float:
        nonlocal seconds
        seconds += TICK
        return seconds

    monkeypatch.setattr(timing, "clock", clock)
    monkeypatch.setattr(
        accelerate, "compiled_layers", lambda base, longest: compiled_layers(base, longest, backend)
    )
    engine = replace(bench.engine, compile=True, cuda_graph=False)
    compiling = replace(bench, engine=engine)
    torch._dynamo.reset()
    found = time_epoch(compiling, bench.methods["lora"][""], 4, Budget())
    assert seconds > 2000.0, "training and validation are compiled"
    assert found["max"] < 1000.0


@pytest.mark.usefixtures("ticking")
def test_hidden_states_are_spread_over_the_epochs(bench: Workbench) -> None:
    found = time_epoch(bench, bench.methods["head"][""], 4, Budget())
    assert found["first_epoch_extra"] > 0
    epochs = bench.protocol.epochs
    assert found["mean"] == pytest.approx(
        found["train"] + found["validation"] + found["first_epoch_extra"] / epochs
    )


@pytest.mark.usefixtures("ticking")
def test_a_small_budget_still_takes_a_sample(bench: Workbench) -> None:
    found = time_epoch(bench, bench.methods["lora"][""], 4, Budget(train=0.0, evaluation=0.0))
    assert found["measured_steps"] == 1


@pytest.mark.usefixtures("ticking")
def test_writing_is_extrapolated_from_few_tokens(bench: Workbench) -> None:
    method = bench.methods["lora"][""]
    # One tick for one token and one for several: those after the first are free.
    assert time_writing(bench, method, 2) == pytest.approx(2 / TICK)
    assert time_generation(bench, method, 2) == pytest.approx(2 / TICK)


def test_a_seated_cohort_is_fresh_and_of_the_method(bench: Workbench) -> None:
    method = bench.methods["lora"][""]
    cohort = seated(bench, method, num_slots=2)
    assert isinstance(cohort, Cohort) and cohort.optimizer is None
    first, second = (cohort.take(slot) for slot in range(2))
    assert all(torch.equal(first[name], second[name]) for name in method.shapes)
