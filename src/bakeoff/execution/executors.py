"""Who runs jobs. The driver packs them and accepts what comes of them; it never trains itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from bakeoff.runs.events import CohortJob, JobKind

REMOTE_SETS: Final = ("test", "validation", "learning curve")
"""Sets that a job apart can be asked on; a further test set is asked in the run's own process."""


class Worker(Protocol):
    """Runs jobs of one kind."""

    def run(self, job: CohortJob) -> None:
        """Runs a job to its end; what fails of it is kept with its part and ends nothing else.

        It writes below ``cohorts/``, ``candidates/`` and ``baselines/`` only.
        """


Then = Callable[[CohortJob], Sequence[CohortJob]]
"""Called when a job is over; returns the jobs that may begin now."""


def nothing_more(job: CohortJob) -> Sequence[CohortJob]:
    """No job follows from another."""
    return ()


class Executor(Protocol):
    """Runs jobs somewhere."""

    def run(self, jobs: Sequence[CohortJob], then: Then = nothing_more) -> None:
        """Runs jobs of which none waits for another, and those that follow from them.

        What a job computes follows from the job alone, wherever it runs and beside what. It returns
        when all of them are over. ``then`` may run others itself.
        """


class BySet:
    """Runs jobs that test, each by who tests on its set.

    Args:
        workers: by the set's name.
    """

    def __init__(self, workers: Mapping[str, Worker]) -> None:
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

    def run(self, jobs: Sequence[CohortJob], then: Then = nothing_more) -> None:
        """See ``Executor``."""
        waiting = deque(jobs)
        while waiting:
            job = waiting.popleft()
            self._workers[job.kind].run(job)
            waiting.extend(then(job))


class Elsewhere(Executor, Protocol):
    """Runs jobs apart from this process, or leaves them to others.

    Attributes:
        left: jobs that it leaves; training is over only where there are none.
    """

    left: list[CohortJob]

    def test_own(self) -> None:
        """Tests what it has trained itself, where others have trained the rest."""
