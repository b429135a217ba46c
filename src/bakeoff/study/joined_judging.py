"""What is said across the cells of a crossed study: verdicts by every metric that compares."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.decide.factors import Key, with_components
from bakeoff.decide.judged import MetricJudgement, MetricScores, judge_metric
from bakeoff.decide.margins import MetricScale, decision_of
from bakeoff.formatting import shown_whole
from bakeoff.metrics.base import MeanMetric, is_judged, is_mean
from bakeoff.metrics.contract import Metric
from bakeoff.metrics.judge import NAME as JUDGE
from bakeoff.runs.factors import FactorsRecord
from bakeoff.runs.records import (
    BaselineRecord,
    DecisionRecord,
    DecisionWarning,
    Estimate,
    JudgeRecord,
    Margin,
    MethodRecord,
)
from bakeoff.study.cells import TEST, OpenedCell, one_tokenizer
from bakeoff.study.crossing import BITS_PER_BYTE, PER_TOKEN
from bakeoff.study.joined_scores import (
    Arrays,
    CellScores,
    groups_of,
    on_rows,
    shared_rows,
)
from bakeoff.study.judging import bounds_of, rows_judged_for_all, withheld_of
from bakeoff.study.study import Study


@dataclass(frozen=True, kw_only=True)
class JudgedCells:
    """What a judge said of all cells' answers.

    Attributes:
        record: how it judged. failed: whether it was given up.
        statistics: by name, by run, [M, 2]; of a baseline of its first draw.
        seconds: that it took. notes: what a reader must know besides.
    """

    record: JudgeRecord
    statistics: Mapping[str, Sequence[NDArray[Any]]]
    failed: bool
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class JoinedSet:
    """The scores of all cells on one set, on the rows that they share.

    Attributes:
        name: the set's. runs: by name, by seed, then by metric: statistics [M, C].
        fixed: names of those of which a single run is all there is.
        cells: by label, opened. groups: [M] or None. rows: M. left_out: rows that a cell lacks.
        gold: of the M rows, those of each label, by its index.
    """

    name: str
    runs: Mapping[str, Sequence[Arrays]]
    fixed: frozenset[str]
    cells: Mapping[str, OpenedCell]
    groups: Sequence[str] | None
    rows: int
    left_out: int
    gold: Mapping[int, int]

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Those of its task that compare across all cells."""
        first = next(iter(self.cells.values()))
        task = first.task if self.name == TEST else first.also[self.name]
        return comparable(task.metrics, self.cells)

    def with_judge(self, found: Mapping[str, Sequence[NDArray[Any]]]) -> JoinedSet:
        """With what a judge gave.

        Args:
            found: by name, by run, statistics [M, C]; of a baseline that of its first draw.
        """
        runs: dict[str, Sequence[Arrays]] = dict(self.runs)
        for name, statistics in found.items():
            own = list(runs.get(name, ()))
            if len(own) == len(statistics) or (own and name in self.fixed):
                for place, array in enumerate(statistics):
                    own[place] = {**own[place], JUDGE: array}
                runs[name] = own
        return replace(self, runs=runs)

    def scores(self, metric: Metric) -> MetricScores:
        """What all runs reached by one metric."""
        found: dict[str, list[NDArray[Any]]] = {}
        groups = self.groups
        for name, all_runs in self.runs.items():
            # Of a baseline's draws the judge is given the first.
            runs = all_runs[:1] if is_judged(metric) and name in self.fixed else all_runs
            own = [run[metric.name] for run in runs if metric.name in run]
            if own and len(own) == len(runs):
                found[name] = own
        if is_judged(metric):
            found, rows = rows_judged_for_all(found)
            if groups is not None and rows is not None:
                groups = [groups[row] for row in np.flatnonzero(rows).tolist()]
        first = next(iter(self.cells.values()))
        task = first.task if self.name == TEST else first.also[self.name]
        return MetricScores(
            set=self.name,
            metric=metric.name,
            higher_is_better=metric.higher_is_better,
            runs=found,
            value=metric.value,
            is_ratio=is_mean(metric),
            has_weights=isinstance(metric, MeanMetric),
            groups=groups,
            bounds=bounds_of(metric),
            withheld=withheld_of(self.gold, task, metric),
        )


def comparable(metrics: Sequence[Metric], opened: Mapping[str, OpenedCell]) -> tuple[Metric, ...]:
    """Metrics by which cells compare: nothing per token, unless all have one tokenizer."""
    if one_tokenizer(opened):
        return tuple(metrics)
    return tuple(metric for metric in metrics if metric.name not in PER_TOKEN)


def join_sets(
    scored: Mapping[str, CellScores],
    opened: Mapping[str, OpenedCell],
    name: str,
    names: Mapping[tuple[str, str], str],
) -> JoinedSet:
    """The scores of all cells on one set.

    Args:
        scored: by the cell's label. opened: all cells, those without scores too.
        name: the set's. names: by (label, plain name) what a baseline is called in the study; one
            that is not there is another cell's too.
    """
    shared = shared_rows(opened, name)
    runs: dict[str, list[dict[str, NDArray[Any]]]] = {}
    fixed: set[str] = set()
    for label, scores in scored.items():
        rows = opened[label].rows[name]

        def taken(found: Sequence[Arrays], rows: Any = rows) -> list[dict[str, NDArray[Any]]]:
            return [{k: on_rows(v, rows, shared) for k, v in one.items()} for one in found]

        for method, found in scores.methods.items():
            runs[method] = taken(found)
            # Of what was made elsewhere, one run may be all there is.
            if method in scores.external and len(found) == 1:
                fixed.add(method)
        for plain, found in scores.baselines.items():
            if (called := names.get((label, plain))) is not None:
                runs[called] = taken(found)
                fixed.add(called)
    first = next(iter(opened.values())).rows[name]
    most = max(len(np.unique(cell.rows[name].numbers)) for cell in opened.values())
    return JoinedSet(
        name=name,
        runs=runs,
        fixed=frozenset(fixed),
        cells=opened,
        groups=groups_of(first, shared),
        rows=len(shared),
        left_out=most - len(shared),
        gold=first.gold(shared),
    )


def decision_across(
    study: Study,
    deciding: str,
    metrics: Sequence[Metric],
    methods: Mapping[str, MethodRecord],
    baselines: Mapping[str, BaselineRecord],
    judge: JudgeRecord | None = None,
) -> DecisionRecord:
    """By what the verdicts across cells are reached: the margins follow from validation alone.

    Nothing is called equal by a judge that prefers by place.
    """
    found = decision_of(
        replace(study.options.decision, metric=deciding),
        [
            MetricScale(
                name=metric.name,
                higher_is_better=metric.higher_is_better,
                default_margin=metric.default_margin,
            )
            for metric in metrics
        ],
        {name: record.validation for name, record in methods.items()},
        {name: record.validation for name, record in baselines.items()},
        primary=deciding,
    )
    if judge is None:
        return found
    if judge.by_place_too_often:
        found = replace(found, margins={**found.margins, JUDGE: Margin(value=0.0, source="judge")})
    flags = (f"the judge: {flag}" for flag in judge.flags)
    warnings = [DecisionWarning(set=TEST, metric=JUDGE, text=flag) for flag in flags]
    return replace(found, warnings=(*found.warnings, *warnings))


def across(
    validation: Mapping[str, Estimate], cell: OpenedCell, metrics: Collection[str]
) -> dict[str, Estimate]:
    """A run's validation results by the metrics that compare, bits per byte from its NLL."""
    found = dict(validation)
    nll = found.get("nll")
    if nll is not None and BITS_PER_BYTE not in found and np.isfinite(cell.bits):
        found[BITS_PER_BYTE] = Estimate(
            mean=nll.mean * cell.bits, per_seed=tuple(one * cell.bits for one in nll.per_seed)
        )
    return {name: estimate for name, estimate in found.items() if name in metrics}


def judge_across(
    joined: JoinedSet, margins: Mapping[str, float], level: float
) -> dict[str, MetricJudgement]:
    """By metric what is said on one set, all pairs of all cells in one family."""
    found = {}
    for metric in joined.metrics:
        scores = joined.scores(metric)
        found[metric.name] = judge_metric(
            scores,
            margin=margins.get(metric.name, metric.default_margin),
            level=level,
            baselines=joined.fixed,
        )
    return found


def warnings_across(
    joined: JoinedSet, judged: Mapping[str, MetricJudgement], primary: str
) -> Iterator[DecisionWarning]:
    """What limits the verdicts of a set."""
    for metric, found in judged.items():
        for text in found.warnings:
            yield DecisionWarning(set=joined.name, metric=metric, text=text)
    if joined.left_out:
        yield DecisionWarning(
            set=joined.name,
            metric=primary,
            text=(
                f"{shown_whole(joined.left_out)} rows that some base or prompt leaves out are "
                f"counted for none, so that all are compared on the same {shown_whole(joined.rows)}"
            ),
        )


def with_factors(
    record: FactorsRecord, joined: JoinedSet, places: Mapping[str, Key]
) -> FactorsRecord:
    """The record with the variance components of the deciding metric."""
    metric = next((m for m in joined.metrics if m.name == record.metric), None)
    if metric is None:
        return replace(record, why=f"no cell was scored by {record.metric}")
    return with_components(record, joined.scores(metric), places)
