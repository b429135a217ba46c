"""Who runs a study's jobs: in the run's own process, or in one that opens the study for them."""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bakeoff.engine.compiling import keep_compiled_apart
from bakeoff.engine.workbench import Workbench
from bakeoff.errors import StoreError
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
from bakeoff.measure.needs import compiled, recomputing_of
from bakeoff.metrics.background import BackgroundScoring
from bakeoff.runs.events import CohortJob, JobKind
from bakeoff.search.schedule import StudySchedule
from bakeoff.study.environment import provenance_of
from bakeoff.study.loading import recorded
from bakeoff.study.opening import (
    deciding_before_judging,
    open_workbench,
    schedule_of,
    selection_of,
)
from bakeoff.study.study import Study


def askers_of(
    study: Study,
    bench: Workbench,
    questions: Questions,
    further: Mapping[str, Questions],
    findings: Findings,
    *,
    measures_costs: bool = True,
) -> dict[JobKind, Worker]:
    """Who asks held-out sets and baselines, by kind of job.

    Args:
        study, bench, findings: the run's. questions: on its own sets. further: on others, by name.
        measures_costs: whether the answers of baselines are timed.
    """
    selection = selection_of(study, bench)
    testing, asking = also_workers(further, findings)
    choosing: dict[str, Worker] = {}
    if selection is not None:
        choosing["validation"] = ChoiceWorker(questions, findings, selection)
    timer = None
    if measures_costs:
        # What measures is imported where it does, as other workers start without it.
        from bakeoff.measure.rounds import GENERATION_ROWS
        from bakeoff.measure.timing import time_answers

        timer = partial(time_answers, bench, rows=GENERATION_ROWS)
    asked = BaselineWorker(questions, findings, deciding_before_judging(study, bench), timer)
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
            # Others of this machine score besides.
            own = torch.get_num_threads()
            scoring.append(BackgroundScoring(bench.task.metrics, workers=own).__enter__())
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


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What the driver has decided once, for all workers alike.

    Attributes:
        device: ``cpu`` or ``cuda``. precision: that the base computes in.
        recomputes: whether activations are computed again in the backward pass.
        compiles: whether a CPU compiles the base's layers.
        fingerprints: of base, data, device and precision, which a worker must find as they are.
    """

    device: str
    precision: str
    recomputes: bool
    compiles: bool
    fingerprints: Mapping[str, str]


def settled_by(bench: Workbench) -> Settled:
    """What a driver has decided."""
    return Settled(
        device=bench.base.device.type,
        precision=str(bench.base.compute_dtype).removeprefix("torch."),
        recomputes=bench.engine.recomputes,
        compiles=bench.engine.compile is True,
        fingerprints=bench.fingerprints(),
    )


def opened(mapping: Mapping[str, Any], run: str, root: str, settled: Settled) -> Workshop:
    """Opens a study on a worker.

    Args:
        mapping: the resolved study. run: the run's folder. root: where its relative paths start.
        settled: by the driver.

    Raises:
        StoreError: base or data are not those of the driver.
    """
    if Path(root).is_dir():
        os.chdir(root)
    study = recorded({**mapping, "precision": settled.precision}, folder=Path(run))
    bench = open_workbench(study, settled.device)
    if settled.recomputes and not bench.engine.recomputes:
        bench = recomputing_of(bench)
    if settled.compiles and bench.engine.compile == "auto":
        bench = compiled(bench)
    if bench.engine.compiles_on(bench.base.device.type):
        keep_compiled_apart()
    for what, found in bench.fingerprints().items():
        wanted = settled.fingerprints.get(what)
        if found != wanted:
            raise StoreError(
                f"{what}: is another here ({found}) than on the driver ({wanted}); give all "
                "machines the same files, and cards of one kind"
            )
    return workshop_of(study, bench)


class _Asking:
    """A worker whose questions are open while it runs a job."""

    def __init__(self, questions: Questions, worker: Worker) -> None:
        self._questions, self._worker = questions, worker

    def run(self, job: CohortJob) -> None:
        """See ``Worker``."""
        with self._questions:
            self._worker.run(job)
