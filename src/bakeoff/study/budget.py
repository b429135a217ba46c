"""A study that fits a budget of time: planned back from its end, so that it ends with an answer.

Testing, costs and the report are kept. Trials, epochs, seeds and rows are cut, what an answer needs
least first, until what a plan says of the study fits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bakeoff.engine.workbench import Workbench
from bakeoff.execution.clock import COSTS_SHARE
from bakeoff.formatting import join, shown_seconds
from bakeoff.measure.plan import Report, StudyPlan, make_plan
from bakeoff.measure.time_estimate import COSTS_START_SECONDS
from bakeoff.search.schedule import StudySchedule
from bakeoff.study.opening import open_workbench, schedule_of
from bakeoff.study.study import Study

_SURE: Final = 0.9
"""Share of the time that is planned for: what is timed in seconds may take longer in hours."""
_FEW_SHOT_TIMES: Final = 3.0
"""Of one scoring: several numbers of shots are tried on validation, with longer prompts."""
_ROWS_STEP: Final = 0.75
_CUTS: Final = (
    ("trials", 4), ("validation", 200), ("epochs", 5), ("seeds", 3), ("test", 400),
    ("trials", 2), ("epochs", 3), ("validation", 100), ("test", 200), ("epochs", 2),
    ("train", 256), ("epochs", 1), ("train", 64), ("seeds", 2), ("test", 64),
    ("validation", 32), ("seeds", 1), ("trials", 1), ("test", 16), ("train", 16),
)  # fmt: skip
"""What is cut down to what, in this order; three seeds stay long, as fewer say little of chance."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What of a study takes time.

    Attributes:
        trials: settings that each method tries at first; 1 where nothing is searched.
        train, validation, test: rows.
    """

    epochs: int
    seeds: int
    trials: int
    train: int
    validation: int
    test: int


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """How a study fits its budget.

    Attributes:
        overrides: of its keys, as ``--set`` takes them; none where nothing is cut.
        cuts: the same in words: ``epochs 10 to 4``. seconds: what each part takes at most.
        fits: whether the plan fits; else the smallest shape is taken.
    """

    overrides: tuple[str, ...]
    cuts: tuple[str, ...]
    seconds: dict[str, float]
    fits: bool

    @property
    def after_training(self) -> float:
        """Seconds that all stages after training take."""
        early = ("load", "baselines", "training")
        return sum(value for part, value in self.seconds.items() if part not in early)

    def said(self, budget: float) -> str:
        """What is shown before the start, and kept as a note."""
        parts = join([f"{part} {shown_seconds(value)}" for part, value in self.seconds.items()])
        whole = f"in all at most {shown_seconds(sum(self.seconds.values()))}: {parts}"
        if not self.cuts:
            return f"the budget of {shown_seconds(budget)} holds the whole study ({whole})"
        text = f"for the budget of {shown_seconds(budget)} the study was cut: {join(self.cuts)}"
        if self.fits:
            return f"{text} ({whole})"
        return f"{text}. Even so it may take longer ({whole})"


def fit_to_budget(
    study: Study,
    device: str,
    seconds_left: float,
    report: Report = lambda text: None,
) -> Fitted | None:
    """Cuts a study until it fits.

    Args:
        study: what is to run. device: ``auto``, ``cpu`` or ``cuda``.
        seconds_left: until the report must begin, from now on.
        report: called with what is being done.

    Returns:
        How it fits; None where what it takes is not known, as of a method that does not fit.

    Raises:
        BakeoffError: for bad input, as the run itself would.
    """
    started = time.perf_counter()
    report("loading base and data")
    bench = open_workbench(study, device)
    load = time.perf_counter() - started
    schedule = schedule_of(study, bench)
    plan = make_plan(bench, schedule, load_seconds=load, report=report)
    if plan.wall_seconds is None:
        return None
    room = _SURE * (seconds_left - (time.perf_counter() - started))
    estimate = Estimate(bench=bench, schedule=schedule, plan=plan)
    whole = estimate.whole
    seconds: dict[str, float] = {}
    shape = whole
    for shape in shapes(whole):
        seconds = estimate.of(shape)
        if sum(seconds.values()) <= room:
            break
    fits = sum(seconds.values()) <= room
    if fits:
        shape = filled(whole, shape, lambda one: sum(estimate.of(one).values()) <= room)
        seconds = estimate.of(shape)
    return Fitted(
        overrides=tuple(_overrides(whole, shape, schedule)),
        cuts=tuple(_words(whole, shape)),
        seconds=seconds,
        fits=fits,
    )


def shapes(whole: Shape) -> Iterator[Shape]:
    """The whole study, then ever smaller ones in the order of ``_CUTS``."""
    shape = whole
    yield shape
    for part, least in _CUTS:
        while (now := getattr(shape, part)) > least:
            less = int(now * _ROWS_STEP) if part in ("train", "validation", "test") else now - 1
            shape = replace(shape, **{part: max(least, less)})
            yield shape


def filled(whole: Shape, shape: Shape, fits: Callable[[Shape], bool]) -> Shape:
    """Gives back what of the cuts still fits, since each cut is coarse.

    What was cut last is needed most, so it is given back first, as much of it as fits, and never
    more than that cut took.

    Args:
        whole: the study as it is given. shape: one of ``shapes(whole)`` that fits.
        fits: whether a shape does; a larger one never does where a smaller one does not.
    """
    before = whole
    cuts = []
    for part, least in _CUTS:
        cuts.append((part, getattr(before, part)))
        before = replace(before, **{part: min(least, getattr(before, part))})
    for part, most in reversed(cuts):
        least = getattr(shape, part)
        while least < most:
            middle = (least + most + 1) // 2
            if fits(replace(shape, **{part: middle})):
                least = middle
            else:
                most = middle - 1
        shape = replace(shape, **{part: least})
    return shape


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What shapes of a study take, from the plan of the whole.

    Attributes:
        bench, schedule, plan: of the whole study.
    """

    bench: Workbench
    schedule: StudySchedule
    plan: StudyPlan

    @property
    def whole(self) -> Shape:
        """The study as it is given."""
        search = self.schedule.search
        trials = 1 if search is None else search.trials or search.learning_rates
        rows = {split: len(part) for split, part in self.bench.data.splits.items()}
        return Shape(
            epochs=self.schedule.epochs,
            seeds=len(self.schedule.seeds),
            trials=trials,
            train=rows["train"],
            validation=rows["validation"],
            test=rows["test"],
        )

    def of(self, shape: Shape) -> dict[str, float]:
        """Seconds of each part, as ``StudyPlan.wall_seconds`` names them."""
        found, whole = self.plan.wall_seconds, self.whole
        assert found is not None
        tested, seeds = shape.test / max(1, whole.test), shape.seeds / whole.seeds
        asked = sum(
            _FEW_SHOT_TIMES if baseline.shots else 1.0
            for baseline in self.bench.baselines
            if baseline.outputs is None
        )
        parts = {
            "load": found["load"],
            "baselines": asked * tested * found["baselines"],
            "training": self._training(shape, whole),
            "test": tested * seeds * found["test"],
        }
        if "learning_curve" in found:
            parts["learning_curve"] = (
                seeds * (shape.epochs / whole.epochs) * found["learning_curve"]
            )
        if self.bench.also:
            rows = sum(len(one.data) for one in self.bench.also.values())
            runs = seeds + asked / max(1, len(self.plan.methods) * whole.seeds)
            parts["also_test"] = runs * found["test"] * rows / max(1, whole.test)
        started = (COSTS_START_SECONDS + found["load"]) * (1 + len(self.plan.methods))
        rest = COSTS_SHARE * sum(parts.values())
        parts["costs"] = min(found["costs"], started + rest)
        return parts

    def _training(self, shape: Shape, whole: Shape) -> float:
        train, checked = shape.train / whole.train, shape.validation / max(1, whole.validation)
        total = 0.0
        for method in self.plan.methods.values():
            seconds = method.epoch_seconds
            assert seconds is not None
            one = train * seconds["train"] + checked * seconds["validation"]
            epochs = float(shape.seeds * shape.epochs)
            searched = method.epochs - whole.seeds * whole.epochs
            if searched > 0 and shape.trials > 1:
                share = shape.trials / whole.trials * shape.epochs / whole.epochs
                epochs += searched * share
            total += epochs * one + seconds["first_epoch_extra"]
        return total


def _overrides(whole: Shape, shape: Shape, schedule: StudySchedule) -> Iterator[str]:
    if shape.epochs < whole.epochs:
        yield f"protocol.epochs={shape.epochs}"
    if shape.seeds < whole.seeds:
        yield f"protocol.seeds={list(schedule.seeds[: shape.seeds])}"
    search = schedule.search
    if search is not None and shape != whole:
        yield "search.growth=0"  # what a grid grows by is in no plan
        if shape.trials < whole.trials:
            key = "learning_rates" if search.trials is None else "trials"
            yield f"search.{key}={shape.trials}"
    for split in ("train", "validation", "test"):
        if (rows := getattr(shape, split)) < getattr(whole, split):
            yield f"task.examples.{split}={rows}"


def _words(whole: Shape, shape: Shape) -> Iterator[str]:
    names: Sequence[tuple[str, str]] = (
        ("trials", "settings tried"), ("epochs", "epochs"), ("seeds", "seeds"),
        ("train", "training rows"), ("validation", "validation rows"), ("test", "test rows"),
    )  # fmt: skip
    for key, name in names:
        before, after = getattr(whole, key), getattr(shape, key)
        if after < before:
            yield f"{name} {before:,} to {after:,}"
