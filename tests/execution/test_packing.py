"""Which candidates share a cohort, and that it is never decided twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bakeoff.engine.candidate import Candidate
from bakeoff.execution import packing
from bakeoff.execution.executors import LocalExecutor
from bakeoff.execution.packing import (
    job_holding,
    pack_baselines,
    pack_measuring,
    pack_tests,
    pack_training,
)
from bakeoff.runs.events import CohortJob, EventLog, Kept, Narrowed
from bakeoff.runs.records import EpochRecord

EPOCHS = 6


@pytest.fixture
def events(tmp_path: Path) -> EventLog:
    return EventLog(tmp_path)


def candidate(name: str, epochs: int = 0) -> Candidate:
    nothing: Any = None
    done = [
        EpochRecord(epoch=i + 1, train_nll=1.0, val_nll=1.0, seconds=0.0) for i in range(epochs)
    ]
    found = Candidate(
        id="", method_name=name, method=nothing, learning_rate=1.0, seed=0, epochs=done
    )
    found.id = f"{name}-lr1-s0"
    return found


def packed(events: EventLog, *waiting: Candidate, stop: int = EPOCHS, slots: int = 2) -> CohortJob:
    return all_packed(events, *waiting, stop=stop, slots=slots)[0]


def all_packed(
    events: EventLog, *waiting: Candidate, stop: int = EPOCHS, slots: int = 2
) -> list[CohortJob]:
    return pack_training(
        waiting,
        events,
        group="base",
        stop=lambda _: stop,
        num_slots=lambda found: min(slots, len(found)),
        micro_batch_size=8,
    )


def test_a_job_is_packed_once_and_keeps_its_candidates(events: EventLog) -> None:
    a, b, c = (candidate(name) for name in "abc")
    first = packed(events, a, b, stop=2)
    assert (first.cohort, first.width) == ("train-base-0", 2)
    assert first.candidates == ("a-lr1-s0", "b-lr1-s0")
    # Whoever comes later does not join it, and it is found again from anywhere inside it.
    assert packed(events, c, candidate("b", 1), stop=2) == first
    assert packed(events, c, slots=4).candidates == ("c-lr1-s0",)
    again = EventLog(events.path.parent)
    assert packed(again, b, c, stop=2) == first
    assert len(again.events) == 3


def test_who_goes_on_from_a_rung_comes_first_in_a_job_of_its_own(events: EventLog) -> None:
    packed(events, candidate("a"), candidate("b"), stop=2)
    job = packed(events, candidate("c"), candidate("a", 2))
    assert [(seat.id, seat.start, seat.stop) for seat in job.seats] == [
        ("a-lr1-s0", 2, EPOCHS),
        ("c-lr1-s0", 0, EPOCHS),
    ]
    jobs = events.jobs("train")
    assert job_holding(candidate("a", 1), 2, jobs) == jobs[0]
    assert job_holding(candidate("a", 5), EPOCHS, jobs) == job
    assert job_holding(candidate("b", 2), EPOCHS, jobs) is None
    assert job_holding(candidate("a", 1), EPOCHS, jobs) is None, "with other rungs by now"


def test_what_memory_has_narrowed_holds_for_every_later_job_of_its_group(events: EventLog) -> None:
    packed(events, candidate("a"))
    events.add(Narrowed(cohort="train-base-0", group="base", width=1, micro_batch_size=2))
    job = packed(EventLog(events.path.parent), candidate("b"), candidate("c"))
    assert (job.width, job.micro_batch_size) == (1, 2)
    [other] = pack_training(
        [candidate("d")],
        events,
        group="hidden_states",
        stop=lambda _: 1,
        num_slots=lambda _: 3,
        micro_batch_size=8,
    )
    assert (other.width, other.micro_batch_size) == (3, 8)


def test_tests_are_packed_by_width_and_new_ones_beside_those_that_are_there(
    events: EventLog,
) -> None:
    def jobs(*names: str) -> list[tuple[str, tuple[str, ...]]]:
        pack_tests(
            [candidate(name) for name in names],
            events,
            group="base",
            num_slots=lambda _: 2,
            micro_batch_size=8,
        )
        found = packing.tests_on(events, "test")
        return [(job.cohort, tuple(id[0] for id in job.candidates)) for job in found]

    first = [("test-0", ("a", "b")), ("test-1", ("c",))]
    assert jobs("a", "b", "c") == first
    assert jobs("d", "a", "e", "c") == [*first, ("test-2", ("d", "e"))]
    assert jobs() == [*first, ("test-2", ("d", "e"))]


def test_baselines_and_costs_are_jobs_as_well_and_new_ones_stand_beside_them(
    events: EventLog,
) -> None:
    def asked(*names: str) -> list[tuple[str, tuple[str, ...]]]:
        return [(job.cohort, job.baselines) for job in pack_baselines(names, events, 8)]

    def measured(*names: str) -> list[tuple[str, str]]:
        found = pack_measuring([candidate(name) for name in names], events, 8)
        return [(job.cohort, "".join(id[0] for id in job.candidates)) for job in found]

    first = ("baseline-0", ("lead", "zero_shot"))
    assert asked("lead", "zero_shot") == [first]
    assert asked("zero_shot") == [first], "which an interrupted call had not come to"
    assert asked("random", "lead") == [first, ("baseline-1", ("random",))]
    assert asked("random") == [("baseline-1", ("random",))]
    assert asked() == []
    assert measured("a", "b") == [("measure-0", "ab")]
    assert measured("b") == [("measure-0", "ab")]
    assert measured("c") == [("measure-1", "c")]
    assert [(job.width, job.micro_batch_size) for job in events.jobs("measure")] == [(1, 8)] * 2


def test_what_a_job_kept_is_accepted_once(events: EventLog) -> None:
    [job] = pack_baselines(("lead", "zero_shot"), events, 8)
    events.accept(job, ["lead"])
    events.accept(job, ["lead", "zero_shot"])
    again = EventLog(events.path.parent)
    again.accept(job, ["zero_shot"])
    assert again.events[1:] == [Kept(cohort="baseline-0", part=p) for p in ("lead", "zero_shot")]


def test_the_local_executor_gives_each_job_to_who_runs_its_kind(events: EventLog) -> None:
    class Recorded:
        def __init__(self, name: str) -> None:
            self.name = name

        def run(self, job: CohortJob) -> None:
            ran.append(f"{self.name} {job.cohort}")

    ran: list[str] = []
    executor = LocalExecutor({"baseline": Recorded("asks"), "measure": Recorded("measures")})
    jobs = [*pack_measuring([candidate("a")], events, 8), *pack_baselines(("lead",), events, 8)]
    executor.run(jobs)
    assert ran == ["measures measure-0", "asks baseline-0"]
