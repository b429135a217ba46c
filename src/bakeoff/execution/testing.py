"""The test set, once for each candidate that may be chosen."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from bakeoff.engine.backends.memory import is_out_of_memory, release_memory
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.workbench import Workbench
from bakeoff.errors import ScoreError, StoreError
from bakeoff.execution.executors import Executor
from bakeoff.execution.failures import reason_of, traceback_of
from bakeoff.execution.findings import Findings
from bakeoff.execution.outputs import answers_of
from bakeoff.execution.packing import pack_tests
from bakeoff.execution.questions import Questions
from bakeoff.methods.contract import ExecutionPath
from bakeoff.metrics.contract import Ask, ModelOutputs
from bakeoff.runs.events import CohortJob, EventLog
from bakeoff.types import RunState

_log = logging.getLogger(__name__)


def score_candidates(
    questions: Questions, findings: Findings, events: EventLog, executor: Executor
) -> None:
    """Tests every final candidate that ended well and is not tested yet, by execution path.

    Args:
        questions, findings, events: the run's. executor: who runs the jobs.
    """
    for path in ExecutionPath:
        missing = [c for c in _untested(findings) if c.method.execution_path is path]
        if missing:
            _score(missing, path, questions, events, executor)
        # Of earlier jobs too: a process may have died before it came to accept what it had kept.
        for job in events.jobs("test"):
            if job.group == path.value:
                known = [name for name in job.candidates if name in findings.test_scores]
                events.accept(job, known)


def _score(
    missing: Sequence[Candidate],
    path: ExecutionPath,
    questions: Questions,
    events: EventLog,
    executor: Executor,
) -> None:
    """Tests candidates of one execution path."""
    trained = [job.width for job in events.jobs("train") if job.group == path.value]
    jobs = pack_tests(
        missing,
        events,
        group=path.value,
        # As wide as in training, which memory has held.
        num_slots=partial(_width, trained, questions.bench),
        micro_batch_size=questions.bench.protocol.micro_batch_size,
    )
    names = {candidate.id for candidate in missing}
    with questions:
        executor.run([job for job in jobs if names & set(job.candidates)])


def _width(trained: Sequence[int], bench: Workbench, found: Sequence[Candidate]) -> int:
    return max(trained) if trained else bench.num_slots(found)


def _untested(findings: Findings) -> list[Candidate]:
    return [
        candidate
        for candidate in findings.schedule.finals
        if candidate.state.is_eligible and candidate.id not in findings.test_scores
    ]


class TestingWorker:
    """Scores the candidates of a job on the test set and keeps their predictions.

    They are tested in one pass, whole, so that an interrupted test, taken up again, rounds as an
    undisturbed one. Where memory does not hold the pass, each of it goes alone; a candidate that
    it does not hold alone has failed, and the rest is tested.

    Args:
        questions, findings: the run's.
    """

    __test__ = False  # no class of tests, whatever its name begins with

    def __init__(self, questions: Questions, findings: Findings) -> None:
        self._questions, self._findings = questions, findings
        self._bench, self._archive, self._view = questions.bench, questions.archive, questions.view

    def run(self, job: CohortJob) -> None:
        """Tests those of a job that the study still has."""
        eligible = {c.id: c for c in self._findings.schedule.finals if c.state.is_eligible}
        group = [eligible[name] for name in job.candidates if name in eligible]
        self._test(group)

    def _test(self, group: Sequence[Candidate]) -> None:
        """Tests candidates in one pass; where that fails, each alone, so that one fails alone."""
        try:
            outcomes = self._pass(group)
        except StoreError:
            raise
        except Exception as error:  # whatever it is, the others are tested
            failure: Exception | None = error
        else:
            failure = None
        self._view.clear()
        if failure is not None:
            is_short = is_out_of_memory(failure)
            if len(group) == 1:
                self._fail(group[0], failure)
                return
            # The error holds the cohort, and its memory with it.
            failure = None
            release_memory()
            if is_short:
                note = (
                    f"memory is too small to test {len(group)} candidates in one pass; each of "
                    f"{', '.join(candidate.id for candidate in group)} goes alone"
                )
                self._questions.note(note)
            for candidate in group:
                if candidate.id not in self._findings.test_scores:
                    self._test([candidate])
            return
        for candidate, (validation, outputs) in zip(group, outcomes, strict=True):
            if candidate.id in self._findings.test_scores:
                continue  # of an earlier call, and what is kept stays
            try:
                sets = {"test": self._questions.scores(outputs, "test")}
                if validation is not None:
                    sets["validation"] = self._questions.scores(validation, "validation")
                for split, scores in sets.items():
                    if (row := scores.bad_row()) is not None:
                        raise ScoreError(
                            f"{split} row {row} of method {candidate.method_name}, seed "
                            f"{candidate.seed}: its score is not a finite number"
                        )
                self._archive.keep_scores(
                    candidate,
                    answers_of(self._bench.task, outputs, self._bench.data.splits["test"]),
                    sets,
                )
            except StoreError:
                raise
            except Exception as error:
                self._fail(candidate, error)
                continue
            _log.info("%s: tested, %s", candidate.id, self._questions.shown(sets["test"]))
            self._view.say(f"  {candidate.id:<28} {self._questions.shown(sets['test'])}")

    def _fail(self, candidate: Candidate, error: Exception) -> None:
        """Marks a candidate that cannot be tested; what it was trained to stays on the disk.

        So the next call only tests it.
        """
        candidate.state = RunState.FAILED
        candidate.reason = f"testing failed: {reason_of(error)}"
        self._archive.keep_error(candidate, traceback_of(error))
        self._view.on_end(candidate)
        _log.error("%s: %s", candidate.id, candidate.reason)

    def _pass(self, group: Sequence[Candidate]) -> list[tuple[ModelOutputs | None, ModelOutputs]]:
        methods = list(dict.fromkeys(c.method for c in group))
        with ExitStack() as stack:
            cohort = Cohort(self._bench.base, methods, len(group))
            for slot, candidate in enumerate(group):
                cohort.seat(slot, candidate.method, self._archive.tensors_of(candidate))
            stack.enter_context(cohort)
            names = ", ".join(dict.fromkeys(c.method_name for c in group))
            return self._questions.outcomes(
                cohort,
                list(range(len(group))),
                f"answers: {names}",
                validate=Ask.CHOICE in self._bench.task.asks,
            )
