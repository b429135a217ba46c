"""A study's plan: what it works on is opened, and ``measure/plan.py`` plans it."""

from __future__ import annotations

import time

from bakeoff.measure.cards import Card
from bakeoff.measure.plan import Report, StudyPlan, make_plan
from bakeoff.study.opening import open_workbench, schedule_of
from bakeoff.study.options import Study


def plan_study(
    study: Study, device: str, card: Card | None = None, report: Report = lambda text: None
) -> StudyPlan:
    """Plans a study for this device, or for a card that is not here.

    Args:
        study: what is planned.
        device: ``auto``, ``cpu`` or ``cuda``; of no meaning where there is a card.
        card: what to plan for instead of what is here.
        report: called with what is being done.
    """
    report("loading base and data")
    started = time.perf_counter()
    bench = open_workbench(study, "cpu" if card else device, meta=card is not None)
    seconds = time.perf_counter() - started
    return make_plan(bench, schedule_of(study, bench), card, load_seconds=seconds, report=report)
