"""Baselines, which need no training: asked before anything is trained."""

from __future__ import annotations

from bakeoff.engine.cohort import Cohort
from bakeoff.errors import StoreError
from bakeoff.execution.archive import ERROR_FILE
from bakeoff.execution.executors import Executor
from bakeoff.execution.failures import reason_of, traceback_of
from bakeoff.execution.findings import Findings
from bakeoff.execution.outputs import answers_of
from bakeoff.execution.packing import pack_baselines
from bakeoff.execution.questions import Questions
from bakeoff.runs.events import CohortJob, EventLog
from bakeoff.tasks.contract import Baseline


def ask_baselines(
    questions: Questions, findings: Findings, events: EventLog, executor: Executor
) -> None:
    """Asks the baselines that have no scores yet.

    Args:
        questions, findings, events: the run's. executor: who runs the jobs.
    """
    bench = questions.bench
    names = [b.name for b in bench.task.baselines if b.name not in findings.baselines]
    jobs = pack_baselines(names, events, bench.protocol.micro_batch_size)
    with questions:
        executor.run(jobs)
    # Of earlier jobs too: a process may have died before it came to accept what it had kept.
    for job in events.jobs("baseline"):
        events.accept(job, [name for name in job.baselines if name in findings.baselines])


class BaselineWorker:
    """Asks the baselines of a job; one that fails fails alone.

    Args:
        questions, findings: the run's.
    """

    def __init__(self, questions: Questions, findings: Findings) -> None:
        self._questions, self._findings = questions, findings
        self._bench, self._archive, self._view = questions.bench, questions.archive, questions.view

    def run(self, job: CohortJob) -> None:
        """Asks those of a job that the task has and that have no scores."""
        for baseline in self._bench.task.baselines:
            if baseline.name not in job.baselines or baseline.name in self._findings.baselines:
                continue
            try:
                self._ask(baseline)
            except StoreError:
                raise
            except Exception as error:  # whatever it is, the methods are trained
                self._findings.failed_baselines.add(baseline.name)
                self._archive.keep_baseline_error(baseline.name, traceback_of(error))
                self._questions.note(
                    f"the baseline {baseline.title} failed: {reason_of(error)} (the whole "
                    f"error is in baselines/{baseline.name}/{ERROR_FILE})"
                )

    def _ask(self, baseline: Baseline) -> None:
        splits = self._bench.data.splits
        if baseline.outputs is None:
            with Cohort(self._bench.base, [], 1) as cohort:
                [(validation, outputs)] = self._questions.outcomes(
                    cohort, [0], f"{baseline.title} answers", validate=True
                )
        else:
            validation = baseline.outputs(splits["train"], splits["validation"])
            outputs = baseline.outputs(splits["train"], splits["test"])
        sets = {"test": self._questions.scores(outputs, "test")}
        if validation is not None:
            sets["validation"] = self._questions.scores(validation, "validation")
        for split, scores in sets.items():
            if (row := scores.bad_row()) is not None:
                self._questions.note(
                    f"{baseline.title}: the score of {split} row {row} is not a finite number, so "
                    "it takes no part in the comparisons"
                )
                return
        self._archive.keep_baseline(
            baseline, answers_of(self._bench.task, outputs, self._bench.data.splits["test"]), sets
        )
        self._view.say(f"  {baseline.title:<28} {self._questions.shown(sets['test'])}")
