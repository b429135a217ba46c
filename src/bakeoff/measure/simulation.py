"""A study's schedule on many workers, played through without running anything.

It plays what the driver does: jobs of as many candidates as have a slot, the longest first; rounds
of the search with a barrier for each execution path; tests once all training is over; costs on the
driver alone. What jobs take comes from the plan.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bakeoff.base.choice import BaseChoice
from bakeoff.engine.workbench import Workbench
from bakeoff.measure.time_estimate import MethodSeconds
from bakeoff.methods.contract import ExecutionPath
from bakeoff.metrics.contract import Ask
from bakeoff.search.groups import kind_apart
from bakeoff.search.schedule import StudySchedule

START_SECONDS: Final = 8.0
"""From asking for an actor until its libraries are loaded."""
MOST_LOSSES: Final = 3
"""Of a job that does not come on; the driver gives it up."""
JOB_SECONDS: Final = 0.3
"""Of handing a job out, its checkpoints and taking what came of it."""
_SEED: Final = 0
_HOUR: Final = 3600.0


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """What a schedule came to.

    Attributes:
        workers: how many. jobs: that they ran. makespan_seconds: of the whole study.
        utilisation: the share of the workers' time in which they ran jobs that were not lost.
        worker_seconds: for which the workers were there. losses: of workers.
        cost: of the workers' time, where an hour has a price.
        parts: seconds of loading, baselines, training, test and costs.
        given_up: jobs that were lost too often to come to an end.
        slowdown: times that a job takes longer as workers share this machine's cores.
    """

    workers: int
    jobs: int
    makespan_seconds: float
    utilisation: float
    worker_seconds: float
    losses: int
    cost: float | None
    parts: Mapping[str, float]
    given_up: int = 0
    slowdown: float = 1.0


_Group = tuple[ExecutionPath, str, BaseChoice]
"""Whose candidates share passes: of one execution path, not apart by kind, on one held base."""


@dataclass(frozen=True, kw_only=True)
class SimulatedJob:
    """One job.

    Attributes:
        region: whose round it belongs to. seconds: that it takes. kept_every: seconds of it that a
            loss can cost: an epoch.
        group: whose candidates it trains; None where it tests.
        opening: seconds more on a worker that has not just trained the group: of hidden states,
            which a worker keeps until it trains another one.
    """

    region: int
    seconds: float
    kept_every: float
    group: _Group | None = None
    opening: float = 0.0


@dataclass(order=True)
class _Worker:
    """One worker: when it is free, and which group it has trained last."""

    free: float
    group: _Group | None = field(default=None, compare=False)


@dataclass
class _Fleet:
    """Workers, as a heap by the time at which each is free."""

    workers: list[_Worker]
    load: float
    rate: float
    draw: random.Random
    busy: float = 0.0
    losses: int = 0
    jobs: int = 0
    given_up: int = 0
    slowdown: float = 1.0

    def run(self, job: SimulatedJob, ready: float) -> float:
        """Gives a job to the worker that is free first; returns when it is over."""
        worker = heapq.heappop(self.workers)
        left, now = job.seconds * self.slowdown + JOB_SECONDS, max(worker.free, ready)
        in_vain = 0
        while True:
            opening = 0.0 if worker.group == job.group else job.opening * self.slowdown
            lost_after = self.draw.expovariate(self.rate / _HOUR) if self.rate > 0 else math.inf
            if lost_after >= opening + left:
                break
            every = job.kept_every * self.slowdown
            kept = min(left, max(0.0, lost_after - opening) // every * every) if every else 0
            worker.group = None
            self.losses += 1
            self.busy += kept
            left -= kept
            in_vain = 1 if kept > 0 else in_vain + 1
            if in_vain == MOST_LOSSES:  # as the driver does
                self.given_up += 1
                worker.free = now + lost_after + self.load
                heapq.heappush(self.workers, worker)
                return now + lost_after
            now += lost_after + self.load
        now += opening + left
        self.busy += opening + left
        self.jobs += 1
        worker.free, worker.group = now, job.group
        heapq.heappush(self.workers, worker)
        return now


def simulate(
    bench: Workbench,
    schedule: StudySchedule,
    seconds: Mapping[str, MethodSeconds | None],
    slots: Mapping[str, int],
    wall: Mapping[str, float],
    *,
    workers: int,
    price: float | None = None,
    loss_rate: float = 0.0,
    is_card: bool = False,
    cores: float = math.inf,
) -> Simulation | None:
    """Plays a study's schedule.

    Args:
        bench, schedule: the study. seconds: of each method alone. slots: of each method's pass.
        wall: parts of the study's wall clock that are not trained: ``load``, ``baselines``,
            ``costs``.
        workers: how many. price: of one worker's hour. loss_rate: losses of a worker an hour.
        is_card: whether candidates that share a pass take less than one after the other, as on a
            GPU that one of them does not fill.
        cores: of one worker's speed that the workers have together; without a bound each worker
            has a device of its own.

    Returns:
        None where the time of a method is not known.
    """
    if any(found is None for found in seconds.values()):
        return None
    known = {name: found for name, found in seconds.items() if found is not None}
    shared = bench.useful_slots() if is_card else 1
    rounds = [deque(found) for found in rounds_of(schedule, known, slots, shared)]
    # As many workers are made as there are jobs at once.
    at_once = min(workers, max((len(one) for found in rounds for one in found), default=1))
    slowdown = max(1.0, at_once / cores)
    load = (wall.get("load", 0.0) + START_SECONDS) * slowdown
    draw = random.Random(_SEED)
    fleet = _Fleet([_Worker(load) for _ in range(workers)], load, loss_rate, draw)
    asked = SimulatedJob(region=0, seconds=wall.get("baselines", 0.0), kept_every=0.0)
    baselines = fleet.run(asked, 0.0)
    fleet.slowdown = slowdown  # from here on they work side by side
    trained = _train(fleet, rounds, baselines)
    ended = trained
    for job in sorted(
        tests_of(bench, schedule, known, slots, shared), key=lambda one: -one.seconds
    ):
        ended = max(ended, fleet.run(job, trained))
    makespan = ended + wall.get("costs", 0.0)
    held = workers * ended  # the driver ends them before it measures costs
    return Simulation(
        workers=workers,
        jobs=fleet.jobs,
        makespan_seconds=makespan,
        utilisation=min(1.0, fleet.busy / held) if held else 0.0,
        worker_seconds=held,
        losses=fleet.losses,
        cost=None if price is None else price * held / _HOUR,
        parts={
            "load": load,
            "baselines": baselines - load,
            "training": trained - baselines,
            "test": ended - trained,
            "costs": wall.get("costs", 0.0),
        },
        given_up=fleet.given_up,
        slowdown=slowdown,
    )


def _train(fleet: _Fleet, rounds: list[deque[list[SimulatedJob]]], since: float) -> float:
    """Plays all rounds; each region's next begins when its last job is over."""
    waiting: list[tuple[float, int, SimulatedJob]] = []
    events: list[tuple[float, int, int]] = []
    left = [0] * len(rounds)
    order, end = 0, since

    def begin(region: int) -> None:
        nonlocal order
        if rounds[region]:
            jobs = rounds[region].popleft()
            left[region] = len(jobs)
            for job in jobs:
                heapq.heappush(waiting, (-(job.seconds + job.opening), order, job))
                order += 1

    for region in range(len(rounds)):
        begin(region)
    now = since
    while waiting or events:
        while waiting and fleet.workers[0].free <= now:
            _, number, job = heapq.heappop(waiting)
            heapq.heappush(events, (fleet.run(job, now), number, job.region))
        # To the next moment at which something changes.
        moments = [events[0][0]] if events else []
        if waiting:
            moments.append(max(now, fleet.workers[0].free))
        now = min(moments)
        while events and events[0][0] <= now:
            end, _, region = heapq.heappop(events)
            left[region] -= 1
            if not left[region]:
                begin(region)
    return end


@dataclass(frozen=True)
class _Part:
    """Candidates of one method in a round."""

    method: str
    candidates: int
    epochs: int


def rounds_of(
    schedule: StudySchedule,
    seconds: Mapping[str, MethodSeconds],
    slots: Mapping[str, int],
    shared: int = 1,
) -> list[list[list[SimulatedJob]]]:
    """By region the jobs of each of its rounds, if no candidate stops early."""
    found = []
    for number, region in enumerate(schedule.regions()):
        methods = [
            name
            for name, method in schedule.methods.items()
            if {variant.execution_path for variant in method.variants.values()} <= region
        ]
        each = [_rounds(schedule, name) for name in methods]
        rounds = []
        for place in range(max(map(len, each), default=0)):
            parts = [rounds[place] for rounds in each if place < len(rounds)]
            rounds.append(
                [
                    job
                    for group, members in _by_pass(schedule, parts).items()
                    for job in _cut(members, group, number, seconds, slots, shared)
                ]
            )
        found.append(rounds)
    return found


def _rounds(schedule: StudySchedule, name: str) -> list[_Part]:
    """What a method trains round by round: from rung to rung, then the chosen setting."""
    method, epochs = schedule.methods[name], schedule.epochs
    if schedule.search is None:
        return [_Part(name, len(method.finals), epochs)]
    found, alive, done = [], len(method.searched), 0
    for rung in (*schedule.rungs, epochs):
        if rung > done:
            found.append(_Part(name, alive, rung - done))
            alive, done = math.ceil(alive / schedule.search.reduction_factor), rung
    return [*found, _Part(name, len(schedule.seeds), epochs)]


def _by_pass(schedule: StudySchedule, parts: Sequence[_Part]) -> dict[_Group, list[_Part]]:
    """Parts whose candidates share a pass, by their group."""
    found: dict[_Group, list[_Part]] = {}
    for part in parts:
        method = next(iter(schedule.methods[part.method].variants.values()))
        key = method.execution_path, kind_apart(method), method.base.choice
        found.setdefault(key, []).append(part)
    return found


def _cut(
    parts: Sequence[_Part],
    group: _Group,
    region: int,
    seconds: Mapping[str, MethodSeconds],
    slots: Mapping[str, int],
    shared: int,
) -> list[SimulatedJob]:
    """Jobs of a round: candidates in the study's order, as many in each as have a slot."""
    queue = [part for part in parts for _ in range(part.candidates)]
    jobs = []
    while queue:
        width = max(1, slots.get(queue[0].method, 1))
        seated, queue = queue[:width], queue[width:]
        side_by_side = min(len(seated), shared)
        epoch = sum(_epoch(seconds[part.method]) for part in seated) / side_by_side
        jobs.append(
            SimulatedJob(
                region=region,
                seconds=epoch * max(part.epochs for part in seated),
                kept_every=epoch,
                group=group,
                opening=max(seconds[p.method].epoch["first_epoch_extra"] for p in seated),
            )
        )
    return jobs


def _epoch(seconds: MethodSeconds) -> float:
    return float(seconds.epoch["train"] + seconds.epoch["validation"])


def tests_of(
    bench: Workbench,
    schedule: StudySchedule,
    seconds: Mapping[str, MethodSeconds],
    slots: Mapping[str, int],
    shared: int = 1,
) -> list[SimulatedJob]:
    """The jobs that test the chosen settings."""
    test = bench.plans["test"].tokens_padded / max(1, bench.plans["validation"].tokens_padded)
    rows = len(bench.data.splits["test"]) if Ask.TEXT in bench.task.asks else 0
    jobs = []
    for number, region in enumerate(schedule.regions()):
        parts = [
            _Part(name, len(schedule.seeds), 0)
            for name, method in schedule.methods.items()
            if {variant.execution_path for variant in method.variants.values()} <= region
        ]
        for members in _by_pass(schedule, parts).values():
            queue = [part.method for part in members for _ in range(part.candidates)]
            while queue:
                width = max(1, slots.get(queue[0], 1))
                seated, queue = queue[:width], queue[width:]
                total = 0.0
                for name in seated:
                    one = seconds[name]
                    total += test * one.epoch["validation"]
                    total += rows / one.rows_per_second if one.rows_per_second else 0.0
                total /= min(len(seated), shared)
                jobs.append(SimulatedJob(region=number, seconds=total, kept_every=0.0))
    return jobs
