"""Scores on the validation set, where a setting is chosen by more than the likelihood."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from bakeoff.engine.candidate import Candidate
from bakeoff.engine.cohort import Cohort
from bakeoff.errors import ScoreError
from bakeoff.execution.executors import Executor
from bakeoff.execution.failures import reason_of, traceback_of
from bakeoff.execution.findings import Findings
from bakeoff.execution.packing import tests_on
from bakeoff.execution.passes import PassWorker, run_tests
from bakeoff.execution.questions import Questions
from bakeoff.metrics.contract import ModelOutputs
from bakeoff.runs.events import CohortJob, EventLog
from bakeoff.search.selection import Selection

_log = logging.getLogger(__name__)


def score_for_choice(
    candidates: Sequence[Candidate],
    selection: Selection,
    questions: Questions,
    events: EventLog,
    executor: Executor,
) -> None:
    """Scores candidates on validation by what their settings are chosen by.

    Each has a value afterwards, or None where it could not be scored.

    Args:
        candidates: that ended well and have no value. selection: by what settings are chosen.
        questions, events: the run's. executor: who runs the jobs.
    """
    run_tests(candidates, questions, events, executor, "validation")
    known = {c.id for c in candidates if c.validation.get(selection.metric) is not None}
    for job in tests_on(events, "validation"):
        events.accept(job, [name for name in job.candidates if name in known])


class ChoiceWorker(PassWorker[ModelOutputs]):
    """Scores the candidates of a job on the validation set.

    Args:
        questions, findings: the run's. selection: by what settings are chosen.
    """

    def __init__(self, questions: Questions, findings: Findings, selection: Selection) -> None:
        super().__init__(questions)
        self._findings, self._selection = findings, selection
        self._metric = next(m for m in questions.metrics if m.name == selection.metric)

    def group_of(self, job: CohortJob) -> list[Candidate]:
        """See ``PassWorker``."""
        eligible = {c.id: c for c in self._findings.candidates if c.state.is_eligible}
        return [eligible[name] for name in job.candidates if name in eligible]

    def is_known(self, candidate: Candidate) -> bool:
        """See ``PassWorker``."""
        return self._selection.metric in candidate.validation

    def ask(self, cohort: Cohort, slots: Sequence[int], names: str) -> list[ModelOutputs]:
        """See ``PassWorker``."""
        return self.questions.asked(
            cohort,
            slots,
            "validation",
            frozenset({self._metric.asks}),
            f"validation: {names}",
            rows=self._selection.rows,
        )

    def keep(self, candidate: Candidate, outcome: ModelOutputs) -> None:
        """See ``PassWorker``."""
        part = self.bench.data.splits["validation"].first(self._selection.rows)
        sums = self._metric.statistics(outcome, part.expected).sum(axis=0)
        value = float(self._metric.value(sums))
        if value != value:
            raise ScoreError(
                f"validation of method {candidate.method_name}, seed {candidate.seed}: "
                f"{self._metric.title} is not a finite number"
            )
        candidate.validation[self._selection.metric] = value
        self.archive.keep_validation(candidate)
        _log.info("%s: validation %s %.4f", candidate.id, self._metric.name, value)

    def fail(self, candidate: Candidate, error: Exception) -> None:
        """The candidate takes no part in the choice."""
        candidate.validation[self._selection.metric] = None
        self.archive.keep_error(candidate, traceback_of(error))
        self.archive.keep_validation(candidate)
        self.questions.note(
            f"{candidate.id} takes no part in the choice of a setting: {self._metric.title} on "
            f"validation failed: {reason_of(error)}"
        )
