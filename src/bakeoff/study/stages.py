"""A study's stages in order: baselines, training, tests, what is asked besides, costs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from rich.markup import escape

from bakeoff.engine.options import AdaptiveSeeds
from bakeoff.engine.workbench import Workbench
from bakeoff.execution.also import also_questions, ask_also
from bakeoff.execution.baselines import ask_baselines
from bakeoff.execution.checkpoints import Checkpoints, Progress
from bakeoff.execution.clock import StudyClock
from bakeoff.execution.curve import score_curve
from bakeoff.execution.entrants import ask_entrants
from bakeoff.execution.executors import Elsewhere, Executor, LocalExecutor
from bakeoff.execution.findings import Findings
from bakeoff.execution.judging.stage import JudgeStage
from bakeoff.execution.observer import Follower
from bakeoff.execution.progress import ProgressView
from bakeoff.execution.questions import Questions
from bakeoff.execution.recall import Recall
from bakeoff.execution.selecting import score_for_choice
from bakeoff.execution.stopping import StopSignals, TrainingTimeSpent
from bakeoff.execution.testing import score_candidates
from bakeoff.execution.training import TrainingStage
from bakeoff.measure.time_estimate import epochs_at_most
from bakeoff.metrics.base import is_judged
from bakeoff.runs.events import EventLog
from bakeoff.runs.folder import RunFolder
from bakeoff.runs.log import logged_stage
from bakeoff.search.schedule import StudySchedule
from bakeoff.study.adaptive import looked_at
from bakeoff.study.continuing import go_on
from bakeoff.study.costs import CostsWorker, measure_all
from bakeoff.study.curve import curve_words
from bakeoff.study.opening import selection_of
from bakeoff.study.study import Study
from bakeoff.study.workers import askers_of

if TYPE_CHECKING:
    from bakeoff.search.storage import SearchStorage


class ElsewherePlan(Protocol):
    """How a study's jobs run apart from the process that writes its results.

    Attributes:
        is_part: whether the run makes a part of the study, and another the rest and the whole.
        trains_here: whether this process trains.
    """

    @property
    def is_part(self) -> bool: ...

    @property
    def trains_here(self) -> bool: ...

    def check(self, fingerprints: Mapping[str, str]) -> None:
        """Before the folder becomes this study's: holds base and data against what others have.

        Raises:
            StoreError: they are others.
        """

    def prepare(self, folder: RunFolder, events: EventLog) -> None:
        """Before anything is taken up: brings what others have decided into the run."""

    def executor(self, stages: Stages, local: Executor) -> Elsewhere | None:
        """Who runs jobs; None runs all of them here.

        Args:
            stages: of the study. local: runs jobs in this process.
        """

    def trained(self, stages: Stages, executor: Elsewhere, *, cut_short: bool = False) -> None:
        """Training is over, or as far as it comes here.

        Args:
            stages, executor: of the study. cut_short: whether a budget ended it.

        Raises:
            PartDone: others have the rest.
        """

    def close(self) -> None:
        """Lets go of whatever runs jobs."""


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Makes whatever a study lacks, stage by stage.

    Attributes:
        study, bench: what is run. findings, recall, checkpoints, events: what is there of it.
        view, clock, followers: follow how it goes. stop: when it is to end early.
        storage: where the search is written for its dashboard, or None.
        elsewhere: how jobs run apart from this process; None runs all here.
        measures_costs: whether the last stage is run. judges: whether the judge's is.
    """

    study: Study
    bench: Workbench
    findings: Findings
    recall: Recall
    checkpoints: Checkpoints
    view: ProgressView
    stop: StopSignals
    events: EventLog
    clock: StudyClock
    storage: SearchStorage | None
    followers: Sequence[Follower]
    elsewhere: ElsewherePlan | None = None
    measures_costs: bool = True
    judges: bool = True

    def run(self, start: Progress | None) -> None:
        """Runs all stages.

        Args:
            start: where an earlier call stopped in training.

        Raises:
            Stopped: if the run was asked to; ``TrainingTimeSpent`` once all that comes after
                training is done for what was trained.
        """
        bench, findings, archive = self.bench, self.findings, self.recall.archive
        questions = Questions(bench, archive, self.view)
        further = also_questions(questions)
        askers = askers_of(
            *(self.study, bench, questions, further, findings),
            measures_costs=self.measures_costs,
        )
        costs = CostsWorker(self.study, bench, findings, archive, self.view)
        local = LocalExecutor({**askers, "measure": costs})
        apart = None if self.elsewhere is None else self.elsewhere.executor(self, local)
        executor: Executor = apart or local
        archive.keep_examples()
        with self._stage("baselines"):
            ask_baselines(questions, findings, self.events, executor)
        if bench.entrants and not (self.elsewhere and self.elsewhere.is_part):
            with self._stage("entrants"):
                ask_entrants(questions, findings, further)
        training = self._training(questions, executor, apart)
        options = self.study.options
        judging = None
        if options.judge is not None and self.judges:
            judging = JudgeStage(options.judge, options.prices, questions, self.stop)
        late: TrainingTimeSpent | None = None
        for candidate in findings.schedule.candidates:
            self.clock.take_up(candidate)
        while True:
            try:
                with self._stage("training"):
                    training.run(start)
            except TrainingTimeSpent as spent:
                late = spent  # what is trained is still tested
            if self.elsewhere is not None and apart is not None:
                self.elsewhere.trained(self, apart, cut_short=late is not None)
            self.recall.later_candidates()
            with self._stage("test"):
                score_candidates(questions, findings, self.events, executor)
            if judging is not None:
                with self._stage("judge"):
                    judging.run()
            if late is not None or not self._wants_seeds():
                break
            start = None
        if bench.curve.sizes and late is None:
            try:
                with self._stage("learning_curve"):
                    findings.schedule.name_curve(findings.test_scores)
                    self.view.say(f"  [cyan]learning curve[/] {curve_words(bench, findings)}")
                    self.recall.later_candidates()
                    go_on(bench, findings.schedule, archive, self.checkpoints, self.view)
                    training.run(None)
                    if self.elsewhere is not None and apart is not None:
                        self.elsewhere.trained(self, apart, cut_short=False)
                    score_curve(questions, findings, self.events, executor)
            except TrainingTimeSpent as spent:
                late = spent
        if further:
            with self._stage("also_test"):
                ask_also(further, findings, self.events, executor)
        if self.measures_costs:
            with self._stage("costs"):
                measure_all(bench, findings, self.events, executor)
        if late is not None:
            raise late

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        self.clock.enter(name)
        try:
            with timed(self.findings.wall_seconds, name):
                yield
        finally:
            self.clock.leave(name)

    def _training(
        self, questions: Questions, executor: Executor, apart: Elsewhere | None
    ) -> TrainingStage:
        selection = selection_of(self.study, self.bench)
        score = partial(
            score_for_choice, questions=questions, events=self.events, executor=executor
        )
        return TrainingStage(
            self.bench,
            self.findings.schedule,
            self.recall.archive,
            self.view,
            self.checkpoints,
            self.stop,
            self.events,
            self.storage,
            self.study.options.checkpoint_minutes,
            self.followers,
            None if selection is None else partial(score, selection=selection),
            apart,
        )

    def _wants_seeds(self) -> bool:
        """Names further seeds where the study looks at its test scores and they are undecided."""
        seeds = self.study.options.protocol.seeds
        if not isinstance(seeds, AdaptiveSeeds):
            return False
        looked = looked_at(self.study, self.bench, self.findings, seeds)
        if looked is None or not looked.wanted:
            return False
        new = self.findings.schedule.train_more(looked.wanted, looked.next_seeds)
        if new:
            self.view.say(
                f"  [cyan]seeds[/] undecided with {looked.num_seeds}: "
                f"{escape(', '.join(looked.wanted))} with {looked.next_seeds}"
            )
        return bool(new)


def clock_of(bench: Workbench, schedule: StudySchedule, *, judges: bool = True) -> StudyClock:
    """Follows a study through the stages that it has.

    Args:
        bench, schedule: the study's. judges: whether a judge is asked that it has.
    """
    has = {
        "entrants": bool(bench.entrants),
        "judge": judges and any(is_judged(metric) for metric in bench.task.metrics),
        "learning_curve": bool(bench.curve.sizes),
        "also_test": bool(bench.also),
    }
    stages = (
        *("baselines", "entrants", "training", "test", "judge"),
        *("learning_curve", "also_test", "costs"),
    )
    return StudyClock(
        [stage for stage in stages if has.get(stage, True)],
        epochs=schedule.epochs,
        most_epochs=sum(epochs_at_most(schedule, name)[1] for name in schedule.methods),
        num_tested=len(schedule.methods) * len(schedule.seeds),
    )


@contextmanager
def timed(wall: dict[str, float], part: str) -> Iterator[None]:
    """Adds what passes inside to a part's seconds."""
    before = time.perf_counter()
    try:
        with logged_stage(part):
            yield
    finally:
        wall[part] = wall.get(part, 0.0) + time.perf_counter() - before
