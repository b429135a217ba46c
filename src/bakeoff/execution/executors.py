"""Who runs jobs. The driver packs them and accepts what comes of them; it never trains itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from bakeoff.runs.events import CohortJob, JobKind
from bakeoff.types import Split


class Worker(Protocol):
    """Runs jobs of one kind."""

    def run(self, job: CohortJob) -> None:
        """Runs a job to its end; what fails of it is kept with its part and ends nothing else.

        It writes below ``cohorts/``, ``candidates/`` and ``baselines/`` only.
        """


class Executor(Protocol):
    """Runs jobs somewhere."""

    def run(self, jobs: Sequence[CohortJob]) -> None:
        """Runs jobs of which none waits for another; returns when all of them are over.

        What a job computes follows from the job alone, whoever runs it and beside whom.
        """


class BySplit:
    """Runs jobs that test, each by who tests on its split.

    Args:
        workers: by split.
    """

    def __init__(self, workers: Mapping[Split, Worker]) -> None:
        self._workers = workers

    def run(self, job: CohortJob) -> None:
        """See ``Worker``."""
        self._workers[job.split].run(job)


class LocalExecutor:
    """Runs jobs in this process, one after the other.

    Args:
        workers: for each kind of job who runs it.
    """

    def __init__(self, workers: Mapping[JobKind, Worker]) -> None:
        self._workers = workers

    def run(self, jobs: Sequence[CohortJob]) -> None:
        """See ``Executor``."""
        for job in jobs:
            self._workers[job.kind].run(job)
