"""``learning_curve``: which subsets a study trains on, and what its runs on them show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from bakeoff.data.taskdata import TaskData
from bakeoff.decide.judged import MetricJudgement
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.workbench import LearningCurve, Workbench
from bakeoff.execution.findings import Findings
from bakeoff.execution.scores import SetScores
from bakeoff.formatting import join, shown_whole
from bakeoff.metrics.base import is_judged
from bakeoff.metrics.contract import Metric
from bakeoff.runs.records import DecisionRecord, Estimate, LearningCurvePoint, RowsGain
from bakeoff.study.judging import judge_runs
from bakeoff.study.study import Study
from bakeoff.tasks.contract import NLL, Task

_KEY: Final = "learning_curve"


def curve_of(study: Study, task: Task, data: TaskData) -> LearningCurve:
    """The sizes that the training rows can give, and the metrics that the curve is drawn by.

    Args:
        study: with the sizes that are asked for. task: the study's, after its rows were read.
        data: its rows.
    """
    num_rows = len(data.splits["train"])
    sizes = tuple(size for size in study.options.learning_curve if size < num_rows)
    deciding = study.options.decision.metric or task.metrics[0].name
    scored = [metric for metric in task.metrics if not is_judged(metric)]
    # A judge is asked about the study's own runs alone.
    names = {metric.name: metric for metric in scored}
    first = names.get(deciding, names[NLL])
    # What is asked for the one that decides costs nothing more for the others.
    others = [m for m in scored if m.asks is first.asks and m is not first]
    return LearningCurve(sizes=sizes, metrics=(first, *others) if sizes else ())


def sizes_left_out(study: Study, bench: Workbench) -> list[str]:
    """What to say of sizes that are not below the number of training rows."""
    num_rows = len(bench.data.splits["train"])
    large = [shown_whole(size) for size in study.options.learning_curve if size >= num_rows]
    if not large:
        return []
    return [
        f"{_KEY}: {join(large)} left out, as there are {shown_whole(num_rows)} training rows; the "
        "study's own runs on all of them are the curve's last point"
    ]


def curve_words(bench: Workbench, findings: Findings) -> str:
    """What the stage trains, in words."""
    coming = findings.schedule.on_curve
    methods = len({candidate.method_name for candidate in coming})
    seeds = len({candidate.seed for candidate in coming})
    return (
        f"{join([shown_whole(size) for size in bench.curve.sizes])} of "
        f"{shown_whole(len(bench.data.splits['train']))} training rows: {len(coming)} candidates "
        f"of {methods} {'method' if methods == 1 else 'methods'}, {seeds} "
        f"{'seed' if seeds == 1 else 'seeds'}"
    )


def curve_notes(findings: Findings) -> list[str]:
    """What to say of runs on fewer rows that went wrong, and so have no part in their point."""
    return [
        f"learning curve: {one.id} has no result, as it ended {one.state.value.lower()}"
        + (f" ({one.reason})" if one.reason else "")
        for one in findings.schedule.on_curve
        if one.state.is_final and not one.state.is_eligible
    ]


def judge_curve(
    bench: Workbench,
    findings: Findings,
    decision: DecisionRecord,
    judged: Mapping[str, MetricJudgement],
) -> dict[str, tuple[LearningCurvePoint, ...]]:
    """By method its points, small subsets first; nothing of a method without any.

    The runs of one size are a family, as those of the study are: their intervals know how seeds
    vary in all of them. What further rows bring is asked of each method by itself.

    Args:
        bench, findings: the run's. decision: by what verdicts are reached.
        judged: what is said by each metric on the test set, of the study's own runs.
    """
    if not bench.curve.sizes:
        return {}
    found: dict[str, list[LearningCurvePoint]] = {entry.name: [] for entry in bench.entries}
    before: dict[str, list[Candidate]] = {}
    for size in bench.curve.sizes:
        present = {name: _tested(findings, name, size) for name in found}
        present = {name: candidates for name, candidates in present.items() if candidates}
        estimates = {
            metric.name: _judged(bench, findings, metric, present, decision).estimates
            for metric in bench.curve.metrics
        }
        for name, candidates in present.items():
            gain = _gain(bench, findings, decision, candidates, before.get(name, ()))
            own = {metric: of[name] for metric, of in estimates.items() if name in of}
            found[name].append(_point(size, candidates, own, gain))
            before[name] = candidates
    for name, points in found.items():
        finals = _tested(findings, name, None)
        if points and finals:
            gain = _gain(bench, findings, decision, finals, before[name])
            own = {
                metric.name: judged[metric.name].estimates[name]
                for metric in bench.curve.metrics
                if name in judged[metric.name].estimates
            }
            points.append(_point(len(bench.data.splits["train"]), finals, own, gain))
    return {name: tuple(points) for name, points in found.items() if points}


def _tested(findings: Findings, name: str, rows: int | None) -> list[Candidate]:
    """A method's runs on so many rows that have results, by seed."""
    method = findings.schedule.methods[name]
    of_size = method.finals if rows is None else [c for c in method.curve if c.rows == rows]
    return [c for c in of_size if c.state.is_eligible and c.id in findings.test_scores]


def _point(
    rows: int,
    candidates: Sequence[Candidate],
    metrics: Mapping[str, Estimate],
    gain: RowsGain | None,
) -> LearningCurvePoint:
    return LearningCurvePoint(
        rows=rows,
        candidates=tuple(candidate.id for candidate in candidates),
        seeds=tuple(candidate.seed for candidate in candidates),
        metrics=dict(metrics),
        gain=gain,
    )


def _gain(
    bench: Workbench,
    findings: Findings,
    decision: DecisionRecord,
    more: Sequence[Candidate],
    fewer: Sequence[Candidate],
) -> RowsGain | None:
    """What a method's runs gain over those on fewer rows; None where there are none."""
    if not fewer:
        return None
    # Named as a reader is to see them: what limits the pair is said by these names.
    pair = {f"{shown_whole(_rows_of(bench, runs))} rows": runs for runs in (more, fewer)}
    found = _judged(bench, findings, bench.curve.metrics[0], pair, decision).comparisons
    if not found:
        return None
    one = found[0]
    return RowsGain(
        rows=_rows_of(bench, fewer),
        difference=one.difference,
        low=one.low,
        high=one.high,
        margin=one.margin,
        level=one.level,
        verdict=one.verdict,
        why=one.why,
    )


def _rows_of(bench: Workbench, runs: Sequence[Candidate]) -> int:
    """Training rows of some runs of one size."""
    rows = runs[0].rows
    return len(bench.data.splits["train"]) if rows is None else rows


def _judged(
    bench: Workbench,
    findings: Findings,
    metric: Metric,
    runs: Mapping[str, Iterable[Candidate]],
    decision: DecisionRecord,
) -> MetricJudgement:
    scored: dict[str, list[SetScores]] = {
        name: [findings.test_scores[candidate.id] for candidate in candidates]
        for name, candidates in runs.items()
    }
    part = bench.data.splits["test"]
    return judge_runs("test", metric, scored, part, bench.task, decision, ())
