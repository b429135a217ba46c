"""How long a whole study takes, from what its methods take alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from bakeoff.base.products import product
from bakeoff.data.subsets import SubsetOrder
from bakeoff.engine.workbench import Workbench
from bakeoff.measure.needs import Need
from bakeoff.measure.repeated import FEWEST
from bakeoff.measure.rounds import GENERATION_ROWS, SAMPLE
from bakeoff.measure.timing import seconds_of
from bakeoff.metrics.contract import Ask
from bakeoff.search.schedule import StudySchedule

COSTS_START_SECONDS: Final = 6.0
"""The imports of the process that measures costs."""
_LATENCY_TOKENS: Final = 20
_PRODUCT_SIDE: Final = {"cpu": 1024, "cuda": 4096}
_PRODUCT_TRIES: Final = 3


@dataclass(frozen=True, kw_only=True)
class MethodSeconds:
    """What one method takes, timed or estimated."""

    epoch: Mapping[str, Any]
    rows_per_second: float | None
    latency: float | None


def epochs_at_most(schedule: StudySchedule, name: str) -> tuple[int, int]:
    """(candidates, epochs of all of them) of one method, if none stops early and no grid grows."""
    epochs, search = schedule.epochs, schedule.methods[name]
    if schedule.search is None:
        return len(search.finals), len(search.finals) * epochs
    alive = first = len(search.searched)
    total = done = 0
    for rung in schedule.rungs:
        total += alive * (rung - done)
        alive, done = math.ceil(alive / schedule.search.reduction_factor), rung
    total += alive * (epochs - done)
    more = len(schedule.seeds)
    return first + more, total + more * epochs


@dataclass(frozen=True, kw_only=True)
class CurveWork:
    """What a study's learning curve trains.

    Attributes:
        sizes: of the subsets. candidates: of all methods together.
        share: tokens of one epoch of every size, as a share of an epoch on all rows.
        tokens: of all epochs of all candidates, padding included, if none stops early.
    """

    sizes: tuple[int, ...]
    candidates: int
    share: float
    tokens: int


def curve_work(bench: Workbench, schedule: StudySchedule) -> CurveWork:
    """The learning curve's part of the training; nothing where there is none."""
    train, sizes = bench.plans["train"], bench.curve.sizes
    tokens = sum(SubsetOrder(train, size, schedule.seeds).tokens_padded for size in sizes)
    runs = len(bench.entries) * len(schedule.seeds)
    return CurveWork(
        sizes=sizes,
        candidates=runs * len(sizes),
        share=tokens / max(1, train.tokens_padded),
        tokens=runs * schedule.epochs * tokens,
    )


def wall_seconds(
    bench: Workbench,
    schedule: StudySchedule,
    needs: Sequence[Need],
    found: Mapping[str, MethodSeconds | None],
    load_seconds: float,
) -> dict[str, float] | None:
    """The parts of the study's wall clock, as the results name them; None where one is unknown."""
    test = bench.plans["test"].tokens_padded / max(1, bench.plans["validation"].tokens_padded)
    num_test = len(bench.data.splits["test"])
    training = testing = samples = on_curve = 0.0
    curve, num_seeds = curve_work(bench, schedule), len(schedule.seeds)
    least = COSTS_START_SECONDS + load_seconds
    scoring: list[float] = []
    for need in needs:
        seconds = found[need.entry.name]
        if seconds is None:
            return None
        epoch = seconds.epoch
        validation = epoch["validation"]
        _, epochs = epochs_at_most(schedule, need.entry.name)
        training += epochs * (epoch["train"] + validation) + epoch["first_epoch_extra"]
        row_seconds = 1 / seconds.rows_per_second if seconds.rows_per_second else 0.0
        scored = test * validation + num_test * row_seconds
        scoring.append(scored + validation)
        testing += num_seeds * scored
        if curve.sizes:
            one = curve.share * epoch["train"] + len(curve.sizes) * validation
            tested = test * validation
            tested += num_test * row_seconds if Ask.TEXT in bench.curve.asks else 0.0
            on_curve += epoch["first_epoch_extra"]
            on_curve += num_seeds * (schedule.epochs * one + len(curve.sizes) * tested)
        # Memory, then samples of the study's loop and of a plain one.
        least += load_seconds + GENERATION_ROWS * row_seconds
        samples += min(SAMPLE.train, FEWEST * epoch["train"])
        samples += min(SAMPLE.evaluation, FEWEST * validation)
        samples += FEWEST * _LATENCY_TOKENS * (seconds.latency or 0.0)
    parts = {
        "load": load_seconds,
        "baselines": min(scoring, default=0.0),
        "training": training,
        "test": testing,
        **({"learning_curve": on_curve} if curve.sizes else {}),
    }
    # A quarter of the whole at most, if that is enough for what has to be.
    rest = sum(parts.values())
    parts["costs"] = max(least, min(least + 2.0 * samples, rest / 3.0))
    return {**parts, "total": sum(parts.values())}


def least_training_seconds(
    bench: Workbench, schedule: StudySchedule, needs: Sequence[Need]
) -> float:
    """What all training takes where every product runs as fast as the fastest does here.

    Nothing of the study is run for it: the arithmetic is traced, and one product is timed.
    """
    train = bench.plans["train"]
    further = len(schedule.seeds) * schedule.epochs * curve_work(bench, schedule).share
    flops = 0.0
    for need in needs:
        _, epochs = epochs_at_most(schedule, need.entry.name)
        one = sum(need.alone.training.flops.values())
        flops += (epochs + further) * one * train.tokens_padded / need.alone.tokens
    return flops / product_rate(bench.base.device, bench.base.compute_dtype)


def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of one large matrix product."""
    side = _PRODUCT_SIDE[device.type]
    square = torch.ones((side, side), dtype=dtype, device=device)
    fastest = min(seconds_of(device, product, square, square) for _ in range(_PRODUCT_TRIES))
    return 2.0 * side**3 / fastest
