"""What a study's scores show: by which margins, and what is better than what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.taskdata import SplitData
from bakeoff.decide.judged import (
    MetricJudgement,
    MetricScores,
    few_label_rows,
    judge_metric,
)
from bakeoff.decide.margins import MetricScale, decision_of
from bakeoff.decide.referee.looks import look_alphas
from bakeoff.engine.options import AdaptiveSeeds
from bakeoff.engine.workbench import Workbench
from bakeoff.execution.findings import Findings
from bakeoff.execution.scores import SetScores
from bakeoff.formatting import TIMES_100
from bakeoff.metrics.base import MeanMetric, is_judged, is_mean
from bakeoff.metrics.choice_nlls import Brier, LabelNll
from bakeoff.metrics.contract import Metric
from bakeoff.metrics.judge import NAME as JUDGE
from bakeoff.metrics.likelihood import BitsPerByte, Nll
from bakeoff.runs.records import DecisionRecord, DecisionWarning, Estimate, Margin
from bakeoff.study.study import Study
from bakeoff.tasks.contract import Task

_NEVER_NEGATIVE = (Nll, BitsPerByte, LabelNll, Brier)


def judge_study(
    study: Study, bench: Workbench, findings: Findings
) -> tuple[DecisionRecord, dict[str, MetricJudgement]]:
    """By what verdicts are reached, and by metric what is said on the test set.

    The margins follow from the study's options and from validation, never from the test set.
    """
    metrics = bench.task.metrics
    decision = decision_for(study, bench, findings)
    # In the study's order, whichever of them an earlier call had kept.
    if findings.judge is not None and findings.judge.by_place_too_often:
        margins = {**decision.margins, JUDGE: Margin(value=0.0, source="judge")}
        decision = replace(decision, margins=margins)
    names = [baseline.name for baseline in bench.baselines]
    runs = {name: findings.baselines[name] for name in names if name in findings.baselines}
    runs |= _all_scored(bench, findings, findings.test_scores)
    test = bench.data.splits["test"]
    fixed = {*findings.baselines, *single_runs(bench)}
    judged = {
        metric.name: judge_runs("test", metric, runs, test, bench.task, decision, fixed)
        for metric in metrics
    }
    flags = () if findings.judge is None else findings.judge.flags
    warnings = [DecisionWarning(set="test", metric=JUDGE, text=f"the judge: {f}") for f in flags]
    return replace(decision, warnings=(*warnings, *_warnings("test", judged))), judged


def judge_also(
    study: Study, bench: Workbench, findings: Findings, decision: DecisionRecord, name: str
) -> tuple[dict[str, MetricJudgement], tuple[DecisionWarning, ...]]:
    """By metric what is said on a further test set, a family of its own, and what limits it.

    Args:
        study, bench, findings: the run's. decision: with the level. name: the set's.
    """
    found = bench.also[name]
    decision = replace(decision, margins=also_margins(study, found.task))
    baselines = findings.also_baselines.get(name, {})
    runs = {one: [scores] for one, scores in baselines.items()}
    known = findings.also_scores.get(name, {})
    runs |= _all_scored(bench, findings, known)
    fixed = {*baselines, *single_runs(bench)}
    judged = {
        metric.name: judge_runs(name, metric, runs, found.data, found.task, decision, fixed)
        for metric in found.task.metrics
    }
    return judged, _warnings(name, judged)


def also_margins(study: Study, task: Task) -> dict[str, Margin]:
    """The margins on a further test set: the study's, else each metric's own."""
    given = study.options.decision.margin
    return {
        metric.name: Margin(value=given[metric.name], source="study")
        if metric.name in given
        else Margin(value=metric.default_margin, source="default")
        for metric in task.metrics
    }


def _warnings(name: str, judged: Mapping[str, MetricJudgement]) -> tuple[DecisionWarning, ...]:
    return tuple(
        DecisionWarning(set=name, metric=metric, text=text)
        for metric, found in judged.items()
        for text in found.warnings
    )


def decision_for(study: Study, bench: Workbench, findings: Findings) -> DecisionRecord:
    """By what verdicts are reached.

    Seeds that a look at the test set asked for do not move the margins, which are fixed before it.
    """
    metrics, seeds = bench.task.metrics, bench.protocol.seeds
    early = seeds.looks[0] if isinstance(seeds, AdaptiveSeeds) else None
    decision = decision_of(
        study.options.decision,
        [
            MetricScale(
                name=metric.name,
                higher_is_better=metric.higher_is_better,
                default_margin=metric.default_margin,
            )
            for metric in metrics
        ],
        {e.name: method_validation(bench, findings, e.name, early) for e in bench.entries},
        {name: baseline_validation(bench, findings, name) for name in findings.baselines},
        primary=metrics[0].name,
    )
    return replace(decision, level=level_of(seeds, decision.level))


def level_of(seeds: int | tuple[int, ...] | AdaptiveSeeds, level: float) -> float:
    """The level at which the results judge every pair, so that the study's holds over all looks.

    How many seeds a method has follows from what was seen of fewer, so that a pair may have been
    tested at any of the looks; each of these tests may spend what the first look may.
    """
    if not isinstance(seeds, AdaptiveSeeds):
        return level
    alphas = look_alphas(1.0 - level, at_least=seeds.at_least, at_most=seeds.at_most)
    return 1.0 - min(alphas.values())


def judge_runs(
    name: str,
    metric: Metric,
    runs: Mapping[str, Sequence[SetScores]],
    part: SplitData,
    task: Task,
    decision: DecisionRecord,
    baselines: Collection[str],
) -> MetricJudgement:
    """What is said by one metric of some runs on one set.

    Args:
        name: the set's. metric: by which. runs: scores by method and baseline, by seed.
        part: the set's rows. task: theirs. decision: with margins and level.
        baselines: names of those of which a single run is all there is.
    """
    found = {
        one: [scores.statistics[metric.name] for scores in scored]
        for one, scored in runs.items()
        if all(metric.name in scores.statistics for scores in scored)
    }
    groups = part.groups
    if is_judged(metric):
        found, rows = judged_runs(metric, runs, baselines)
        if groups is not None and rows is not None:
            groups = [groups[row] for row in np.flatnonzero(rows)]
    return judge_metric(
        MetricScores(
            set=name,
            metric=metric.name,
            higher_is_better=metric.higher_is_better,
            runs=found,
            value=metric.value,
            is_ratio=is_mean(metric),
            has_weights=isinstance(metric, MeanMetric),
            groups=groups,
            bounds=bounds_of(metric),
            withheld=withheld_of(Counter(part.gold.tolist()), task, metric),
        ),
        margin=decision.margins[metric.name].value,
        level=decision.level,
        baselines=baselines,
    )


def judged_runs(
    metric: Metric, runs: Mapping[str, Sequence[SetScores]], baselines: Collection[str]
) -> tuple[dict[str, list[NDArray[Any]]], NDArray[np.bool_] | None]:
    """The statistics of a metric that a judge gives, on the rows that were judged for all.

    Args:
        metric: which. runs: by method and baseline. baselines: of these, of which only the first
            draw has answers that are kept, that one counts; a method counts with all its seeds.

    Returns:
        By name the runs, [N', C] each, and [N] which rows these are; none of either where no row
        was judged.
    """
    found: dict[str, list[NDArray[Any]]] = {}
    for name, scored in runs.items():
        some = scored[:1] if name in baselines else scored
        own = [s.statistics[metric.name] for s in some if metric.name in s.statistics]
        if own and len(own) == len(some):
            found[name] = own
    return rows_judged_for_all(found)


def rows_judged_for_all(
    runs: Mapping[str, Sequence[NDArray[Any]]],
) -> tuple[dict[str, list[NDArray[Any]]], NDArray[np.bool_] | None]:
    """The statistics of a judged metric on the rows that were judged for all.

    Args:
        runs: by name, [N, C] each; one without any judged row has no part in it.

    Returns:
        See ``judged_runs``.
    """
    found = {n: list(own) for n, own in runs.items() if all(one[:, 1].any() for one in own)}
    if not found:
        return {}, None
    judged = [one[:, 1] > 0 for own in found.values() for one in own]
    rows: NDArray[np.bool_] = np.logical_and.reduce(judged)
    if not rows.any():
        return {}, None
    return {name: [one[rows] for one in own] for name, own in found.items()}, rows


def bounds_of(metric: Metric) -> tuple[float | None, float | None]:
    """The least and the largest value of a metric, None where there is none."""
    if metric.unit == TIMES_100:
        return (0.0, 1.0)
    # Of a metric of one's own nothing is known.
    return (0.0, None) if isinstance(metric, _NEVER_NEGATIVE) else (None, None)


def withheld_of(gold: Mapping[int, int], task: Task, metric: Metric) -> str | None:
    """Why nothing may be said by a metric, as ``few_label_rows`` says it.

    Args:
        gold: rows by the index of their right label. task: with its labels. metric: which.
    """
    counts = {label: gold.get(index, 0) for index, label in enumerate(task.labels)}
    return few_label_rows(counts, metric)


def single_runs(bench: Workbench) -> set[str]:
    """Names of the entrants from elsewhere of which a single run is all there is."""
    return {one.entry.name for one in bench.entrants if len(one.runs) == 1}


def _all_scored(
    bench: Workbench, findings: Findings, known: Mapping[str, SetScores]
) -> dict[str, list[SetScores]]:
    """Scores on a set of every method and entrant, by name, then by seed."""
    found = {entry.name: _scored(findings, entry.name, known) for entry in bench.entries}
    return found | {
        one.entry.name: [known[run.id] for run in one.runs if run.id in known]
        for one in bench.entrants
    }


def _scored(findings: Findings, name: str, known: Mapping[str, SetScores]) -> list[SetScores]:
    """The scores of a method's final candidates, by seed.

    Args:
        findings: the run's. name: the method's. known: scores on a set, by candidate.
    """
    return [known[c.id] for c in findings.finals(name) if c.state.is_eligible and c.id in known]


def method_validation(
    bench: Workbench, findings: Findings, name: str, most: int | None = None
) -> dict[str, Estimate]:
    """By metric, over the runs' seeds: what training followed, and what was asked after it.

    Args:
        bench, findings: the run's. name: the method's. most: only so many of its first seeds.
    """
    eligible = [c for c in findings.finals(name)[:most] if c.state.is_eligible]
    known = [findings.validation_scores.get(c.id) for c in eligible]
    scored = [scores for scores in known if scores is not None]
    found = _means(bench, scored) if len(scored) == len(eligible) else {}
    losses = tuple(c.best_val_nll for c in eligible if c.best_val_nll is not None)
    if losses:
        found["nll"] = _mean(losses)
    return found


def entrant_validation(bench: Workbench, findings: Findings, name: str) -> dict[str, Estimate]:
    """By metric, what an entrant from elsewhere reaches on the validation set."""
    [entrant] = (one for one in bench.entrants if one.entry.name == name)
    known = findings.validation_scores
    return _means(bench, [known[run.id] for run in entrant.runs if run.id in known])


def baseline_validation(bench: Workbench, findings: Findings, name: str) -> dict[str, Estimate]:
    """By metric, what a baseline reaches on the validation set."""
    return _means(bench, findings.baselines_validation.get(name, []))


def _means(bench: Workbench, scored: Sequence[SetScores]) -> dict[str, Estimate]:
    found = {}
    for metric in bench.task.metrics:
        values = [value for s in scored if (value := s.value(metric)) is not None]
        if scored and len(values) == len(scored):
            found[metric.name] = _mean(values)
    return found


def _mean(values: Sequence[float]) -> Estimate:
    return Estimate(mean=sum(values) / len(values), per_seed=tuple(values))
