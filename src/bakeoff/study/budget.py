"""A study that fits a budget of time: planned back from its end, so that it ends with an answer.

Testing, costs and the report are kept. Trials, epochs, seeds and rows are cut, what an answer needs
least first, until what a plan says of the study fits; bases and prompts are cut alike.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

from bakeoff.data.hygiene.order import stands_by_label
from bakeoff.engine.workbench import TestSet, Workbench
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
_EARLY: Final = ("load", "baselines", "training")
"""The parts up to the end of training."""
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
        after_training: seconds that follow the training of each of its cells, of which a study
            without bases and templates is one.
    """

    overrides: tuple[str, ...]
    cuts: tuple[str, ...]
    seconds: dict[str, float]
    fits: bool
    after_training: tuple[float, ...] = ()

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
    cells = [("", study)]
    if study.crossing is not None:
        cells = [(f"{cell.place.label}: ", cell.study) for cell in study.crossing.cells]
    estimates = []
    for label, one in cells:
        begun = time.perf_counter()
        report(f"{label}loading base and data")
        bench = open_workbench(one, device)
        load = time.perf_counter() - begun
        schedule = schedule_of(one, bench)

        def of_cell(text: str, label: str = label) -> None:
            report(label + text)

        plan = make_plan(bench, schedule, load_seconds=load, report=of_cell)
        if plan.wall_seconds is None:
            return None
        estimates.append(Estimate.of_bench(bench, schedule, plan))
        del bench  # one base is held at a time, as in the run
    room = _SURE * (seconds_left - (time.perf_counter() - started))

    def total(shape: Shape) -> float:
        return sum(sum(estimate.of(shape).values()) for estimate in estimates)

    # One shape for all cells, so that they can be compared; rows may differ, as some are too long.
    whole = largest(estimate.whole for estimate in estimates)
    kept = frozenset().union(*(estimate.in_order for estimate in estimates))
    shape = next((one for one in shapes(whole, kept) if total(one) <= room), None)
    fits = shape is not None
    if shape is None:
        *_, shape = shapes(whole, kept)
    else:
        shape = filled(whole, shape, lambda one: total(one) <= room)
    parts = [estimate.of(shape) for estimate in estimates]
    return Fitted(
        overrides=tuple(_overrides(whole, shape, estimates[0].schedule)),
        cuts=tuple(_words(whole, shape)),
        seconds={
            part: sum(of_cell.get(part, 0.0) for of_cell in parts)
            for part in dict.fromkeys(itertools.chain.from_iterable(parts))
        },
        fits=fits,
        after_training=tuple(after_training(parts)),
    )


def after_training(parts: Sequence[Mapping[str, float]]) -> Iterator[float]:
    """Seconds that follow the training of each cell: its own other parts, and all later cells.

    Args:
        parts: seconds of each part, for each cell in order.
    """
    later = [sum(of_cell.values()) for of_cell in parts]
    for number, of_cell in enumerate(parts):
        own = sum(seconds for part, seconds in of_cell.items() if part not in _EARLY)
        yield own + sum(later[number + 1 :])


def largest(wholes: Iterable[Shape]) -> Shape:
    """Of each part the most that any of several studies has."""
    found = list(wholes)
    most = {key.name: max(getattr(one, key.name) for one in found) for key in fields(Shape)}
    return Shape(**most)


def shapes(whole: Shape, kept: Collection[str] = ()) -> Iterator[Shape]:
    """The whole study, then ever smaller ones in the order of ``_CUTS``, but for what is kept."""
    shape = whole
    yield shape
    for part, least in _CUTS:
        if part in kept:
            continue
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


def _share_asked(found: TestSet, plan: StudyPlan) -> float:
    """Which part of a study's methods a further test set is for."""
    return sum(map(found.asks, plan.methods)) / max(1, len(plan.methods))


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What shapes of a study take, from the plan of the whole.

    Attributes:
        in_order: splits that are not cut, since their first rows have not all labels.
        whole: the study as it is given. schedule, plan: of the whole study.
        asked: scorings of the base that the baselines take. also_rows: of further test sets; one
            that a part of the methods is tested on counts for that part.
    """

    whole: Shape
    schedule: StudySchedule
    plan: StudyPlan
    asked: float
    also_rows: int
    in_order: frozenset[str] = frozenset()

    @classmethod
    def of_bench(cls, bench: Workbench, schedule: StudySchedule, plan: StudyPlan) -> Estimate:
        """What is needed of a study's data; the base is not kept."""
        search = schedule.search
        rows = {split: len(part) for split, part in bench.data.splits.items()}
        return cls(
            whole=Shape(
                epochs=schedule.epochs,
                seeds=len(schedule.seeds),
                trials=1 if search is None else search.trials or search.learning_rates,
                train=rows["train"],
                validation=rows["validation"],
                test=rows["test"],
            ),
            schedule=schedule,
            plan=plan,
            asked=sum(
                _FEW_SHOT_TIMES if baseline.shots else 1.0
                for baseline in bench.baselines
                if baseline.outputs is None
            ),
            also_rows=round(sum(len(s.data) * _share_asked(s, plan) for s in bench.also.values())),
            in_order=frozenset(
                split
                for split, part in bench.data.splits.items()
                if bench.task.labels and stands_by_label(part.gold)
            ),
        )

    def of(self, shape: Shape) -> dict[str, float]:
        """Seconds of each part, as ``StudyPlan.wall_seconds`` names them."""
        found, whole = self.plan.wall_seconds, self.whole
        assert found is not None
        tested, seeds = shape.test / max(1, whole.test), shape.seeds / whole.seeds
        parts = {
            "load": found["load"],
            "baselines": self.asked * tested * found["baselines"],
            "training": self._training(shape, whole),
            "test": tested * seeds * found["test"],
        }
        if "learning_curve" in found:
            parts["learning_curve"] = (
                seeds * (shape.epochs / whole.epochs) * found["learning_curve"]
            )
        if self.also_rows:
            runs = seeds + self.asked / max(1, len(self.plan.methods) * whole.seeds)
            parts["also_test"] = runs * found["test"] * self.also_rows / max(1, whole.test)
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
