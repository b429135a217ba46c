"""A study's plan: what it works on is opened, and ``measure/plan.py`` plans it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from bakeoff.decide.referee.arrays import group_indices
from bakeoff.engine.workbench import Workbench
from bakeoff.errors import ConfigError, StoreError
from bakeoff.formatting import join
from bakeoff.measure.cards import Card
from bakeoff.measure.plan import Fleet, Report, StudyPlan, make_plan
from bakeoff.measure.power import PowerPlan, Spread, plan_power, spread_of, typical_of
from bakeoff.metrics.contract import Ask, Metric
from bakeoff.runs.reading import RESULTS_FILE
from bakeoff.search.schedule import StudySchedule
from bakeoff.study.curve import sizes_left_out
from bakeoff.study.elsewhere import may_take_processes
from bakeoff.study.judging import level_of
from bakeoff.study.lengths import lengths_of
from bakeoff.study.opening import open_workbench, schedule_of
from bakeoff.study.protocol_notes import protocol_notes
from bakeoff.study.settling import wants_processes
from bakeoff.study.study import Study
from bakeoff.study.trying import try_metrics

_ONE_PROCESS: Final = (
    "bakeoff run has a process on each core here, as the base is narrow: training then takes a "
    "third to nine tenths of these times, which are those of one process"
)


def plan_study(
    study: Study,
    device: str,
    card: Card | None = None,
    report: Report = lambda text: None,
    *,
    like: Path | None = None,
    folder: Path | None = None,
    fleet: Fleet | None = None,
) -> StudyPlan:
    """Plans a study for this device, or for a card that is not here.

    Args:
        study: what is planned.
        device: ``auto``, ``cpu`` or ``cuda``; of no meaning where there is a card.
        card: what to plan for instead of what is here.
        report: called with what is being done.
        like: an earlier run's folder, whose scores show how this study's will vary.
        folder: the study's own, which is looked at where ``like`` is None; it need not be there.
        fleet: workers whose schedule is simulated, or None.

    Raises:
        ConfigError: ``like`` was decided by another metric.
        StoreError: ``like`` holds no scores.
    """
    # Before anything heavy: a wrong folder should not cost a minute.
    deciding = study.options.decision.metric or study.task.metrics_before_rows[0].name
    spread = _spread(like, folder, deciding)
    report("loading base and data")
    started = time.perf_counter()
    bench = open_workbench(study, "cpu" if card else device, meta=card is not None)
    try_metrics(bench)
    seconds = time.perf_counter() - started
    schedule = schedule_of(study, bench)
    plan = make_plan(
        bench,
        schedule,
        card,
        load_seconds=seconds,
        report=report,
        fleet=fleet,
        compare_held=True,
    )
    notes = (*sizes_left_out(study, bench), *protocol_notes(bench))
    plan = replace(
        plan,
        lengths=lengths_of(bench.data, bench.task.max_length),
        notes=(*bench.data.cautions, *plan.notes, *notes),
    )
    if bench.also:
        left_out = f"what asking {join(list(bench.also))} takes is not in these times"
        plan = replace(plan, notes=(*plan.notes, left_out))
    if (
        card is None
        and may_take_processes(study.options.execution)
        and wants_processes(bench, schedule.candidates)
    ):
        plan = replace(plan, notes=(*plan.notes, _ONE_PROCESS))
    metric = next(m for m in bench.task.metrics if m.name == deciding)
    counted = "row" if bench.data.splits["test"].groups is None else "group"
    if spread is not None and spread.counted != counted:
        other = (
            f"how scores vary from {counted} to {counted} is not known, which is what this study's "
            f"test set is made of (from {spread.counted} to {spread.counted} it is, by "
            f"{spread.basis}); --like DIR takes it from a run of {counted}s"
        )
        return replace(plan, notes=(*plan.notes, other))
    if spread is None:
        unknown = (
            f"which differences in {metric.title} this design finds is not known before anything "
            "was scored; --like DIR takes it from an earlier run"
        )
        return replace(plan, notes=(*plan.notes, unknown))
    return replace(plan, power=_power(study, bench, schedule, spread, metric))


def _spread(like: Path | None, folder: Path | None, deciding: str) -> Spread | None:
    """Of the named run, of the study's own so far, or what is typical."""
    if like is not None:
        spread, metric = spread_of(like)
        if metric.name != deciding:
            raise ConfigError(
                f"--like {like}: was decided by {metric.title}, and this study is decided by "
                f"{deciding}; give a run that was decided by that, or none"
            )
        return spread
    if folder is not None and (folder / RESULTS_FILE).is_file():
        try:
            spread, metric = spread_of(folder)
        except StoreError:
            pass  # nothing was tested in it yet
        else:
            if metric.name == deciding:
                return spread
    return typical_of(deciding)


def _power(
    study: Study, bench: Workbench, schedule: StudySchedule, spread: Spread, metric: Metric
) -> PowerPlan:
    decision = study.options.decision
    test = bench.data.splits["test"]
    _, num_rows = group_indices(test.groups, len(test))
    # Before validation is known, a margin that is not given is the metric's own.
    return plan_power(
        spread,
        metric=metric.name,
        unit=metric.unit,
        margin=decision.margin.get(metric.name, metric.default_margin),
        level=level_of(study.options.protocol.seeds, decision.level),
        methods=len(bench.entries) + len(bench.entrants) + _compared(bench, metric),
        seeds=len(schedule.seeds),
        rows=num_rows,
    )


def _compared(bench: Workbench, metric: Metric) -> int:
    """Baselines that take part beside the methods: one without a model has no likelihoods."""
    return sum(
        baseline.outputs is None or metric.asks is not Ask.LIKELIHOOD
        for baseline in bench.baselines
    )
