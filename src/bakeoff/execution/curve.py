"""The candidates of learning curves on the study's test rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bakeoff.engine.candidate import Candidate
from bakeoff.engine.cohort import Cohort
from bakeoff.execution.executors import Executor
from bakeoff.execution.findings import Findings
from bakeoff.execution.packing import tests_on
from bakeoff.execution.passes import run_tests
from bakeoff.execution.questions import Questions
from bakeoff.execution.testing import Outcome, TestingWorker
from bakeoff.runs.events import CohortJob, EventLog

CURVE_SET: Final = "learning curve"
"""The set of a job that tests them, which no further test set can be called."""


def score_curve(
    questions: Questions, findings: Findings, events: EventLog, executor: Executor
) -> None:
    """Tests every candidate of a learning curve that ended well and is not tested yet.

    Args:
        questions, findings, events: the run's. executor: who runs the jobs.
    """
    missing = [one for one in _eligible(findings) if one.id not in findings.test_scores]
    run_tests(missing, questions, events, executor, CURVE_SET)
    # Of earlier jobs too: a process may have died before it came to accept what it had kept.
    for job in tests_on(events, CURVE_SET):
        events.accept(job, [name for name in job.candidates if name in findings.test_scores])


class CurveWorker(TestingWorker):
    """Scores candidates on the test rows by what the curve needs, and by nothing else.

    Args:
        questions, findings: the run's.
    """

    def group_of(self, job: CohortJob) -> list[Candidate]:
        """See ``PassWorker``."""
        eligible = {candidate.id: candidate for candidate in _eligible(self.findings)}
        return [eligible[name] for name in job.candidates if name in eligible]

    def ask(self, cohort: Cohort, slots: Sequence[int], names: str) -> list[Outcome]:
        """See ``PassWorker``."""
        asks, title = self.bench.curve.asks, f"learning curve: {names}"
        return [(None, one) for one in self.questions.asked(cohort, slots, "test", asks, title)]


def _eligible(findings: Findings) -> list[Candidate]:
    return [one for one in findings.schedule.on_curve if one.state.is_eligible]
