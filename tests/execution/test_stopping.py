"""Signals and the budget: a step is finished and saved, then the run ends with a report."""

from __future__ import annotations

import logging
import math
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bakeoff.base.weights.scratch import scratch_config
from bakeoff.engine import train
from bakeoff.execution import stopping
from bakeoff.execution.stopping import (
    EXIT_INTERRUPTED,
    EXIT_TERMINATED,
    Stopped,
    StopSignals,
    reserve_of,
)
from tests.studies import without_times

Run = Callable[..., Any]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
STUDY: dict[str, Any] = {
    "methods": {"head": {"learning_rate": 1e-2}, "lora": {"rank": 2, "learning_rate": 1e-2}},
    "protocol": {"epochs": 2, "micro_batch_size": 4, "grad_accum_steps": 1, "seeds": [0, 1]},
}
LATEST = 10_000
"""Rounds of a loop after which a signal is lost: a test that waits for it ends."""
STEPS = 4
"""Of an epoch: 16 rows, 4 in each."""


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """After a SIGHUP it is ignored for good, and under nohup it always is."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("budget", "reserve"),
    [(2.0, 1.0), (30.0, 15.0), (100.0, 20.0), (600.0, 60.0), (3000.0, 300.0), (86400.0, 300.0)],
)
def test_the_report_gets_a_tenth_of_the_budget_within_bounds(budget: float, reserve: float) -> None:
    assert reserve_of(budget) == reserve


@pytest.mark.parametrize(
    ("number", "code", "why"),
    [
        (signal.SIGINT, 130, "Interrupted."),
        (signal.SIGTERM, 143, "Terminated."),
        (signal.SIGHUP, 129, "The terminal was closed."),
        (signal.SIGALRM, 0, "The time budget is spent."),
    ],
)
def test_a_signal_raises_at_once_outside_and_is_kept_inside(
    number: int, code: int, why: str
) -> None:
    with StopSignals() as stop, pytest.raises(Stopped) as caught:
        send(number)
        pytest.fail("the signal did not raise")
    assert (caught.value.exit_code, caught.value.why) == (code, why)
    assert isinstance(caught.value, KeyboardInterrupt)

    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which the first one has turned off
    reached = []
    with StopSignals() as stop:
        with pytest.raises(Stopped) as kept, stop.deferred():
            assert stop.ask() is None
            send(number)
            reached.append(stop.ask())
        assert (kept.value.exit_code, kept.value.why) == (code, why)
        assert reached == [kept.value]


class Sends(dict[int, bool]):
    """In the place of a logger's cache: sends a signal while logging's own lock is held."""

    def __init__(self, *numbers: int) -> None:
        super().__init__()
        self.numbers = list(numbers)
        self.is_through = False

    def clear(self) -> None:
        while self.numbers:
            send(self.numbers.pop(0))
        self.is_through = True


@pytest.fixture
def sends(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Sends]]:
    logger = logging.getLogger("tests.execution.test_stopping")

    def made(*numbers: int) -> Sends:
        cache = Sends(*numbers)
        monkeypatch.setattr(logger, "_cache", cache)
        return cache

    yield made
    let_go()


def let_go() -> bool:
    """Releases logging's lock; whether this thread held it."""
    lock = vars(logging)["_lock"]
    is_held = bool(lock._is_owned())
    while lock._is_owned():
        lock.release()
    return is_held


@pytest.mark.parametrize("number", SIGNALS)
def test_what_a_signal_raises_leaves_the_lock_of_logging_free(
    number: int, sends: Callable[..., Sends]
) -> None:
    """A level is set under that lock without a `finally`; another thread would wait for ever."""
    cache = sends(number)
    with pytest.raises(Stopped) as caught, StopSignals() as stop:
        logging.getLogger("another").setLevel(logging.INFO)
        for _ in range(LATEST):
            time.sleep(0.001)  # until the signal that waits is raised
    assert cache.is_through and not let_go()
    assert caught.value is stop.requested


def test_signals_at_random_moments_of_preparing_a_base_leave_it_free() -> None:
    """Transformers' level is set there again and again: one of four had left it held.

    Where one comes in a finalizer, Python ignores what is raised at first.
    """
    scratch_config("scratch:tiny-gpt-neo")
    seconds = 1.0  # the least of some, as another process may have had its turn within one
    for _ in range(5):
        begun = time.perf_counter()
        scratch_config("scratch:tiny-gpt-neo")
        seconds = min(seconds, time.perf_counter() - begun)
    held = lost = 0
    for _ in range(400):
        with suppress(Stopped), StopSignals():
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, seconds))
            for _ in range(200):  # an extension written in C may lose what is raised
                scratch_config("scratch:tiny-gpt-neo")
            lost += 1
        held += let_go()
    assert held == 0 and lost <= 2


class Finalized:
    """Sends a signal in its finalizer, out of which nothing can be raised."""

    def __del__(self) -> None:
        send(signal.SIGTERM)


def test_what_a_finalizer_had_to_ignore_is_raised_again() -> None:
    lost = Finalized()
    with pytest.raises(Stopped, match="Terminated") as caught, StopSignals() as stop:
        del lost
        for _ in range(LATEST):
            time.sleep(0.001)
    assert caught.value is stop.requested


def test_a_second_signal_that_a_finalizer_had_to_ignore_is_raised_as_well() -> None:
    """Wherever it comes, and whichever of the two was lost."""
    lost = [Finalized(), Finalized()]
    with pytest.raises(Stopped), StopSignals():
        del lost[0], lost[0]
        for _ in range(LATEST):
            time.sleep(0.001)
        pytest.fail("both are lost")
    lost = [Finalized(), Finalized()]
    with pytest.raises(Stopped), StopSignals() as stop, stop.deferred():
        del lost[0]
        time.sleep(0.01)
        assert stop.ask() is not None
        del lost[0]
        for _ in range(LATEST):
            time.sleep(0.001)
        pytest.fail("the second is lost")


@pytest.mark.parametrize("number", [signal.SIGALRM, signal.SIGINT], ids=["moment", "second"])
def test_what_comes_while_it_is_reported_as_ignored_is_not_lost(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine the moment can be over before the hook is; or a second signal comes."""
    setitimer = signal.setitimer
    sent: list[int] = []

    def busy(which: int, seconds: float) -> object:
        found = setitimer(which, seconds)
        if seconds and not sent:
            sent.append(number)
            send(number)
        return found

    monkeypatch.setattr(signal, "setitimer", busy)
    lost = Finalized()
    with pytest.raises(Stopped) as caught, StopSignals() as stop:
        del lost
        for _ in range(LATEST):
            time.sleep(0.001)
    assert sent == [number]
    expected = EXIT_TERMINATED if number == signal.SIGALRM else EXIT_INTERRUPTED
    assert caught.value.exit_code == expected
    assert stop.requested is not None and stop.requested.exit_code == EXIT_TERMINATED


def test_a_third_signal_ends_what_hangs_while_it_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reached: list[str] = []

    def hangs(ignored: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGINT):
            send(number)
            reached.append("further")

    class Fails:
        def __del__(self) -> None:
            raise ValueError("of its own")

    monkeypatch.setattr(sys, "unraisablehook", hangs)
    lost = Fails()
    with pytest.raises(Stopped, match="Interrupted"), StopSignals():
        del lost
        for _ in range(LATEST):
            time.sleep(0.001)
    assert reached == ["further"] * 2


def test_what_else_a_finalizer_had_to_ignore_is_reported_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Fails:
        def __del__(self) -> None:
            raise ValueError("of its own")

    reported: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda ignored: reported.append(ignored.exc_value))
    before = sys.unraisablehook
    lost = Fails()
    with StopSignals() as stop:
        del lost
        assert stop.requested is None
    assert [str(error) for error in reported] == ["of its own"]
    assert sys.unraisablehook is before


def test_a_second_signal_waits_for_nothing(sends: Callable[..., Sends]) -> None:
    """Whatever is going on there, a user can end it."""
    cache = sends(signal.SIGINT, signal.SIGINT)
    with pytest.raises(Stopped), StopSignals():
        logging.getLogger("another").setLevel(logging.INFO)
    assert not cache.is_through


def test_a_signal_that_waits_is_raised_at_the_end_at_the_latest(
    sends: Callable[..., Sends], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "_MOMENT", 3600.0)
    sends(signal.SIGTERM)
    with pytest.raises(Stopped, match="Terminated"), StopSignals():
        logging.getLogger("another").setLevel(logging.INFO)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_signal_that_waits_is_deferred_as_any_other(
    sends: Callable[..., Sends], monkeypatch: pytest.MonkeyPatch
) -> None:
    sends(signal.SIGTERM)
    reached = []
    with StopSignals() as stop, pytest.raises(Stopped, match="Terminated"):
        monkeypatch.setattr(stopping, "_MOMENT", 3600.0)
        logging.getLogger("another").setLevel(logging.INFO)
        with stop.deferred():
            send(signal.SIGALRM)  # the moment is over
            reached.append(stop.ask())
    assert reached == [stop.requested]
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_what_was_asked_for_is_not_raised_again(
    sends: Callable[..., Sends], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its raiser writes what is there: a second time would cut that short."""
    monkeypatch.setattr(stopping, "_MOMENT", 3600.0)
    sends(signal.SIGTERM)
    with StopSignals() as stop:
        logging.getLogger("another").setLevel(logging.INFO)
        with pytest.raises(Stopped), stop.deferred():
            found = stop.ask()
            assert found is not None
            raise found
        try:
            send(signal.SIGALRM)  # the moment is over
        except Stopped:
            pytest.fail("it was raised again")


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_raises_at_once_also_inside(second: int) -> None:
    with StopSignals() as stop, pytest.raises(Stopped) as caught, stop.deferred():
        send(signal.SIGTERM)
        send(second)
        pytest.fail("the second signal did not raise")
    assert caught.value.exit_code == (130 if second == signal.SIGINT else 143)


@pytest.mark.parametrize("first", [signal.SIGTERM, None])
def test_the_clock_does_not_cut_short_what_another_reason_to_stop_began(first: int | None) -> None:
    done = False
    with StopSignals(3600.0) as stop, pytest.raises(Stopped), stop.deferred():
        if first is not None:
            send(first)
        stop.ask(math.inf)
        send(signal.SIGALRM)
        done = True
    assert done


def test_a_closed_terminal_says_so_more_than_once_and_the_report_is_still_written() -> None:
    done = []
    with StopSignals() as stop, pytest.raises(Stopped), stop.deferred():
        send(signal.SIGHUP)
        send(signal.SIGHUP)
        done.append("the step")
    send(signal.SIGHUP)
    done.append("the report")
    assert done == ["the step", "the report"]


def test_under_nohup_a_closed_terminal_stops_nothing() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with StopSignals() as stop:
        send(signal.SIGHUP)
        assert stop.ask() is None
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_inside_another_deferral_the_outermost_raises() -> None:
    reached = False
    with StopSignals() as stop, pytest.raises(Stopped), stop.deferred():
        with stop.deferred():
            send(signal.SIGTERM)
        reached = True
    assert reached


def test_the_deadline_leaves_room_for_a_whole_step() -> None:
    stop = StopSignals(600.0, started=time.monotonic())
    assert stop.ask() is None
    assert stop.ask(400.0) is None
    found = stop.ask(545.0)  # of 600, 60 belong to the report
    assert found is not None
    assert (found.exit_code, found.why) == (0, "The time budget is spent.")
    assert stop.ask() is found  # once is for good


def test_the_budget_counts_from_the_start_of_the_command() -> None:
    assert StopSignals(600.0, started=time.monotonic() - 541.0).ask() is not None
    assert StopSignals(600.0, started=time.monotonic()).ask() is None
    assert StopSignals().ask(math.inf) is None


def test_handlers_and_the_timer_are_as_before_afterwards() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with StopSignals(3600.0):
        assert all(signal.getsignal(n) != b for n, b in zip(SIGNALS, before, strict=True))
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 3000.0
    assert [signal.getsignal(number) for number in SIGNALS] == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_the_end_of_the_budget_comes_as_a_signal_where_nobody_asks() -> None:
    with pytest.raises(Stopped, match="budget"), StopSignals(600.0, time.monotonic() - 1000.0):
        for _ in range(LATEST):
            time.sleep(0.001)


def test_a_budget_spent_before_it_begins_leaves_signals_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The signal can come before `__enter__` has returned."""
    before = [signal.getsignal(number) for number in SIGNALS]
    hook = sys.unraisablehook
    setitimer = signal.setitimer

    def late(which: int, seconds: float) -> object:
        if seconds:
            send(signal.SIGALRM)
        return setitimer(which, seconds)

    monkeypatch.setattr(signal, "setitimer", late)
    with pytest.raises(Stopped, match="budget"), StopSignals(600.0):
        pytest.fail("it was entered")
    assert [signal.getsignal(number) for number in SIGNALS] == before
    assert sys.unraisablehook is hook and signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_in_another_thread_only_the_deadline_counts() -> None:
    found: list[Any] = []
    before = [signal.getsignal(number) for number in SIGNALS]

    def work() -> None:
        with StopSignals(600.0, started=time.monotonic() - 1000.0) as stop:
            found.extend([stop.ask(), [signal.getsignal(n) for n in SIGNALS] == before])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert isinstance(found[0], Stopped)
    assert found[1] is True


Act = Callable[[pytest.MonkeyPatch], None]


@contextmanager
def at_step(wanted: int, act: Act) -> Iterator[list[int]]:
    """Acts within the training step of this number; the list counts them."""
    step, counted = train.train_step, list[int]()

    def watched(*arguments: Any) -> Any:
        counted.append(len(counted) + 1)
        if len(counted) == wanted:
            act(patch)
        return step(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "train_step", watched)
        yield counted


def spend_the_budget(patch: pytest.MonkeyPatch) -> None:
    """The clock of the run is past its deadline from now on."""
    before = time.monotonic
    patch.setattr(stopping, "time", SimpleNamespace(monotonic=lambda: before() + 1e6))


@pytest.mark.usefixtures("quick", "quick_plans")
@pytest.mark.parametrize(
    ("act", "arguments", "code", "why"),
    [
        (lambda _: send(signal.SIGTERM), (), 143, "Terminated."),
        (lambda _: send(signal.SIGHUP), (), 129, "The terminal was closed."),
        pytest.param(
            lambda _: send(signal.SIGINT), (), 130, "Interrupted.", marks=pytest.mark.soak
        ),
        (spend_the_budget, ("--budget", "9h"), 0, "The time budget is spent."),
    ],
    ids=["terminated", "hung up", "interrupted", "budget"],
)
def test_a_run_that_is_stopped_reports_and_then_goes_on_to_the_same_results(
    finished: Run,
    run_small: Run,
    place: Path,
    results: Run,
    monkeypatch: pytest.MonkeyPatch,
    act: Act,
    arguments: tuple[str, ...],
    code: int,
    why: str,
) -> None:
    finished(**STUDY)
    undisturbed = without_times(results())
    (place / "out").rename(place / "undisturbed")
    reports: list[Path] = []

    def write_report(folder: Path, *_: object) -> Path:
        assert results()["status"] == "partial"
        reports.append(folder)
        return folder / "report.html"

    with monkeypatch.context() as reporting, at_step(STEPS + 2, act) as counted:
        reporting.setattr("bakeoff.report.write_report", write_report)
        outcome = run_small(*arguments, **STUDY)

    assert outcome.code == code, outcome.err
    assert len(counted) == STEPS + 2  # the step is finished, and no other is begun
    assert len(reports) == 1
    assert f"{why} What is there: out/report.html" in outcome.out
    assert "The same command goes on with the rest." in outcome.out
    ends_with_answer = "Undecided: " in outcome.out or "No recommendation: " in outcome.out
    assert ends_with_answer is (code == 0), outcome.out
    assert outcome.err == ""
    assert results()["status"] == "partial"

    with at_step(0, lambda _: None) as counted:
        assert run_small(**STUDY).code == 0
    assert len(counted) == 2 * 2 * STEPS - (STEPS + 2)  # no step of either method is repeated
    assert without_times(results()) == undisturbed
    assert not (place / "out/cohorts").exists()


@pytest.mark.usefixtures("quick")
def test_stopped_before_training_nothing_is_reported(
    run_small: Run, monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    monkeypatch.setattr("bakeoff.study.runner.open_workbench", lambda *_: send(signal.SIGTERM))
    outcome = run_small()
    assert outcome.code == 143
    assert "Terminated. Nothing is trained yet." in outcome.out
    assert list((place / "out").iterdir()) == []


@pytest.mark.parametrize("text", ["soon", "90", "0s", "-1h"])
def test_a_bad_budget_is_refused_before_anything_happens(
    run_small: Run, place: Path, text: str
) -> None:
    outcome = run_small(f"--budget={text}")
    assert outcome.code == 2
    assert f"--budget {text!r}" in outcome.message
    assert "Traceback" not in outcome.err
    assert not (place / "out").exists()
