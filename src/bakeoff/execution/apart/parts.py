"""Runs a part of a study's jobs, and takes what others have made of the rest."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bakeoff.errors import CheckpointError, StoreError
from bakeoff.execution.apart.exchange import key_of
from bakeoff.execution.apart.found import (
    OUTCOMES,
    Library,
    outcome_of,
    settle_outcome,
    write_outcome,
)
from bakeoff.execution.apart.places import attempts, new_attempt
from bakeoff.execution.apart.taking import Taking
from bakeoff.execution.apart.workshop import Workshop
from bakeoff.execution.executors import Executor, Then, nothing_more
from bakeoff.runs.events import CohortJob, Seat
from bakeoff.search.groups import group_of
from bakeoff.types import RunState


@dataclass(frozen=True, kw_only=True)
class Share:
    """The part of a study's jobs that falls to one of several.

    Attributes:
        number: from 1. count: of how many.
    """

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def holds(self, job: CohortJob) -> bool:
        """Whether a job falls to it: by what the job computes, and by nothing else."""
        return int(key_of(job)[:12], 16) % self.count == self.number - 1


@dataclass
class PartExecutor:
    """Runs the jobs that fall to a share, each in a folder of its own, and leaves the others.

    Attributes:
        taking: the run's. workshop: runs jobs. share: which fall to it.
        left: those that fall to others.
    """

    taking: Taking
    workshop: Workshop
    share: Share
    left: list[CohortJob] = field(default_factory=list)

    def run(self, jobs: Sequence[CohortJob], then: Then = nothing_more) -> None:
        """See ``Executor``."""
        waiting = deque(jobs)
        while waiting:
            job = waiting.popleft()
            if job.kind == "measure" or not self.share.holds(job):
                self.left.append(job)
                continue
            self._run(job)
            waiting.extend(then(job))

    def test_own(self) -> None:
        """Tests the candidates of its own training jobs, as the whole study will if all end well.

        Those of earlier calls too, which may have ended before their tests.
        Where one of another share goes wrong, cohorts of tests are others, and ``join`` tests these
        candidates itself.
        """
        for job in filter(self.share.holds, self.taking.events.jobs("train")):
            tested = self._test_of(job)
            if tested is not None:
                self._run(tested)

    def _test_of(self, job: CohortJob) -> CohortJob | None:
        findings = self.taking.archive.findings
        finals = {c.id: c for c in findings.schedule.finals if c.state.is_eligible}
        # Of a study that has grown a candidate may be in several jobs: it ended in the last.
        seats = tuple(
            Seat(spec=seat.spec)
            for seat in job.seats
            if seat.id in finals and finals[seat.id].cohort == job.cohort
        )
        if all(seat.id in findings.test_scores for seat in seats):
            return None
        # Those of one group of training are tested beside others where that has more than a base.
        if any(group_of(finals[seat.id]).as_tested.key != job.group for seat in seats):
            return None
        widths = [one.width for one in self.taking.events.jobs("train") if one.group == job.group]
        return replace(
            job, cohort=f"test-of-{job.cohort}", kind="test", seats=seats, width=max(widths)
        )

    def _run(self, job: CohortJob) -> None:
        run, taking = self.taking.run, self.taking
        found = outcome_of(run, job)
        if found is None:
            before = attempts(run, job.cohort)
            place = new_attempt(run, job.cohort)
            with taking.stop.deferred():
                outcome = self.workshop.run(
                    taking.request(job), place, run, before, taking.hear, taking.stop
                )
            write_outcome(place, outcome)
            found = outcome, place
        outcome, root = found
        write_outcome(run / OUTCOMES, outcome, f"{job.cohort}.json")
        taking.take(outcome, root, keep=root == run)
        settle_outcome(run, outcome)


@dataclass
class JoiningExecutor:
    """Takes what shards have left; what none of them trained is left, what is asked is asked here.

    Attributes:
        taking: the run's. library: of the shards. local: runs what need not be trained.
        left: jobs that train and that no shard has run.
    """

    taking: Taking
    library: Library
    local: Executor
    left: list[CohortJob] = field(default_factory=list)

    def run(self, jobs: Sequence[CohortJob], then: Then = nothing_more) -> None:
        """See ``Executor``."""
        waiting = deque(jobs)
        while waiting:
            job = waiting.popleft()
            if not self._take(job):
                if job.kind == "train":
                    self.left.append(job)
                    continue
                self.local.run([job])
            waiting.extend(then(job))

    def test_own(self) -> None:
        """There is nothing that is its own."""

    def _take(self, job: CohortJob) -> bool:
        found = self.library.of(job)
        if found is None:
            return False
        outcome, root = found
        outcome = replace(outcome, job=replace(job, threads=outcome.job.threads))
        if job.kind == "test" and any(one.state is RunState.FAILED for one in outcome.records):
            return False  # tried again here
        try:
            self.taking.take(outcome, root, keep=True)
        except CheckpointError as error:
            raise StoreError(f"{error}; copy the shard's folder again") from error
        return True
