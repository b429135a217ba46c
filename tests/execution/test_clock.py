"""How far a whole study has come, and what is left of it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from bakeoff.engine.candidate import Candidate
from bakeoff.execution.clock import StudyClock
from bakeoff.execution.progress import ProgressView
from bakeoff.formatting import time_left
from bakeoff.runs.records import EpochRecord
from bakeoff.types import RunState
from tests.execution.drawing import drawn


class Time:
    """A clock that goes on when a test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def clock(time: Time) -> StudyClock:
    """Two candidates of ten epochs, tested once each."""
    stages = ["baselines", "training", "test", "costs"]
    return StudyClock(stages, epochs=10, most_epochs=20, num_tested=2, clock=time)


def candidate(name: str, epochs: int = 0) -> Candidate:
    method: Any = None  # the clock never asks
    record = [
        EpochRecord(epoch=e + 1, train_nll=1.0, val_nll=1.0, seconds=1.0) for e in range(epochs)
    ]
    return Candidate(
        id=name, method_name=name, method=method, learning_rate=1e-3, seed=0, epochs=record
    )


def test_nothing_is_said_of_the_time_before_anything_is_known(
    clock: StudyClock, time: Time
) -> None:
    assert clock.state.text == "starting"
    clock.enter("baselines")
    time.now += 5
    assert clock.state.text == "baselines (stage 1 of 4)"
    assert clock.state.seconds_left is None
    clock.leave("baselines")
    clock.enter("training")
    assert clock.state.text == "training (stage 2 of 4)"


def test_what_is_left_follows_from_what_was_taken(clock: StudyClock, time: Time) -> None:
    clock.enter("baselines")
    time.now += 10
    clock.leave("baselines")
    clock.enter("training")
    pair = [candidate("lora", 2), candidate("head", 2)]
    time.now += 60
    for one in pair:
        clock.epoch(one)
    clock.step(pair, 5, 10)
    # 3 of 20 epochs in a minute, then both runs' tests of ten seconds, then costs.
    left = 60 * 17 / 3 + 20
    costs = (10 + 400 + 20) / 3.5
    assert clock.state.seconds_left == pytest.approx(left + costs)
    assert clock.state.text == "training (stage 2 of 4), epoch 3 of 10, about 8 minutes left"


def test_what_others_have_done_of_an_epoch_counts_together(clock: StudyClock, time: Time) -> None:
    clock.enter("training")
    time.now += 60
    clock.step_beside(["lora"], 1, 0.5)
    clock.step_beside(["head"], 1, 1.0)
    clock.epoch(candidate("head", 1))
    clock.step_beside(["head"], 2, 0.25)
    # 1.75 of 20 epochs in a minute; of the tests nothing is known.
    assert clock.state.epoch == 2
    assert clock._whole("training", {}, 60.0) == pytest.approx(60 * 20 / 1.75)


def test_candidates_that_end_early_spare_their_epochs(clock: StudyClock, time: Time) -> None:
    clock.enter("baselines")
    clock.leave("baselines")
    clock.enter("training")
    time.now += 40
    ended = candidate("lora", 4)
    for _ in range(4):
        clock.epoch(ended)
    before = clock.state.seconds_left
    ended.state = RunState.STOPPED
    clock.end(ended)
    after = clock.state.seconds_left
    assert before is not None and after is not None
    # 16 epochs were left, and then 10; costs go with them.
    assert before / after == pytest.approx((16 + 20 / 3.5) / (10 + 14 / 3.5))


def test_what_an_earlier_call_trained_is_not_left(clock: StudyClock, time: Time) -> None:
    ended = candidate("lora", 4)
    ended.state = RunState.STOPPED
    for one in (ended, candidate("head", 5)):
        clock.take_up(one)
    for stage in ("baselines", "training"):
        clock.enter(stage)
        if stage == "baselines":
            clock.leave(stage)
    time.now += 10
    clock.epoch(candidate("head", 6))
    # Of the one that goes on 4 of 10 epochs are left.
    assert clock.state.seconds_left == pytest.approx(40 + 50 / 3.5)


def test_later_stages_count_down(clock: StudyClock, time: Time) -> None:
    for stage, seconds in (("baselines", 10), ("training", 100)):
        clock.enter(stage)
        if stage == "training":
            for _ in range(20):
                clock.epoch(candidate("lora", 1))
        time.now += seconds
        clock.leave(stage)
    clock.enter("test")
    time.now += 15
    assert clock.state.seconds_left == pytest.approx(5 + 130 / 3.5)
    time.now += 15  # it takes longer than was thought
    assert clock.state.seconds_left == pytest.approx(140 / 3.5)
    clock.leave("test")
    clock.enter("costs")
    time.now += 1000
    assert clock.state.text == "measuring costs (stage 4 of 4), a few seconds left"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "a few seconds left"),
        (44.0, "about 40 seconds left"),
        (59.0, "about 1 minute left"),
        (725.0, "about 12 minutes left"),
        (9000.0, "about 2.5 hours left"),
        (90_000.0, "about 25 hours left"),
        (400_000.0, "about 5 days left"),
    ],
)
def test_times_are_told_in_round_words(seconds: float, text: str) -> None:
    assert time_left(seconds) == text


def test_plain_output_says_it_once_a_minute(clock: StudyClock, time: Time) -> None:
    file = io.StringIO()
    with ProgressView(Console(file=file, width=60), epochs=10, study=clock, clock=time) as view:
        clock.enter("training")
        one = candidate("lora")
        for step in range(1, 5):
            time.now += 25
            view.on_step([one], step, 10, [1.0], [1e-3])
    lines = file.getvalue().splitlines()
    assert lines == ["  training (stage 2 of 4), epoch 1 of 10"]


def test_a_terminal_has_it_above_the_bars(clock: StudyClock, time: Time) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=60, color_system=None)
    with ProgressView(console, epochs=10, study=clock, clock=time) as view:
        clock.enter("training")
        view.on_step([candidate("lora")], 1, 10, [1.0], [1e-3])
        text = drawn(view, file)
    assert text.index("training (stage 2 of 4), epoch 1 of 10") < text.index("lora")
