"""Looks at a study's test scores, for adaptive seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.decide.referee.arrays import group_indices
from bakeoff.engine.options import AdaptiveSeeds
from bakeoff.engine.workbench import Workbench
from bakeoff.execution.findings import Findings
from bakeoff.execution.scores import SetScores
from bakeoff.metrics.base import is_judged, is_mean
from bakeoff.metrics.contract import Metric
from bakeoff.runs.decisions import LookRecord
from bakeoff.study.judging import decision_for, judged_runs
from bakeoff.study.looks import Looked, Scored, look_at
from bakeoff.study.study import Study


def looked_at(
    study: Study, bench: Workbench, findings: Findings, seeds: AdaptiveSeeds
) -> Looked | None:
    """What the looks at the test scores say so far; None where no method has any.

    Args:
        study, bench: the study's. findings: with the test scores. seeds: the bounds.
    """
    decision = decision_for(study, bench, findings)
    metric = next(m for m in bench.task.metrics if m.name == decision.metric)
    methods = {}
    tested = {
        name: [findings.test_scores.get(c.id) for c in method.finals]
        for name, method in findings.schedule.methods.items()
    }
    judged: dict[str, list[NDArray[Any]]] | None = None
    rows: NDArray[np.bool_] | None = None
    if is_judged(metric):
        known = {name: [s for s in scored if s is not None] for name, scored in tested.items()}
        judged, rows = judged_runs(metric, {**known, **findings.baselines}, findings.baselines)
    for name, method in findings.schedule.methods.items():
        found = _scored(
            bench,
            metric,
            _runs(metric, tested[name])
            if judged is None
            else _in_place(judged.get(name, []), tested[name]),
            rows,
            first_look=seeds.looks[0],
            cost=float(method.candidates[0].method.num_trainable),
        )
        if found is not None:
            methods[name] = found
    if not methods:
        return None
    baselines = {
        name: found
        for name, scores in findings.baselines.items()
        if (
            found := _scored(
                bench,
                metric,
                _runs(metric, scores) if judged is None else judged.get(name, []),
                rows,
                first_look=seeds.looks[0],
            )
        )
        is not None
    }
    return look_at(
        methods,
        baselines,
        seeds,
        higher_is_better=metric.higher_is_better,
        margin=decision.margins[metric.name].value,
        alpha=1.0 - study.options.decision.level,
    )


def last_look(study: Study, bench: Workbench, findings: Findings) -> LookRecord | None:
    """The look that ended a study; None where more seeds are wanted, or their number was given."""
    seeds = bench.protocol.seeds
    if not isinstance(seeds, AdaptiveSeeds):
        return None
    found = looked_at(study, bench, findings, seeds)
    if found is None or found.wanted or not found.num_seeds:
        return None
    return LookRecord(
        num_seeds=found.num_seeds,
        alpha=found.alpha,
        methods=tuple(n for k, n in enumerate(found.names) if k not in found.earlier),
        behind=tuple(found.names[k] for k in sorted(found.earlier)),
    )


def _runs(metric: Metric, scored: Sequence[SetScores | None]) -> list[NDArray[Any] | None]:
    """[N, C] each; None of those that have no score by the metric."""
    return [None if s is None else s.statistics.get(metric.name) for s in scored]


def _in_place(
    runs: Sequence[NDArray[Any]], scored: Sequence[SetScores | None]
) -> list[NDArray[Any] | None]:
    """The runs of those that have scores, in order, with None where one has not.

    Args:
        runs: of all that have scores, or none at all. scored: by seed.
    """
    left = iter(runs)
    return [None if s is None else next(left, None) for s in scored]


def _scored(
    bench: Workbench,
    metric: Metric,
    runs: Sequence[NDArray[Any] | None],
    rows: NDArray[np.bool_] | None,
    *,
    first_look: int,
    cost: float = 0.0,
) -> Scored | None:
    """Runs by seed; None where the first look sees none that has a score by the metric.

    Args:
        rows: which of the test set's rows the runs have; None where they have all.
        first_look: its number of seeds.
    """
    seen = [run for run in runs[:first_look] if run is not None]
    if not seen:
        return None
    labels = bench.data.splits["test"].groups
    if rows is not None and labels is not None:
        labels = [labels[row] for row in np.flatnonzero(rows)]
    groups, _ = group_indices(labels, len(seen[0]))
    return Scored(
        runs=runs,
        value=metric.value,
        is_ratio=is_mean(metric),
        groups=groups,
        cost=cost,
    )
