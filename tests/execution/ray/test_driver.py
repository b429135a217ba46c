"""The driver over actors that are no processes: what it does where they hang, end or differ."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bakeoff.errors import ConfigError
from bakeoff.execution.apart import crew
from bakeoff.execution.apart.exchange import Outcome, Request, as_text
from bakeoff.execution.apart.found import write_outcome
from bakeoff.execution.apart.job_worker import JobWorker
from bakeoff.execution.apart.losses import Losses, epochs_saved
from bakeoff.execution.apart.places import new_attempt
from bakeoff.execution.apart.remote_worker import RemoteWorker
from bakeoff.execution.states import COHORTS, write_state
from bakeoff.execution.stopping import Stopped, StopSignals, TrainingTimeSpent
from bakeoff.runs.events import CohortJob, Seat
from bakeoff.runs.workers import workers_in_words
from tests.execution.ray.fakes import GOOD, NEVER, Actor, Call, done, executor_of, job_named

LONG = 1e6


class Budget(StopSignals):
    """Its share for training is over as soon as a test says so."""

    is_spent = False

    def ask_in_training(self, step_seconds: float = 0.0) -> Any:
        return TrainingTimeSpent() if self.is_spent else None


@pytest.mark.parametrize("saves", [True, False])
def test_tests_follow_where_the_budget_ends_the_training(tmp_path: Path, saves: bool) -> None:
    stop, under_way = Budget(), Call(is_over=False)
    tests = [job_named(f"test-{number}", "test", number) for number in range(2)]

    def begun(request: str, *others: Any) -> Any:
        if "test-" in request:
            return done(request)
        stop.is_spent = True
        return under_way

    def stopped(cohort: str) -> None:
        under_way.is_over = saves

    actor = Actor(run=begun, stop=stopped)
    executor = executor_of(tmp_path, actor, stop=stop)
    with pytest.raises(TrainingTimeSpent):
        executor.run([job_named(f"train-base-{number}", seed=number) for number in range(3)])
    executor.run(tests)
    assert executor.taking.taken == ["test-0", "test-1"]
    assert executor.host.ray.killed == ([] if saves else [actor])
    assert actor.given().count("run") == (3 if saves else 1)


def test_workers_of_the_training_open_the_study_beside_the_baselines(tmp_path: Path) -> None:
    executor = executor_of(tmp_path, *(Actor() for _ in range(4)))
    executor.coming = 3
    executor.run([job_named("baseline-0", "baseline")])
    assert [actor.given() for actor in executor.host.made] == [
        ["about", "open", "run"],
        *[["about", "open"]] * 2,
    ]
    executor.close()
    executor.run([job_named("train-base-0")])
    assert len(executor.host.made) == 4


def test_a_node_that_comes_late_and_does_not_fit_is_left_out(tmp_path: Path) -> None:
    about = Call({**GOOD, "host": "b", "device": "NVIDIA T4"}, is_over=False)
    jobs = [job_named(f"train-base-{number}", seed=number) for number in range(4)]

    def begun(request: str, *others: Any) -> str:
        about.is_over = True
        return done(request)

    late = Actor(about=about)
    executor = executor_of(tmp_path, Actor(run=begun), late)
    executor.run(jobs)
    assert sorted(executor.taking.taken) == [job.cohort for job in jobs]
    assert late.given() == ["about"]
    [said] = executor.taking.said
    assert "workers on a and b: have different devices" in said and "left out" in said
    # One that does not fit from the beginning is an error.
    about.value = {**GOOD, "versions": {"torch": "1.0"}}
    alone = executor_of(tmp_path / "alone", Actor(about=about))
    with pytest.raises(ConfigError, match="has other versions"):
        alone.run(jobs[:1])


def test_a_worker_that_hangs_while_it_opens_the_study_is_given_up(tmp_path: Path) -> None:
    def hangs() -> Call:
        executor.workers[0].since -= LONG
        return Call(is_over=False)

    actor = Actor(open=hangs)
    executor = executor_of(tmp_path, actor)
    executor.run([job_named("train-base-0")])
    assert executor.taking.taken == ["train-base-0"]
    assert executor.host.ray.killed == [actor] and executor.losses.total == 0


def test_what_is_waited_for_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about, watch, seen = Call(GOOD, is_over=False), [], []
    executor = executor_of(tmp_path, Actor(about=about))
    watch.append(executor.crew.watch)

    def watched(jobs: int) -> None:
        for worker in executor.workers:
            worker.since -= LONG
        watch[0](jobs)
        seen.append(jobs)
        about.is_over = len(seen) > 3

    monkeypatch.setattr(executor.crew, "watch", watched)
    executor.crew.opens_within = float("inf")
    executor.run([job_named("train-base-0")])
    [said] = executor.taking.said
    assert "1 of 1 workers have not begun within 30 s" in said
    assert "asks for num_cpus 1, and the cluster has num_cpus 2" in said


def test_a_worker_that_ended_while_nobody_asked_costs_no_job_anything(tmp_path: Path) -> None:
    ended = Actor()
    executor = executor_of(tmp_path, ended)
    executor.run([job_named("train-base-0")])
    ended.answers |= {"news": RuntimeError("gone"), "run": RuntimeError("gone")}
    executor._stepped -= LONG
    executor.run([job_named("train-base-1", seed=1)])
    assert executor.taking.taken == ["train-base-0", "train-base-1"]
    assert executor.losses.total == 0 and ended.given().count("run") == 1


def test_what_an_orphan_finishes_meanwhile_is_taken(tmp_path: Path) -> None:
    job = job_named("train-base-0")
    place = new_attempt(tmp_path, job.cohort)

    def opening() -> None:
        write_outcome(place, Outcome(job=job))

    actor = Actor(open=opening)
    executor = executor_of(tmp_path, actor)
    executor.run([job])
    assert executor.taking.taken == [job.cohort] and actor.given() == ["about", "open"]


def test_a_node_that_is_taken_back_is_a_line_and_counts_against_no_job(tmp_path: Path) -> None:
    class PreemptedError(RuntimeError):
        preempted = True

    actors = [Actor(run=PreemptedError(f"node {number}")) for number in range(4)]
    executor = executor_of(tmp_path, *actors)
    executor.run([job_named("train-base-0")])
    assert executor.taking.taken == ["train-base-0"] and not executor.taking.given_up
    assert len(executor.taking.said) == executor.losses.total == 4
    assert all("[yellow]lost[/] train-base-0" in line for line in executor.taking.said)


def test_progress_within_an_epoch_counts(tmp_path: Path) -> None:
    place = new_attempt(tmp_path, "train-base-0") / COHORTS / "train-base-0"
    reached = []
    for number, (epochs, position) in enumerate([(1, None), (1, 5), (1, 40), (2, None)]):
        content: dict[str, Any] = {"candidates": [{"epochs": [{}] * epochs}]}
        if position is not None:
            content["position"] = {"step": position}
        write_state(place, f"{number:06d}-", {}, content)
        reached.append(epochs_saved(tmp_path, "train-base-0"))
    assert reached == sorted(set(reached)) and reached[0] == 1 and reached[-1] == 2
    losses = Losses(tmp_path)
    assert not any(losses.add(job_named("train-base-0"), counts=False) for _ in range(9))


def test_workers_end_before_costs_are_measured(tmp_path: Path) -> None:
    executor = executor_of(tmp_path, Actor())
    executor.run([job_named("train-base-0")])
    executor.run([job_named("measure-0", "measure")])
    assert executor.workers == [] and executor.local.ran == ["measure-0"]


def test_an_actor_that_opens_a_large_study_is_not_forgotten() -> None:
    found: list[bool] = []

    def opener() -> Any:
        worker._heard -= LONG
        found.append(worker.is_forgotten())
        return None

    worker = JobWorker(opener, 1, orphans=False)
    worker.open()
    assert [*found, worker.is_forgotten()] == [False, False]
    worker._heard -= LONG
    assert worker.is_forgotten()


def test_a_job_that_trains_nothing_may_be_silent_as_long_as_one_of_one_epoch(
    tmp_path: Path,
) -> None:
    executor, [two_epochs] = executor_of(tmp_path), job_named("train-base-0").seats
    executor.seconds_of = lambda job: LONG
    one, two, none = (
        replace(job_named("a"), seats=(seat,))
        for seat in (replace(two_epochs, stop=1), two_epochs, Seat(spec=two_epochs.spec))
    )
    assert executor.silence(none) == executor.silence(one) == 2 * executor.silence(two)


def test_news_that_come_with_the_end_of_a_job_are_heard_once(tmp_path: Path) -> None:
    answer = Call(is_over=False)

    def begun(request: str, *others: Any) -> Call:
        answer.value = done(request)
        return answer

    def asked() -> Call:
        """Both are there at the driver's next look."""
        answer.is_over = bool(answer.value)
        return Call((0, []))

    executor = executor_of(tmp_path, Actor(run=begun, news=asked))
    jobs = [job_named(f"train-base-{number}", seed=number) for number in range(2)]
    executor.run(jobs)
    assert executor.taking.taken == [job.cohort for job in jobs]


@pytest.mark.parametrize("was_away", [True, False])
def test_a_worker_was_not_silent_while_the_driver_was_stopped(
    tmp_path: Path, was_away: bool
) -> None:
    answer = Call(is_over=False)

    def begun(request: str, *others: Any) -> Call:
        answer.value = done(request)
        return answer

    def asked() -> tuple[int, list[dict[str, Any]]]:
        """An hour goes by, and then the job is over."""
        worker = executor.workers[0]
        if worker.job is not None and not answer.is_over and not executor.losses.total:
            worker.since -= 3600.0
            worker.heard -= 3600.0
            if was_away:
                executor._stepped -= 3600.0
        answer.is_over = worker.job is not None
        return 0, []

    actor = Actor(run=begun, news=asked)
    executor = executor_of(tmp_path, actor)
    executor.run([job_named("train-base-0")])
    assert executor.taking.taken == ["train-base-0"]
    assert executor.losses.total == (0 if was_away else 1)


def test_a_signal_ends_what_runs_in_the_driver_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Costs take minutes, and no worker has anything to save meanwhile."""
    executor = executor_of(tmp_path)
    seen: list[bool] = []

    def measured(jobs: list[CohortJob], then: Any = None) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        seen.append(True)  # deferred, if it comes so far

    monkeypatch.setattr(executor.local, "run", measured)
    with executor.taking.stop, pytest.raises(Stopped):
        executor.run([job_named("costs", "measure")])
    assert seen == []


def test_a_job_that_ends_while_another_is_given_up_is_no_fault(tmp_path: Path) -> None:
    executor = executor_of(tmp_path, Actor(), Actor())
    first, second = (
        RemoteWorker(number=n, actor=Actor(), state="running", job=job_named(f"train-base-{n}"))
        for n in (1, 2)
    )
    first.since = first.heard = time.monotonic() - LONG

    def lost(worker: RemoteWorker, what: str, error: Exception) -> None:
        second.rest()  # as in a run within, which a search's choice may need

    executor.crew.workers, executor._failed = [first, second], lost
    executor._look_for_silent()
    assert second.job is None


def test_a_process_that_cannot_be_made_is_tried_again_and_then_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "_STARTS_AGAIN", 0.0)
    executor = executor_of(tmp_path)
    made, refused = executor.host.actor, [OSError(11, "no more processes")]

    def actor(*given: Any, **named: Any) -> Any:
        if refused:
            raise refused.pop()
        return made(*given, **named)

    monkeypatch.setattr(executor.host, "actor", actor)
    executor.run([job_named("train-base-0")])
    assert executor.taking.taken == ["train-base-0"]
    executor.close()
    refused += [OSError(11, "no more processes")] * 99
    with pytest.raises(ConfigError, match="10 workers in a row could not be started"):
        executor.run([job_named("train-base-1")])


def test_tests_are_not_waited_for_where_a_run_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    executor = executor_of(tmp_path, Actor(run=NEVER), Actor(run=NEVER))
    wait = executor.host.wait

    def noted(references: Any, *, count: int, timeout: float) -> Any:
        if timeout >= 1.0:
            waited.append(timeout)
        if len(executor.workers) == 2 and all(one.job for one in executor.workers):
            executor.taking.stop.requested = Stopped(143, "asked to")
        return wait(references, count=count, timeout=timeout)

    monkeypatch.setattr(executor.host, "wait", noted)
    jobs = [job_named("test-0", "test"), job_named("test-1", "test", seed=1)]
    with pytest.raises(Stopped):
        executor.run(jobs)
    assert waited == [1.0]


def test_a_job_that_is_unwanted_before_it_begins_does_not_begin() -> None:
    def opened() -> Any:
        return SimpleNamespace(run=begun)

    def begun(request: Any, place: Path, run: Path, before: Any, tell: Any, stop: Any) -> Any:
        raise stop.requested or AssertionError("it trains on")

    worker = JobWorker(opened, threads=1, orphans=False)
    worker.open()
    worker.stop("train-base-0")
    assert worker.run(as_text(Request(job=job_named("train-base-0"))), "p", "r", []) is None
    with pytest.raises(AssertionError, match="it trains on"):
        worker.run(as_text(Request(job=job_named("train-base-1"))), "p", "r", [])


def test_a_worker_says_how_far_its_job_is() -> None:
    worker = RemoteWorker(number=1, actor=None, state="running", job=job_named("train-base-0"))

    def step(epoch: int, step: int) -> None:
        content = {"epoch": epoch, "step": step, "num_steps": 10}
        worker.hear((step, [{"kind": "step", "content": content}]))

    step(1, 5)  # a quarter was done when it began
    assert worker.first is not None and worker.first[0] == 0.25
    assert worker.seconds_left(time.monotonic()) is None
    step(2, 5)
    assert worker.seconds_left(worker.first[1] + 120.0) == pytest.approx(60.0)
    content = {
        "workers": [
            {"number": 1, "host": "a", "job": "train-base-0", "seconds_left": 600.0, "tries": 2}
        ],
        "seconds_left": 1200.0,
    }
    lines = workers_in_words(content)
    assert lines[0].endswith("train-base-0, about 10 minutes left, try 2")
    assert lines[-1] == "the study: about 20 minutes left"
