"""Further test sets: asked once the study's own is, and of what failed there nothing else fails."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from bakeoff.engine.candidate import Candidate
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.workbench import TestSet
from bakeoff.errors import ScoreError, StoreError
from bakeoff.execution.executors import Executor
from bakeoff.execution.failures import reason_of, traceback_of
from bakeoff.execution.findings import Findings
from bakeoff.execution.outputs import answers_of
from bakeoff.execution.packing import baselines_on, pack_baselines, tests_on
from bakeoff.execution.passes import PassWorker, run_tests
from bakeoff.execution.questions import Questions
from bakeoff.execution.scores import SetScores
from bakeoff.execution.shared_runs import end_if_alone
from bakeoff.metrics.contract import ModelOutputs
from bakeoff.runs.events import CohortJob, EventLog
from bakeoff.tasks.contract import ZERO_SHOT


def also_questions(questions: Questions) -> dict[str, Questions]:
    """For each further test set of a study what asks it.

    Args:
        questions: the run's, on the study's own sets.
    """
    bench, archive, view = questions.bench, questions.archive, questions.view
    return {name: Questions(bench, archive, view, found) for name, found in bench.also.items()}


def ask_also(
    each: Mapping[str, Questions], findings: Findings, events: EventLog, executor: Executor
) -> None:
    """Asks the untuned base and every tested candidate on the sets where they have no scores.

    Args:
        each: by set, see ``also_questions``. findings, events: the run's.
        executor: who runs the jobs.
    """
    for name, questions in each.items():
        if ZERO_SHOT.name in findings.baselines:
            _ask_untuned(name, questions, findings, events, executor)
        missing = [
            candidate
            for candidate in _tested(findings)
            if questions.bench.also[name].asks(candidate.method_name)
            and candidate.id not in findings.also_scores.get(name, {})
        ]
        run_tests(missing, questions, events, executor, name)
        # Of earlier jobs too: a process may have died before it came to accept what it had kept.
        known = findings.also_scores.get(name, {})
        for job in tests_on(events, name):
            events.accept(job, [one for one in job.candidates if one in known])


def _ask_untuned(
    name: str, questions: Questions, findings: Findings, events: EventLog, executor: Executor
) -> None:
    known = findings.also_baselines.setdefault(name, {})
    if ZERO_SHOT.name not in known:
        rows = questions.bench.protocol.micro_batch_size
        jobs = pack_baselines([ZERO_SHOT.name], events, rows, name)
        with questions:
            executor.run(jobs)
    for job in baselines_on(events, name):
        events.accept(job, [one for one in job.baselines if one in known])


def _tested(findings: Findings) -> list[Candidate]:
    """The final candidates that have scores on the study's own test set."""
    return [
        candidate
        for candidate in findings.schedule.finals
        if candidate.state.is_eligible and candidate.id in findings.test_scores
    ]


class AlsoWorker(PassWorker[ModelOutputs]):
    """Scores the candidates of a job on a further test set.

    Args:
        questions: on the set. findings: the run's. name: the set's.
    """

    def __init__(self, questions: Questions, findings: Findings, name: str) -> None:
        super().__init__(questions)
        self._findings, self._name = findings, name
        self._set = self.bench.also[name]

    def group_of(self, job: CohortJob) -> list[Candidate]:
        """See ``PassWorker``."""
        tested = {candidate.id: candidate for candidate in _tested(self._findings)}
        return [tested[name] for name in job.candidates if name in tested]

    def is_known(self, candidate: Candidate) -> bool:
        """See ``PassWorker``."""
        return candidate.id in self._findings.also_scores.get(self._name, {})

    def ask(self, cohort: Cohort, slots: Sequence[int], names: str) -> list[ModelOutputs]:
        """See ``PassWorker``."""
        return _asked(self.questions, self._set, cohort, slots, f"{self._name}: {names}")

    def keep(self, candidate: Candidate, outcome: ModelOutputs) -> None:
        """See ``PassWorker``."""
        scores = _scores(self.questions, self._set, outcome, f"{self._name}, {candidate.id}")
        answers = answers_of(outcome, self._set.data)
        self.archive.keep_also(candidate, self._name, answers, scores)
        _say(self.questions, candidate.id, scores, self._name)

    def fail(self, candidate: Candidate, error: Exception) -> None:
        """The candidate has no result on this set; what it reached elsewhere stands."""
        self._findings.failed_also.add((self._name, candidate.id))
        self.archive.keep_error(candidate, traceback_of(error))
        self.questions.note(f"{candidate.id} has no result on {self._name}: {reason_of(error)}")


class AlsoBaselineWorker:
    """Asks the untuned base on a further test set.

    Args:
        questions: on the set. findings: the run's. name: the set's.
    """

    def __init__(self, questions: Questions, findings: Findings, name: str) -> None:
        self._questions, self._findings, self._name = questions, findings, name
        self._set = questions.bench.also[name]

    def run(self, job: CohortJob) -> None:
        """Asks those of a job that have no scores on the set."""
        for baseline in job.baselines:
            if baseline in self._findings.also_baselines.get(self._name, {}):
                continue
            try:
                self._ask(baseline)
            except StoreError:
                raise
            except Exception as error:  # whatever it is, the candidates are tested
                end_if_alone(error)
                self._findings.failed_also.add((self._name, baseline))
                archive = self._questions.archive
                archive.keep_baseline_error(baseline, traceback_of(error))
                self._questions.note(
                    f"{ZERO_SHOT.title} has no result on {self._name}: {reason_of(error)}"
                )

    def _ask(self, baseline: str) -> None:
        title = f"{self._name}: {ZERO_SHOT.title} answers"
        with Cohort(self._questions.bench.base, [], 1) as cohort:
            [outputs] = _asked(self._questions, self._set, cohort, [0], title)
        scores = _scores(self._questions, self._set, outputs, f"{self._name}, {baseline}")
        answers = answers_of(outputs, self._set.data)
        self._questions.archive.keep_also_baseline(baseline, self._name, answers, scores)
        _say(self._questions, ZERO_SHOT.title, scores, self._name)


def also_workers(
    each: Mapping[str, Questions], findings: Findings
) -> tuple[dict[str, AlsoWorker], dict[str, AlsoBaselineWorker]]:
    """By set who tests candidates on it, and who asks baselines.

    Args:
        each: by set, see ``also_questions``. findings: the run's.
    """
    return (
        {name: AlsoWorker(questions, findings, name) for name, questions in each.items()},
        {name: AlsoBaselineWorker(questions, findings, name) for name, questions in each.items()},
    )


def _asked(
    questions: Questions, found: TestSet, cohort: Cohort, slots: Sequence[int], title: str
) -> list[ModelOutputs]:
    return questions.asked_of(cohort, slots, found.data, found.plan, found.task.asks, title)


def _scores(questions: Questions, found: TestSet, outputs: ModelOutputs, who: str) -> SetScores:
    """Raises ScoreError where a row's score is not a finite number."""
    scores = SetScores.of(questions.metrics, outputs, found.data.expected)
    if (row := scores.bad_row()) is not None:
        raise ScoreError(f"{who}: the score of row {row} is not a finite number")
    return scores


def _say(questions: Questions, who: str, scores: SetScores, name: str) -> None:
    shown = questions.shown(scores, name)
    logging.getLogger(__name__).info("%s: %s", who, shown)
    questions.view.on_tested(who, shown)
