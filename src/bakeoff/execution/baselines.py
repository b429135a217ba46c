"""Baselines, which need no training: asked before anything is trained."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from bakeoff.data.taskdata import SplitData
from bakeoff.engine.cohort import Cohort
from bakeoff.errors import DataError, StoreError
from bakeoff.execution.archive import ERROR_FILE
from bakeoff.execution.executors import Executor
from bakeoff.execution.failures import reason_of, traceback_of
from bakeoff.execution.findings import Findings
from bakeoff.execution.outputs import answers_of
from bakeoff.execution.packing import baselines_on, pack_baselines
from bakeoff.execution.questions import Questions
from bakeoff.execution.scores import SetScores
from bakeoff.execution.shared_runs import end_if_alone
from bakeoff.formatting import join
from bakeoff.metrics.contract import Ask, ModelOutputs
from bakeoff.runs.baseline_cost import BaselineCost
from bakeoff.runs.events import CohortJob, EventLog
from bakeoff.search.selection import ROWS_OF_TEXT
from bakeoff.tasks.contract import Baseline
from bakeoff.tasks.preparation.shots import ShotData


def ask_baselines(
    questions: Questions, findings: Findings, events: EventLog, executor: Executor
) -> None:
    """Asks the baselines that have no scores yet.

    Args:
        questions, findings, events: the run's. executor: who runs the jobs.
    """
    bench = questions.bench
    names = [b.name for b in bench.baselines if b.name not in findings.baselines]
    jobs = pack_baselines(names, events, bench.protocol.micro_batch_size)
    with questions:
        executor.run(jobs)
    # Of earlier jobs too: a process may have died before it came to accept what it had kept.
    for job in baselines_on(events, "test"):
        events.accept(job, [name for name in job.baselines if name in findings.baselines])


TimeAnswers = Callable[[Cohort, SplitData], float | None]
"""Rows of a set per second that a cohort's first slot answers; None where it answers nothing."""


class BaselineWorker:
    """Asks the baselines of a job; one that fails fails alone.

    Args:
        questions, findings: the run's. deciding: the metric by which the number of shots is chosen.
        time_answers: times the base, whose calls are priced by it; None leaves that out.
    """

    def __init__(
        self,
        questions: Questions,
        findings: Findings,
        deciding: str,
        time_answers: TimeAnswers | None = None,
    ) -> None:
        self._time_answers = time_answers
        self._questions, self._findings = questions, findings
        self._deciding = next(m for m in questions.metrics if m.name == deciding)
        self._bench, self._archive, self._view = questions.bench, questions.archive, questions.view

    def run(self, job: CohortJob) -> None:
        """Asks those of a job that the task has and that have no scores."""
        for baseline in self._bench.baselines:
            if baseline.name not in job.baselines or baseline.name in self._findings.baselines:
                continue
            try:
                self._ask(baseline)
            except StoreError:
                raise
            except Exception as error:  # whatever it is, the methods are trained
                end_if_alone(error)
                self._findings.failed_baselines.add(baseline.name)
                self._archive.keep_baseline_error(baseline.name, traceback_of(error))
                self._questions.note(
                    f"the baseline {baseline.title} failed: {reason_of(error)} (the whole "
                    f"error is in baselines/{baseline.name}/{ERROR_FILE})"
                )

    def _ask(self, baseline: Baseline) -> None:
        if baseline.shots:
            self._ask_with_shots(baseline)
            return
        splits, cost = self._bench.data.splits, None
        if baseline.outputs is None:
            with Cohort(self._bench.base, [], 1) as cohort:
                [(validation, outputs)] = self._questions.outcomes(
                    cohort, [0], f"{baseline.title} answers", validate=True
                )
                cost = self._cost(cohort, [(splits["test"], outputs)])
        else:
            validation = baseline.outputs(splits["train"], splits["validation"])
            outputs = baseline.outputs(splits["train"], splits["test"])
        sets = {"test": self._questions.scores(outputs, "test")}
        if validation is not None:
            sets["validation"] = self._questions.scores(validation, "validation")
        answers = answers_of(outputs, self._bench.data.splits["test"])
        self._keep(baseline, answers, sets, cost=cost)

    def _cost(
        self, cohort: Cohort, asked: Sequence[tuple[SplitData, ModelOutputs]]
    ) -> BaselineCost:
        """What an answer takes.

        Args:
            cohort: entered, with the base alone. asked: of each draw the test set and what came.
        """
        first, _ = asked[0]
        return BaselineCost(
            tokens_read=fmean(float(part.prompts.lengths.mean()) for part, _ in asked),
            tokens_written=fmean(
                float((part.target_counts if o.written_N is None else o.written_N).mean())
                for part, o in asked
            ),
            generation_rows_per_second=None
            if self._time_answers is None
            else self._time_answers(cohort, first),
        )

    def _keep(
        self,
        baseline: Baseline,
        answers: Sequence[str],
        *draws: Mapping[str, SetScores],
        shots: int | None = None,
        cost: BaselineCost | None = None,
    ) -> None:
        if not all(scores.statistics for sets in draws for scores in sets.values()):
            self._questions.note(
                f"{baseline.title}: no metric of the study scores its answers, so it takes no part "
                "in the comparisons; task.metrics names those that score text"
            )
            return
        for sets in draws:
            for split, scores in sets.items():
                if (row := scores.bad_row()) is not None:
                    self._questions.note(
                        f"{baseline.title}: the score of {split} row {row} is not a finite number, "
                        "so it takes no part in the comparisons"
                    )
                    return
        self._archive.keep_baseline(baseline, answers, *draws, shots=shots, cost=cost)
        self._view.on_tested(baseline.title, self._questions.shown(draws[0]["test"]))

    def _ask_with_shots(self, baseline: Baseline) -> None:
        """Asks with training rows before each prompt, as many as validation finds best.

        The number is found with a draw of its own; every seed of the study then draws again.
        """
        source = self._bench.shots
        assert source is not None, "a baseline with shots needs rows for them"
        with Cohort(self._bench.base, [], 1) as cohort:
            number, searched = self._number_of_shots(baseline, cohort, source)
            seeds = self._bench.protocol.seed_list if number else (0,)
            draws: list[dict[str, SetScores]] = []
            answers: list[str] = []
            asked: list[tuple[SplitData, ModelOutputs]] = []
            for seed in seeds:
                parts = source.of(number, seed) if number else self._bench.data.splits
                if parts is None:
                    raise DataError(
                        f"{number} training rows before each prompt do not fit with those that "
                        f"seed {seed} draws; give fewer (few_shot: {{shots: [1, 2]}}), or a larger "
                        "task.max_length"
                    )
                asks, length = self._bench.task.asks, source.max_length(number)
                sets: dict[str, SetScores] = {}
                for split in ("validation", "test"):
                    wanted = asks if split == "test" else asks - {Ask.TEXT}
                    outputs = self._outputs(cohort, parts[split], wanted, length, baseline.title)
                    expected = parts[split].expected
                    sets[split] = SetScores.of(self._questions.metrics, outputs, expected)
                    if split == "test":
                        asked.append((parts[split], outputs))
                        answers = answers or answers_of(outputs, parts[split])
                draws.append(sets)
            cost = replace(self._cost(cohort, asked), search_seconds=searched)
        self._keep(baseline, answers, *draws, shots=number, cost=cost)

    def _number_of_shots(
        self, baseline: Baseline, cohort: Cohort, source: ShotData
    ) -> tuple[int, float]:
        """The best number by the deciding metric on validation; the fewest among equals.

        Returns:
            It, and the seconds that all numbers were asked for.
        """
        seconds = 0.0
        metric, found = self._deciding, dict[int, float]()
        left_out = []
        for number in (0, *baseline.shots):
            parts = self._bench.data.splits
            if number:
                drawn = source.of(number, self._bench.protocol.search_seed)
                if drawn is None:
                    left_out.append(number)
                    continue
                parts = drawn
            part = parts["validation"]
            if metric.asks is Ask.TEXT:
                part = part.first(ROWS_OF_TEXT)
            asks, length = frozenset({metric.asks}), source.max_length(number)
            title = f"{baseline.title} {number}"
            before = time.perf_counter()
            outputs = self._outputs(cohort, part, asks, length, title)
            seconds += time.perf_counter() - before
            sums = metric.statistics(outputs, part.expected).sum(axis=0)
            found[number] = float(metric.value(sums)) * (1.0 if metric.higher_is_better else -1.0)
        best = max(found, key=lambda number: found[number])
        text = f"{baseline.title}: {best} training rows before each prompt"
        text += f", the best of {join(list(map(str, found)))} by {metric.title} on validation"
        if left_out:
            text += f"; {join(list(map(str, left_out)))} do not fit"
        self._questions.note(text)
        return best, seconds

    def _outputs(
        self, cohort: Cohort, part: SplitData, asks: frozenset[Ask], max_length: int, title: str
    ) -> ModelOutputs:
        plan = self._bench.plan_of(part, max_length)
        [outputs] = self._questions.asked_of(cohort, [0], part, plan, asks, title)
        return outputs
