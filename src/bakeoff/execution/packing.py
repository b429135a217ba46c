"""Which candidates share a cohort; only ever added to.

What a pass computes is rounded by who is in it. So a cohort that exists keeps its candidates,
whichever others come or go, and the others form cohorts of their own, each of as many candidates as
have a slot: what is packed follows from the candidates and the jobs so far, and never from timing,
from who runs them or from how many do. Jobs are numbered by what they train on, so that a job's
name does not depend on what else trains meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from bakeoff.engine.candidate import Candidate
from bakeoff.execution.executors import REMOTE_SETS
from bakeoff.runs.events import CohortJob, EventLog, JobKind, Packed, Seat
from bakeoff.search.method_search import record_of, spec_of


def pack_training(
    waiting: Sequence[Candidate],
    events: EventLog,
    *,
    group: str,
    stop: Callable[[Candidate], int],
    num_slots: Callable[[Sequence[Candidate]], int],
    micro_batch_size: int,
) -> list[CohortJob]:
    """The jobs that train those who wait: some that exist, and new ones of all the others.

    Args:
        waiting: at least one, all of one group, in the study's order.
        events: the run's, to which new jobs are added.
        group: its name. stop: the epoch after which a candidate leaves.
        num_slots: of a pass of some candidates. micro_batch_size: rows, as the study has it.

    Returns:
        One at least; the first holds the first of those who wait, if that has a job.
    """
    jobs = [job for job in events.jobs("train") if job.group == group]
    known: dict[str, list[CohortJob]] = {}
    for job in jobs:
        for id in job.candidates:
            known.setdefault(id, []).append(job)
    found: dict[str, CohortJob] = {}
    free = []
    for candidate in waiting:
        job_of = job_holding(candidate, stop(candidate), known.get(candidate.id, ()))
        if job_of is not None:
            found[job_of.cohort] = job_of
        else:
            free.append(candidate)
    # One that has trained already comes first.
    free.sort(key=lambda candidate: not candidate.epochs)
    coming: list[CohortJob] = []
    while free:
        width = num_slots(free)
        part, free = free[:width], free[width:]
        seats = tuple(
            Seat(spec=spec_of(record_of(c)), start=len(c.epochs), stop=stop(c)) for c in part
        )
        coming.append(
            _job(events, "train", group, seats, width, micro_batch_size, number=len(coming))
        )
    events.add(*(Packed(job=job) for job in coming))
    return [*found.values(), *coming]


def job_holding(candidate: Candidate, stop: int, jobs: Sequence[CohortJob]) -> CohortJob | None:
    """The last of some jobs in which a candidate is to be trained from where it is to ``stop``.

    One of a study that had other epochs or other rungs has another end, and is passed over.
    """
    reached = len(candidate.epochs)
    for job in reversed(jobs):
        for seat in job.seats:
            if seat.id == candidate.id and seat.start <= reached < seat.stop == stop:
                return job
    return None


def pack_tests(
    untested: Sequence[Candidate],
    events: EventLog,
    *,
    group: str,
    num_slots: Callable[[Sequence[Candidate]], int],
    micro_batch_size: int,
    split: str = "test",
) -> None:
    """Makes jobs that test candidates on a set, of those that are in none.

    Args:
        untested: all of one group, in the study's order. split: the set that they are tested on.
            The others are as of ``pack_training``.
    """
    coming = _not_in(tests_on(events, split), untested)
    width = num_slots(coming) if coming else 1
    for start in range(0, len(coming), width):
        part = coming[start : start + width]
        _packed(events, "test", group, _seats(part), width, micro_batch_size, split=split)


def tests_on(events: EventLog, split: str) -> list[CohortJob]:
    """The jobs that test candidates on a set."""
    return [job for job in events.jobs("test") if job.split == split]


def pack_measuring(
    shown: Sequence[Candidate], events: EventLog, micro_batch_size: int
) -> list[CohortJob]:
    """The jobs that measure what methods cost, each of them alone and all in turns.

    Args:
        shown: of each method whose costs are missing the candidate that stands for it.
        events: the run's, to which a new job is added.
        micro_batch_size: rows, as the study has it.
    """
    coming = _not_in(events.jobs("measure"), shown)
    if coming:
        _packed(events, "measure", "", _seats(coming), 1, micro_batch_size)
    names = {candidate.id for candidate in shown}
    return [job for job in events.jobs("measure") if names & set(job.candidates)]


def pack_baselines(
    names: Sequence[str], events: EventLog, micro_batch_size: int, split: str = "test"
) -> list[CohortJob]:
    """The jobs that ask baselines.

    Args:
        names: of those that have no scores. split: the set that they are asked on. The others are
            as of ``pack_measuring``.
    """
    packed = {name for job in baselines_on(events, split) for name in job.baselines}
    coming = tuple(name for name in names if name not in packed)
    if coming:
        _packed(events, "baseline", "", (), 1, micro_batch_size, coming, split)
    return [job for job in baselines_on(events, split) if set(names) & set(job.baselines)]


def baselines_on(events: EventLog, split: str) -> list[CohortJob]:
    """The jobs that ask baselines on a set."""
    return [job for job in events.jobs("baseline") if job.split == split]


def _not_in(jobs: Sequence[CohortJob], candidates: Sequence[Candidate]) -> list[Candidate]:
    seated = {name for job in jobs for name in job.candidates}
    return [candidate for candidate in candidates if candidate.id not in seated]


def _seats(candidates: Sequence[Candidate]) -> tuple[Seat, ...]:
    return tuple(Seat(spec=spec_of(record_of(candidate))) for candidate in candidates)


def _packed(
    events: EventLog,
    kind: JobKind,
    group: str,
    seats: tuple[Seat, ...],
    width: int,
    rows: int,
    baselines: tuple[str, ...] = (),
    split: str = "test",
) -> None:
    events.add(Packed(job=_job(events, kind, group, seats, width, rows, baselines, split)))


def _job(
    events: EventLog,
    kind: JobKind,
    group: str,
    seats: tuple[Seat, ...],
    width: int,
    rows: int,
    baselines: tuple[str, ...] = (),
    split: str = "test",
    number: int = 0,
) -> CohortJob:
    """A job that is not in the log yet; ``number`` of its kind come before it besides."""
    path = path_of(group)
    before = [job for job in events.jobs(kind) if kind != "train" or path_of(job.group) == path]
    name = f"{kind}-{path}" if kind == "train" else kind
    threads = events.threads.get(kind) if split in REMOTE_SETS else None
    job = CohortJob(
        cohort=f"{name}-{len(before) + number}",
        kind=kind,
        group=group,
        seats=seats,
        baselines=baselines,
        split=split,
        width=width,
        micro_batch_size=rows,
        threads=threads or torch.get_num_threads(),
    )
    return events.as_narrowed(job)


def path_of(group: str) -> str:
    """The execution path of a group's name."""
    return group.partition(",")[0]
