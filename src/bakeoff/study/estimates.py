"""What a job takes, by estimate: for the order in which jobs begin, and for a worker's silence."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from bakeoff.data.subsets import SubsetOrder
from bakeoff.engine.workbench import Workbench
from bakeoff.measure.fit import needs_of
from bakeoff.measure.time_estimate import product_rate
from bakeoff.measure.traced import Predictor
from bakeoff.runs.events import CohortJob
from bakeoff.search.schedule import StudySchedule

_FORWARD_SHARE = 1 / 3
"""Of a training step's arithmetic."""


def job_seconds(bench: Workbench, schedule: StudySchedule) -> Callable[[CohortJob], float]:
    """Estimates jobs of a study; nothing is run for it but one product.

    The arithmetic is traced once, at the first question.
    """

    @cache
    def traced() -> tuple[dict[str, float], float]:
        needs = needs_of(bench, Predictor(bench), schedule)
        flops = {
            need.entry.name: sum(need.alone.training.flops.values()) / need.alone.tokens
            for need in needs
        }
        return flops, product_rate(bench.base.device, bench.base.compute_dtype)

    @cache
    def tokens(rows: int | None) -> float:
        plan = bench.plans["train"]
        if rows is None:
            return float(plan.tokens_padded)
        return float(SubsetOrder(plan, rows, schedule.seeds).tokens_padded)

    def seconds(job: CohortJob) -> float:
        flops, rate = traced()
        usual = max(flops.values(), default=1.0)
        if job.baselines:
            rows = len(job.baselines) * len(bench.data.splits["test"])
            return rows * bench.task.max_length * usual * _FORWARD_SHARE / rate
        total = 0.0
        for seat in job.seats:
            one = flops.get(seat.spec.method, usual)
            if job.kind == "train":
                validated = bench.plans["validation"].tokens_padded * _FORWARD_SHARE
                trained = tokens(seat.spec.rows) + validated
                total += max(1, seat.stop - seat.start) * one * trained
            else:
                written = len(bench.data.splits["test"]) * bench.longest_answer
                asked = bench.plans["test"].tokens_padded + written
                total += one * _FORWARD_SHARE * asked
        return total / rate

    return seconds
