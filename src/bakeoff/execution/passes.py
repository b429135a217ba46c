"""Candidates asked in one pass; what fails of it fails alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Generic, TypeVar

from bakeoff.engine.backends.memory import is_out_of_memory, release_memory
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.workbench import Workbench
from bakeoff.errors import StoreError
from bakeoff.execution.executors import Executor
from bakeoff.execution.packing import pack_tests, tests_on
from bakeoff.execution.questions import Questions
from bakeoff.execution.shared_runs import end_if_alone
from bakeoff.runs.events import CohortJob, EventLog
from bakeoff.search.groups import tested_together

Outcome = TypeVar("Outcome")


def run_tests(
    missing: Sequence[Candidate],
    questions: Questions,
    events: EventLog,
    executor: Executor,
    split: str,
) -> None:
    """Tests candidates on a set, those of a group together.

    Args:
        missing: all of them. questions: on the set. events: the run's.
        executor: who runs the jobs. split: the set's name.
    """
    if not missing:
        return
    for group, together in tested_together(missing).items():
        trained = [job.width for job in events.jobs("train") if job.group == group.key]
        pack_tests(
            together,
            events,
            group=group.key,
            # As wide as in training, which memory has held.
            num_slots=partial(_width, trained, questions.bench),
            micro_batch_size=questions.bench.protocol.micro_batch_size,
            split=split,
        )
    names = {candidate.id for candidate in missing}
    with questions:
        executor.run([job for job in tests_on(events, split) if names & set(job.candidates)])


def _width(trained: Sequence[int], bench: Workbench, found: Sequence[Candidate]) -> int:
    return max(trained) if trained else bench.num_slots(found)


class PassWorker(ABC, Generic[Outcome]):
    """Asks the candidates of a job in one pass and keeps what each gives.

    They are asked together, whole, so that an interrupted job, taken up again, rounds as an
    undisturbed one. Where memory does not hold the pass, each of it goes alone; a candidate that
    it does not hold alone has failed, and the rest is asked.

    Args:
        questions: the run's.
    """

    def __init__(self, questions: Questions) -> None:
        self.questions = questions
        self.bench, self.archive, self.view = questions.bench, questions.archive, questions.view

    @abstractmethod
    def group_of(self, job: CohortJob) -> list[Candidate]:
        """Those of a job that the study still has and that can be asked."""

    @abstractmethod
    def is_known(self, candidate: Candidate) -> bool:
        """Whether an earlier call has kept what it gives; what is kept stays."""

    @abstractmethod
    def ask(self, cohort: Cohort, slots: Sequence[int], names: str) -> list[Outcome]:
        """What each slot's candidate gives.

        Args:
            cohort: with the candidates in its slots. names: of the methods, for readers.
        """

    @abstractmethod
    def keep(self, candidate: Candidate, outcome: Outcome) -> None:
        """Keeps it; whatever goes wrong is the candidate's failure."""

    @abstractmethod
    def fail(self, candidate: Candidate, error: Exception) -> None:
        """Marks a candidate that cannot be asked, or whose answers cannot be kept."""

    def run(self, job: CohortJob) -> None:
        """Asks a job's candidates."""
        self._run(self.group_of(job))

    def _run(self, group: Sequence[Candidate]) -> None:
        """Asks candidates in one pass; where that fails, each alone, so that one fails alone."""
        try:
            outcomes = self._pass(group)
        except StoreError:
            raise
        except Exception as error:  # whatever it is, the others are tested
            end_if_alone(error)
            failure: Exception | None = error
        else:
            failure = None
        self.view.clear()
        if failure is not None:
            is_short = is_out_of_memory(failure)
            if len(group) == 1:
                self.fail(group[0], failure)
                return
            # The error holds the cohort, and its memory with it.
            failure = None
            release_memory()
            if is_short:
                note = (
                    f"memory is too small to test {len(group)} candidates in one pass; each of "
                    f"{', '.join(candidate.id for candidate in group)} goes alone"
                )
                self.questions.note(note)
            for candidate in group:
                if not self.is_known(candidate):
                    self._run([candidate])
            return
        for candidate, outcome in zip(group, outcomes, strict=True):
            if self.is_known(candidate):
                continue
            try:
                self.keep(candidate, outcome)
            except StoreError:
                raise
            except Exception as error:  # whatever it is, the others are kept
                self.fail(candidate, error)

    def _pass(self, group: Sequence[Candidate]) -> list[Outcome]:
        methods = list(dict.fromkeys(c.method for c in group))
        with ExitStack() as stack:
            cohort = Cohort(methods[0].base, methods, len(group))
            for slot, candidate in enumerate(group):
                cohort.seat(slot, candidate.method, self.archive.tensors_of(candidate))
            stack.enter_context(cohort)
            names = ", ".join(dict.fromkeys(c.method_name for c in group))
            return self.ask(cohort, list(range(len(group))), names)
