"""Schedules that are played through without running anything."""

from __future__ import annotations

import random
from collections import deque
from itertools import count

import pytest

from bakeoff.base.choice import BaseChoice
from bakeoff.measure.simulation import (
    JOB_SECONDS,
    SimulatedJob,
    _cut,
    _Fleet,
    _Group,
    _Part,
    _train,
    _Worker,
)
from bakeoff.measure.time_estimate import MethodSeconds
from bakeoff.methods.contract import ExecutionPath

HIDDEN: _Group = (ExecutionPath.HIDDEN_STATES, "", BaseChoice())
OTHER: _Group = (ExecutionPath.BASE, "", BaseChoice())


def fleet(workers: int, rate: float = 0.0) -> _Fleet:
    return _Fleet([_Worker(10.0) for _ in range(workers)], 10.0, rate, random.Random(0))


def job(seconds: float, region: int = 0) -> SimulatedJob:
    return SimulatedJob(region=region, seconds=seconds - JOB_SECONDS, kept_every=1.0)


def played(rounds: list[list[list[SimulatedJob]]], workers: int, rate: float = 0.0) -> float:
    return _train(fleet(workers, rate), [deque(one) for one in rounds], 10.0) - 10.0


def test_the_longest_job_goes_first_and_workers_share_the_rest() -> None:
    jobs = [job(seconds) for seconds in (2, 2, 2, 6)]
    assert played([[jobs]], 1) == pytest.approx(12)
    assert played([[jobs]], 2) == pytest.approx(6)
    assert played([[jobs]], 64) == pytest.approx(6)


def test_workers_that_share_cores_are_slower_each() -> None:
    shared = fleet(4)
    shared.slowdown = 2.0
    jobs = [SimulatedJob(region=0, seconds=6.0, kept_every=1.0) for _ in range(8)]
    ended = _train(shared, [deque([jobs])], 10.0) - 10.0
    assert ended == pytest.approx(2 * (12.0 + JOB_SECONDS))


def test_a_round_waits_for_its_slowest_job_and_no_other_path_does() -> None:
    search = [[job(8), job(2)], [job(3)]]
    other = [[job(1, 1)], [job(1, 1)], [job(1, 1)]]
    assert played([search], 2) == pytest.approx(11)
    assert played([search, other], 2) == pytest.approx(11)
    assert played([search, [[job(1, 1)] for _ in range(20)]], 2) > 15


def hidden(candidates: int, epochs: int, slots: int = 8) -> list[SimulatedJob]:
    """Jobs of a method whose epoch takes a second, and its hidden states a hundred."""
    epoch = {"train": 0.75, "validation": 0.25, "first_epoch_extra": 100.0}
    seconds = {"head": MethodSeconds(epoch=epoch, rows_per_second=None, latency=None)}
    return _cut([_Part("head", candidates, epochs)], HIDDEN, 0, seconds, {"head": slots}, slots)


def test_a_worker_computes_hidden_states_once_for_all_rungs() -> None:
    rungs = [hidden(4, 1), hidden(2, 2), hidden(1, 4)]
    assert played([rungs], 1) == pytest.approx(100 + 1 + 2 + 4 + 3 * JOB_SECONDS)
    # A further worker has none, and waits for its own.
    at_once = [hidden(2, 1, slots=1), hidden(2, 2, slots=1)]
    assert played([at_once], 1) == pytest.approx(100 + 2 + 4 + 4 * JOB_SECONDS)
    assert played([at_once], 2) == pytest.approx(100 + 1 + 2 + 2 * JOB_SECONDS)


def test_a_worker_keeps_the_hidden_states_of_the_group_that_it_trains() -> None:
    between = SimulatedJob(region=0, seconds=5.0, kept_every=1.0, group=OTHER)
    rounds = [hidden(1, 1), [between], hidden(1, 1)]
    assert played([rounds], 1) == pytest.approx(2 * 101 + 5 + 3 * JOB_SECONDS)


def test_losses_cost_what_was_not_saved_and_loading_again() -> None:
    jobs = [job(3600) for _ in range(8)]
    undisturbed = played([[jobs]], 4)
    disturbed = [played([[jobs]], 4, rate) for rate in (0.5, 5.0)]
    assert undisturbed == pytest.approx(7200)
    assert undisturbed < disturbed[0] < disturbed[1]
    assert disturbed[1] < 1.2 * undisturbed, "no more than an epoch is lost each time"


def test_a_job_that_is_lost_faster_than_it_comes_on_is_given_up() -> None:
    lost = fleet(1, 1e6)
    long = SimulatedJob(region=0, seconds=3600.0, kept_every=600.0)
    ended = lost.run(long, 0.0)
    assert (lost.given_up, lost.losses, lost.jobs) == (1, 3, 0)
    assert 30.0 < ended < 31.0, "the study was loaded again after two of them"
    assert lost.run(SimulatedJob(region=0, seconds=0.0, kept_every=0.0), 0.0) >= ended


def test_a_thousand_jobs_are_played_at_once() -> None:
    numbers = count(1)
    jobs = [job(1 + next(numbers) % 7) for _ in range(1000)]
    total = sum(one.seconds + JOB_SECONDS for one in jobs)
    assert total / 64 <= played([[jobs]], 64) < 1.05 * total / 64 + 7
