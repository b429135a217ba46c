"""The test set, once for each candidate that may be chosen."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from bakeoff.engine.candidate import Candidate
from bakeoff.engine.cohort import Cohort
from bakeoff.errors import ScoreError
from bakeoff.execution.executors import Executor
from bakeoff.execution.failures import reason_of, traceback_of
from bakeoff.execution.findings import Findings
from bakeoff.execution.outputs import answers_of
from bakeoff.execution.packing import tests_on
from bakeoff.execution.passes import PassWorker, run_tests
from bakeoff.execution.questions import Questions
from bakeoff.metrics.contract import Ask, ModelOutputs
from bakeoff.runs.events import CohortJob, EventLog
from bakeoff.types import RunState

_log = logging.getLogger(__name__)
Outcome = tuple[ModelOutputs | None, ModelOutputs]
"""Of the validation set, where it is asked, and of the test set."""


def score_candidates(
    questions: Questions, findings: Findings, events: EventLog, executor: Executor
) -> None:
    """Tests every final candidate that ended well and is not tested yet, by execution path.

    Args:
        questions, findings, events: the run's. executor: who runs the jobs.
    """
    untested = [
        candidate
        for candidate in findings.schedule.finals
        if candidate.state.is_eligible and candidate.id not in findings.test_scores
    ]
    run_tests(untested, questions, events, executor, "test")
    # Of earlier jobs too: a process may have died before it came to accept what it had kept.
    for job in tests_on(events, "test"):
        events.accept(job, [name for name in job.candidates if name in findings.test_scores])


class TestingWorker(PassWorker[Outcome]):
    """Scores the candidates of a job on the test set and keeps their predictions.

    Args:
        questions, findings: the run's.
    """

    __test__ = False  # no class of tests, whatever its name begins with

    def __init__(self, questions: Questions, findings: Findings) -> None:
        super().__init__(questions)
        self.findings = findings

    def group_of(self, job: CohortJob) -> list[Candidate]:
        """See ``PassWorker``."""
        eligible = {c.id: c for c in self.findings.schedule.finals if c.state.is_eligible}
        return [eligible[name] for name in job.candidates if name in eligible]

    def is_known(self, candidate: Candidate) -> bool:
        """See ``PassWorker``."""
        return candidate.id in self.findings.test_scores

    def ask(self, cohort: Cohort, slots: Sequence[int], names: str) -> list[Outcome]:
        """See ``PassWorker``."""
        validate = Ask.CHOICE in self.bench.task.asks
        return self.questions.outcomes(cohort, slots, f"answers: {names}", validate=validate)

    def keep(self, candidate: Candidate, outcome: Outcome) -> None:
        """See ``PassWorker``."""
        validation, outputs = outcome
        sets = {"test": self.questions.scores(outputs, "test")}
        if validation is not None:
            sets["validation"] = self.questions.scores(validation, "validation")
        for split, scores in sets.items():
            if (row := scores.bad_row()) is not None:
                raise ScoreError(
                    f"{split} row {row} of method {candidate.method_name}, seed "
                    f"{candidate.seed}: its score is not a finite number"
                )
        answers = answers_of(outputs, self.bench.data.splits["test"])
        self.archive.keep_scores(candidate, answers, sets)
        shown = self.questions.shown(sets["test"])
        _log.info("%s: tested, %s", candidate.id, shown)
        self.view.on_tested(candidate.id, shown)

    def fail(self, candidate: Candidate, error: Exception) -> None:
        """What it was trained to stays on the disk, so that the next call only tests it."""
        candidate.state = RunState.FAILED
        candidate.reason = f"testing failed: {reason_of(error)}"
        self.archive.keep_error(candidate, traceback_of(error))
        self.view.on_end(candidate)
        _log.error("%s: %s", candidate.id, candidate.reason)
