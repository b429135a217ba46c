"""What the base is asked with some adapters in place, and what of it is kept."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from bakeoff.data.batches import BatchPlan
from bakeoff.data.taskdata import SplitData
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.workbench import TestSet, Workbench
from bakeoff.execution.archive import Archive
from bakeoff.execution.outputs import ask
from bakeoff.execution.progress import ProgressView
from bakeoff.execution.scores import SetScores
from bakeoff.formatting import scale_of
from bakeoff.metrics.background import BackgroundScoring
from bakeoff.metrics.contract import Ask, ModelOutputs
from bakeoff.tasks.contract import Task
from bakeoff.types import Split

_log = logging.getLogger(__name__)


class Questions:
    """Asks the held-out sets of a study; inside it as a context, texts are scored as they come.

    Args:
        bench, archive, view: the run's.
        also: the further test set that is asked, if it is one, with metrics of its own.
        scoring: what scores texts, entered, where it outlives these questions; they have their own
            without.
    """

    def __init__(
        self,
        bench: Workbench,
        archive: Archive,
        view: ProgressView,
        also: TestSet | None = None,
        scoring: BackgroundScoring | None = None,
    ) -> None:
        self.bench, self.archive, self.view = bench, archive, view
        self.metrics = bench.task.metrics if also is None else also.task.metrics
        self._generation = bench.generation if also is None else also.generation
        self._task = bench.task if also is None else also.task
        self._scoring: BackgroundScoring | None = None
        self._shared = scoring
        self._entered = 0

    def __enter__(self) -> Self:
        if not self._entered:
            self._scoring = self._shared or BackgroundScoring(self.metrics).__enter__()
        self._entered += 1  # where several jobs run at once, so may their questions
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._entered -= 1
        if self._entered:
            return
        scoring, self._scoring = self._scoring, None
        if scoring is not None and scoring is not self._shared:
            scoring.__exit__(kind, error, trace)

    def outcomes(
        self,
        cohort: Cohort,
        slots: Sequence[int],
        title: str,
        *,
        validate: bool,
    ) -> list[tuple[ModelOutputs | None, ModelOutputs]]:
        """For each slot what its candidate gives for the validation and the test set.

        Args:
            cohort: with the candidates in its slots. title: of the progress.
            validate: whether the validation set is asked as well, but for texts: those take long.
        """
        asks = self.bench.task.asks
        before: Sequence[ModelOutputs | None] = [None] * len(slots)
        if validate:
            before = self.asked(cohort, slots, "validation", asks - {Ask.TEXT}, title)
        return list(zip(before, self.asked(cohort, slots, "test", asks, title), strict=True))

    def asked(
        self,
        cohort: Cohort,
        slots: Sequence[int],
        split: Split,
        asks: frozenset[Ask],
        title: str,
        *,
        rows: int | None = None,
    ) -> list[ModelOutputs]:
        """What each slot's candidate gives for a split.

        Args:
            cohort: with the candidates in its slots. asks: what is needed.
            title: of the progress. rows: only so many, the first ones.
        """
        part, plan = self.bench.data.splits[split], self.bench.plans[split]
        if rows is not None and rows < len(part):
            part = part.first(rows)
            plan = plan.of(range(rows), self.bench.task.max_length)
        return self.asked_of(cohort, slots, part, plan, asks, title)

    def asked_of(
        self,
        cohort: Cohort,
        slots: Sequence[int],
        part: SplitData,
        plan: BatchPlan,
        asks: frozenset[Ask],
        title: str,
        task: Task | None = None,
    ) -> list[ModelOutputs]:
        """What each slot's candidate gives for any rows; arguments as of ``asked``.

        Args:
            task: by which the rows are laid out, where it is not the one that is asked.
        """
        if self._scoring is None:
            raise RuntimeError("Questions.asked outside its with block; enter the block first")
        given = ask(
            cohort,
            slots,
            part,
            plan,
            asks,
            self._generation,
            self._scoring,
            lead=(task or self._task).lead,
            progress=lambda what, done, total: self.view.count(title, done, total),
            note=self.note,
        )
        return [self._task.read_outputs(outputs, part) for outputs in given]

    def scores(self, outputs: ModelOutputs, split: Split) -> SetScores:
        """Scores of a model's outputs for a split, by every metric of the task."""
        return SetScores.of(self.metrics, outputs, self.bench.data.splits[split].expected)

    def shown(self, scores: SetScores, name: str = "test") -> str:
        """The first two metrics that are there, for the terminal.

        Args:
            scores: of a set. name: the set's.
        """
        found = [(m, value) for m in self.metrics if (value := scores.value(m)) is not None]
        written = [f"{m.title} {scale_of(m.unit).write(value)}" for m, value in found[:2]]
        return f"{name} {', '.join(written)}"

    def note(self, text: str) -> None:
        """Keeps a note for the report, and shows it."""
        _log.warning("%s", text)
        self.archive.keep_note(text)
        self.view.on_note(text)
