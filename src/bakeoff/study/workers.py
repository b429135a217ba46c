"""Who runs a study's jobs: in the run's own process, or in one that opens the study for them."""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bakeoff.engine.workbench import Workbench
from bakeoff.execution.also import also_workers
from bakeoff.execution.apart.workshop import Workshop
from bakeoff.execution.archive import Archive
from bakeoff.execution.baselines import BaselineWorker
from bakeoff.execution.curve import CURVE_SET, CurveWorker
from bakeoff.execution.executors import BySet, Worker
from bakeoff.execution.findings import Findings
from bakeoff.execution.progress import ProgressView
from bakeoff.execution.questions import Questions
from bakeoff.execution.selecting import ChoiceWorker
from bakeoff.execution.testing import TestingWorker
from bakeoff.metrics.background import BackgroundScoring
from bakeoff.runs.events import CohortJob, JobKind
from bakeoff.search.schedule import StudySchedule
from bakeoff.study.environment import provenance_of
from bakeoff.study.opening import open_workbench, schedule_of, selection_of
from bakeoff.study.options import Study, recorded


def askers_of(
    study: Study,
    bench: Workbench,
    questions: Questions,
    further: Mapping[str, Questions],
    findings: Findings,
) -> dict[JobKind, Worker]:
    """Who asks held-out sets and baselines, by kind of job.

    Args:
        study, bench, findings: the run's. questions: on its own sets. further: on others, by name.
    """
    selection = selection_of(study, bench)
    testing, asking = also_workers(further, findings)
    choosing: dict[str, Worker] = {}
    if selection is not None:
        choosing["validation"] = ChoiceWorker(questions, findings, selection)
    deciding = study.options.decision.metric or bench.task.metrics[0].name
    asked = BaselineWorker(questions, findings, deciding)
    tested = {
        "test": TestingWorker(questions, findings),
        CURVE_SET: CurveWorker(questions, findings),
    }
    return {
        "baseline": BySet({"test": asked, **asking}),
        "test": BySet({**tested, **choosing, **testing}),
    }


def workshop_of(study: Study, bench: Workbench, schedule: StudySchedule | None = None) -> Workshop:
    """What runs jobs of a study apart from its run.

    Args:
        study: whose. bench: the study's. schedule: as it begins, if it is known.
    """

    # Its processes take seconds to start, and a job may take less.
    scoring: list[BackgroundScoring] = []

    def askers(archive: Archive, view: ProgressView) -> Mapping[JobKind, Worker]:
        if not scoring:
            scoring.append(BackgroundScoring(bench.task.metrics).__enter__())
            atexit.register(scoring[0].__exit__, None, None, None)
        questions = Questions(bench, archive, view, scoring=scoring[0])
        workers = askers_of(study, bench, questions, {}, archive.findings)
        return {kind: _Asking(questions, worker) for kind, worker in workers.items()}

    return Workshop(
        bench,
        schedule or schedule_of(study, bench),
        provenance_of(bench),
        askers,
        study.options.checkpoint_minutes,
    )


def opened(mapping: Mapping[str, Any], run: str, root: str, device: str) -> Workshop:
    """Opens a study on a worker.

    Args:
        mapping: the resolved study. run: the run's folder. root: where its relative paths start.
        device: ``cpu`` or ``cuda``.
    """
    if Path(root).is_dir():
        os.chdir(root)
    study = recorded(mapping, folder=Path(run))
    return workshop_of(study, open_workbench(study, device))


class _Asking:
    """A worker whose questions are open while it runs a job."""

    def __init__(self, questions: Questions, worker: Worker) -> None:
        self._questions, self._worker = questions, worker

    def run(self, job: CohortJob) -> None:
        """See ``Worker``."""
        with self._questions:
            self._worker.run(job)
