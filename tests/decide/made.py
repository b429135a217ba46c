"""Studies whose scores are made up, judged and recommended from as a real one is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bakeoff.decide.judged import MetricJudgement, MetricScores, judge_metric
from bakeoff.decide.recommendation import recommend
from bakeoff.runs.records import (
    CostRecord,
    DecisionRecord,
    EpochSeconds,
    Estimate,
    Margin,
    MethodRecord,
    Results,
    TestSetRecord,
)
from bakeoff.types import RunState
from tests.golden_folders import golden

GIB = 1024**3
MARGIN = 0.05
Runs = Mapping[str, Sequence[np.ndarray]]


def ratio(sums: Any) -> Any:
    """Column 0 over column 1."""
    return sums[..., 0] / sums[..., 1]


def scores_of(
    means: Mapping[str, float],
    *,
    seeds: Mapping[str, int],
    rows: int = 400,
    spread: float = 0.01,
    by_row: float = 0.05,
    seed: int = 0,
) -> dict[str, list[np.ndarray]]:
    """Statistics [N, 2] of each seed: rows of an own ease, and effects of method, seed and run.

    Effects are centred, so that the methods' values are exactly their means.

    Args:
        means: of each method. seeds: how many each has.
        spread: from seed to seed. by_row: of a method on a row, and of a single score.
    """
    rng = np.random.default_rng(seed)

    def drawn(*shape: int, axis: int = -1) -> np.ndarray:
        effects: np.ndarray = rng.standard_normal(shape)
        return np.asarray(effects - effects.mean(axis=axis, keepdims=True))

    ease = drawn(rows) if rows > 1 else np.zeros(1)
    found = {}
    for name, mean in means.items():
        own = mean + ease + by_row * drawn(rows) + spread * drawn(seeds[name], 1, axis=0)
        runs = own + by_row * drawn(seeds[name], rows)
        found[name] = [np.stack([run, np.ones(rows)], axis=1) for run in runs]
    return found


def cost_of(gib: float, epoch: float, adapter: int) -> CostRecord:
    """A cost that was measured once."""
    return CostRecord(
        trainable_parameters=adapter // 4,
        adapter_bytes=adapter,
        peak_memory_bytes=int(gib * GIB),
        epoch_seconds=EpochSeconds(mean=epoch, max=epoch),
        generation_rows_per_second=2.0,
    )


COSTS = {
    "lora": cost_of(9, 400.0, 3_000_000),
    "head": cost_of(7, 300.0, 2_500_000),
    "soft_prompt": cost_of(4, 60.0, 2_000_000),
}


def judged_study(
    runs: Runs,
    *,
    margin: float = MARGIN,
    level: float = 0.95,
    metric: str = "nll",
    withheld: str | None = None,
) -> tuple[MetricJudgement, Results]:
    """What is said of made-up scores, and the golden run that they replace."""
    source = golden("searched")
    record = next(m for m in source.task.metrics if m.name == metric)
    judged = judge_metric(
        MetricScores(
            set="test",
            metric=metric,
            higher_is_better=record.higher_is_better,
            runs=runs,
            value=ratio,
            is_ratio=True,
            withheld=withheld,
        ),
        margin=margin,
        level=level,
        baselines=("zero_shot", "lead"),
    )
    return judged, source


def study_of(
    methods: Mapping[str, float],
    baselines: Mapping[str, float] | None = None,
    *,
    seeds: int | Mapping[str, int] = 5,
    margin: float = MARGIN,
    level: float = 0.95,
    metric: str = "nll",
    tolerance: float | None = None,
    withheld: str | None = None,
    runs: Runs | None = None,
    **scores: Any,
) -> Results:
    """The results of a complete study, with its recommendation.

    Args:
        methods: the mean of each on the test set. baselines: likewise; zero_shot far behind if
            not given.
        seeds: of each method. margin, level, tolerance: of the decision. metric: that decides.
        withheld: why nothing may be said. runs: statistics, where they are not to be drawn.
        scores: for ``scores_of``.
    """
    worst = 9.0 if metric == "nll" else 0.0
    baselines = {"zero_shot": worst} if baselines is None else baselines
    counts = {name: seeds if isinstance(seeds, int) else seeds[name] for name in methods}
    if runs is None:
        every = {**counts, **dict.fromkeys(baselines, 1)}
        runs = scores_of({**methods, **baselines}, seeds=every, **scores)
    judged, source = judged_study(
        runs, margin=margin, level=level, metric=metric, withheld=withheld
    )
    template = source.methods["lora"]
    rows = len(next(iter(runs.values()))[0])
    metrics = tuple(replace(m, primary=m.name == metric) for m in source.task.metrics)
    metrics = tuple(m for m in metrics if m.name in ("nll", "rouge1"))
    study = {**source.study, "protocol": {**source.study["protocol"], "epochs": 3}}
    results = replace(
        source,
        study=study,
        task=replace(source.task, metrics=metrics),
        data=replace(source.data, test=replace(source.data.test, examples=rows)),
        methods={
            name: replace(
                template,
                seeds=tuple(range(counts[name])),
                outputs=None,
                cost=COSTS.get(name, COSTS["lora"]),
                test={metric: judged.estimates[name]} if name in judged.estimates else {},
            )
            for name in methods
        },
        baselines={
            name: replace(source.baselines[name], test={metric: judged.estimates[name]})
            for name in baselines
        },
        comparisons=judged.comparisons,
        decision=DecisionRecord(
            metric=metric,
            level=level,
            margins={metric: Margin(value=margin, source="study")},
            tolerance=tolerance,
        ),
    )
    return replace(results, recommendation=recommend(results))


def with_set(
    results: Results,
    means: Mapping[str, float],
    most: float,
    *,
    name: str = "plain",
    metric: str = "nll",
    seeds: int = 5,
    **scores: Any,
) -> Results:
    """The same study with a further test set, on which a method may lose so much.

    Args:
        results: of a study. means: of each method and of zero_shot on the set.
        most: ``max_drop``. name: of the set. metric: of the limit. seeds: of each method.
        scores: for ``scores_of``.
    """
    counts = {one: 1 if one in results.baselines else seeds for one in means}
    record = next(m for m in golden("searched").task.metrics if m.name == metric)
    judged = judge_metric(
        MetricScores(
            set=name,
            metric=metric,
            higher_is_better=record.higher_is_better,
            runs=scores_of(means, seeds=counts, **scores),
            value=ratio,
            is_ratio=True,
        ),
        margin=MARGIN,
        level=0.95,
        baselines=("zero_shot",),
    )
    found = TestSetRecord(
        kind="text",
        metrics=(replace(record, primary=True),),
        margins={metric: Margin(value=MARGIN, source="default")},
        examples=400,
        max_drop={metric: most},
    )

    def of(one: str) -> dict[str, dict[str, Estimate]]:
        return {name: {metric: judged.estimates[one]}} if one in judged.estimates else {}

    changed = replace(
        results,
        methods={
            k: replace(m, also_test={**m.also_test, **of(k)}) for k, m in results.methods.items()
        },
        baselines={
            k: replace(b, also_test={**b.also_test, **of(k)}) for k, b in results.baselines.items()
        },
        comparisons=(*results.comparisons, *judged.comparisons),
        also_test={**results.also_test, name: found},
    )
    return replace(changed, recommendation=recommend(changed))


def ended(method: MethodRecord, state: str) -> MethodRecord:
    """A method that is in this state and was not tested."""
    return replace(method, state=RunState(state), test={})
