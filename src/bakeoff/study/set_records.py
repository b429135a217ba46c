"""Records of metrics, of what was written, and of further test sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bakeoff.decide.judged import MetricJudgement
from bakeoff.engine.workbench import TestSet, Workbench
from bakeoff.execution.findings import Findings
from bakeoff.metrics.contract import Metric
from bakeoff.runs.records import Estimate, MetricRecord, Outputs, TestSetRecord
from bakeoff.study.judging import also_margins
from bakeoff.study.study import Study


def metric_records(metrics: Sequence[Metric], deciding: str) -> tuple[MetricRecord, ...]:
    """Metrics as records; the one that decides is primary."""
    return tuple(
        MetricRecord(
            name=metric.name,
            title=metric.title,
            unit=metric.unit,
            higher_is_better=metric.higher_is_better,
            primary=metric.name == deciding,
            signature=metric.signature,
        )
        for metric in metrics
    )


def set_record_of(study: Study, found: TestSet) -> TestSetRecord:
    metrics = found.task.metrics
    return TestSetRecord(
        kind=found.task.kind,
        metrics=metric_records(metrics, metrics[0].name),
        margins=also_margins(study, found.task),
        examples=len(found.data),
        rows_cut=found.data.rows_cut,
        rows_skipped=found.data.rows_skipped,
        max_drop=dict(found.max_drop),
    )


def outputs_on(bench: Workbench, findings: Findings, name: str) -> dict[str, Outputs]:
    """What each method and baseline wrote for a further test set, counted over its seeds."""
    of_run = {candidate.id: candidate.method_name for candidate in findings.candidates}
    of_run |= {run.id: one.entry.name for one in bench.entrants for run in one.runs}
    counted: dict[str, list[Outputs | None]] = {}
    for baseline, scores in findings.also_baselines.get(name, {}).items():
        counted.setdefault(baseline, []).append(scores.outputs)
    for run, scores in findings.also_scores.get(name, {}).items():
        counted.setdefault(of_run[run], []).append(scores.outputs)
    return {one: found for one, of in counted.items() if (found := summed(of)) is not None}


def also_of(
    also: Mapping[str, Mapping[str, MetricJudgement]], name: str
) -> dict[str, dict[str, Estimate]]:
    """By further test set and metric, of one method or baseline that was tested there."""
    return {
        one: estimates
        for one, judged in also.items()
        if (estimates := estimates_on_test(judged, name))
    }


def summed(counted: Sequence[Outputs | None]) -> Outputs | None:
    """The outputs of all seeds' runs together."""
    known = [outputs for outputs in counted if outputs is not None]
    if not known:
        return None
    unfinished = [outputs.unfinished for outputs in known]
    return Outputs(
        examples=sum(outputs.examples for outputs in known),
        empty=sum(outputs.empty for outputs in known),
        unfinished=None if None in unfinished else sum(n for n in unfinished if n is not None),
        invalid=sum(outputs.invalid for outputs in known),
    )


def estimates_on_test(judged: Mapping[str, MetricJudgement], name: str) -> dict[str, Estimate]:
    """By metric, of one method or baseline."""
    return {
        metric: found.estimates[name] for metric, found in judged.items() if name in found.estimates
    }
