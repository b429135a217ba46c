"""A study's results, assembled from what its stages found."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from bakeoff.config import to_mapping
from bakeoff.decide.judged import MetricJudgement, MetricScores, judge_metric
from bakeoff.decide.margins import MetricScale, decision_of
from bakeoff.decide.recommendation import recommend
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.workbench import Workbench
from bakeoff.execution.archive import record_of
from bakeoff.execution.findings import Findings, Floats, TestScores
from bakeoff.formatting import TIMES_100
from bakeoff.metrics.rouge import ROUGE_KEYS
from bakeoff.runs.records import (
    BaselineRecord,
    CandidateRecord,
    CostRecord,
    CurvePoint,
    DataRecord,
    DecisionRecord,
    DecisionWarning,
    Estimate,
    MethodRecord,
    MethodSearchRecord,
    MetricRecord,
    Outputs,
    Recommendation,
    Results,
    SearchRecord,
    SplitRecord,
    TaskRecord,
)
from bakeoff.search.schedule import MethodSearch
from bakeoff.study.environment import environment_of
from bakeoff.study.notes import search_notes
from bakeoff.study.options import Study
from bakeoff.types import SPLITS, RunState

_NLL_MARGIN = 0.02  # nats per token
_ROUGE_MARGIN = 0.01  # a point
_ROUGE_TITLES = dict(zip(ROUGE_KEYS, ("ROUGE-1", "ROUGE-2", "ROUGE-L", "ROUGE-Lsum"), strict=True))


def build_results(study: Study, bench: Workbench, findings: Findings, *, complete: bool) -> Results:
    """Puts everything that is known into the records; what is not known is None."""
    tokens_N = np.diff(bench.data.splits["test"].completions.offsets).astype(np.float64)
    decision = _decision(study, bench, findings)
    metrics = metrics_of_summaries(decision.metric)
    judged = _judged(bench, findings, metrics, decision, tokens_N)
    methods = {e.name: _method(bench, findings, e.name, judged) for e in bench.entries}
    search = findings.schedule.search
    results = Results(
        status="complete" if complete else "partial",
        study=study.resolved,
        environment=environment_of(bench, findings.started, findings.wall_seconds),
        data=_data(bench),
        task=TaskRecord(kind="summarize", metrics=metrics),
        baselines={
            name: _baseline(bench, findings, name, scores, judged)
            for name, scores in findings.baselines.items()
        },
        methods=methods,
        candidates={c.id: _candidate(bench, findings, c) for c in findings.candidates},
        comparisons=tuple(c for found in judged.values() for c in found.comparisons),
        decision=replace(
            decision,
            warnings=tuple(
                DecisionWarning(set="test", metric=metric, text=text)
                for metric, found in judged.items()
                for text in found.warnings
            ),
        ),
        recommendation=Recommendation(method=None, verdict="undecided", why=""),
        search=None if search is None else _search_cost(bench, findings),
        notes=(*bench.data.warnings, *findings.notes, *search_notes(study, findings)),
    )
    return replace(results, recommendation=recommend(results))


def metrics_of_summaries(deciding: str = "nll") -> tuple[MetricRecord, ...]:
    """What summaries are scored by, and which of it decides."""
    version = importlib.metadata.version("rouge_score")
    nll = MetricRecord(
        name="nll",
        title="NLL",
        unit="nats per token",
        higher_is_better=False,
        primary=deciding == "nll",
        signature="mean over supervised tokens",
    )
    rouges = [
        MetricRecord(
            name=key,
            title=title,
            unit="\u00d7 100",
            higher_is_better=True,
            primary=deciding == key,
            signature=f"rouge_score {version}, F-measure, stemmed",
        )
        for key, title in _ROUGE_TITLES.items()
    ]
    return (nll, *rouges)


def _data(bench: Workbench) -> DataRecord:
    content: dict[str, Any] = {}
    for split in SPLITS:
        part = bench.data.splits[split]
        content[split] = SplitRecord(
            examples=len(part),
            tokens_raw=part.tokens_raw,
            tokens_padded=bench.plans[split].tokens_padded,
            tokens_supervised=part.tokens_supervised,
            padding_share=bench.plans[split].padding_share,
            documents_truncated=part.documents_truncated,
            rows_skipped=part.rows_skipped,
        )
    return DataRecord(**content, overlap=asdict(bench.data.overlap))


def _decision(study: Study, bench: Workbench, findings: Findings) -> DecisionRecord:
    """By what verdicts are reached: the study's options and validation, never the test set."""
    return decision_of(
        study.options.decision,
        [
            MetricScale(
                name=metric.name,
                higher_is_better=metric.higher_is_better,
                default_margin=_NLL_MARGIN if metric.name == "nll" else _ROUGE_MARGIN,
            )
            for metric in metrics_of_summaries()
        ],
        {e.name: _validation(findings, e.name) for e in bench.entries},
        {name: _baseline_validation(findings, name) for name in findings.baselines},
        primary="nll",
    )


def _judged(
    bench: Workbench,
    findings: Findings,
    metrics: Sequence[MetricRecord],
    decision: DecisionRecord,
    tokens_N: Floats,
) -> dict[str, MetricJudgement]:
    """By metric: estimates of methods and baselines on the test set, and their comparisons."""
    tested = {name: [scores] for name, scores in findings.baselines.items()}
    tested |= {entry.name: _tested(findings, entry.name) for entry in bench.entries}
    statistics = {
        name: [scores.statistics(tokens_N) for scores in runs] for name, runs in tested.items()
    }
    return {
        metric.name: judge_metric(
            MetricScores(
                set="test",
                metric=metric.name,
                higher_is_better=metric.higher_is_better,
                runs={
                    name: [run[metric.name] for run in runs]
                    for name, runs in statistics.items()
                    if all(metric.name in run for run in runs)
                },
                value=lambda sums: sums[..., 0] / sums[..., 1],
                is_ratio=True,
                bounds=(0.0, 1.0 if metric.unit == TIMES_100 else None),
            ),
            margin=decision.margins[metric.name].value,
            level=decision.level,
            baselines=findings.baselines,
        )
        for metric in metrics
    }


def _tested(findings: Findings, name: str) -> list[TestScores]:
    """The test scores of a method's final candidates, by seed."""
    return [
        findings.test_scores[c.id]
        for c in findings.finals(name)
        if c.state.is_eligible and c.id in findings.test_scores
    ]


def _test_estimates(judged: Mapping[str, MetricJudgement], name: str) -> dict[str, Estimate]:
    """By metric, of one method or baseline."""
    return {
        metric: found.estimates[name] for metric, found in judged.items() if name in found.estimates
    }


def _validation(findings: Findings, name: str) -> dict[str, Estimate]:
    losses = tuple(
        c.best_val_nll
        for c in findings.finals(name)
        if c.state.is_eligible and c.best_val_nll is not None
    )
    return {"nll": Estimate(mean=sum(losses) / len(losses), per_seed=losses)} if losses else {}


def _baseline_validation(findings: Findings, name: str) -> dict[str, Estimate]:
    if findings.baselines[name].nll_N is None or findings.zero_shot_val_nll is None:
        return {}
    return {"nll": Estimate(mean=findings.zero_shot_val_nll)}


def _baseline(
    bench: Workbench,
    findings: Findings,
    name: str,
    scores: TestScores,
    judged: Mapping[str, MetricJudgement],
) -> BaselineRecord:
    return BaselineRecord(
        made_with=findings.baselines_made_with.get(name),
        validation=_baseline_validation(findings, name),
        test=_test_estimates(judged, name),
        outputs=scores.outputs,
        sentences=bench.lead_sentences if name == "lead" else None,
    )


def _method(
    bench: Workbench, findings: Findings, name: str, judged: Mapping[str, MetricJudgement]
) -> MethodRecord:
    entry = next(e for e in bench.entries if e.name == name)
    search = findings.schedule.methods[name]
    resolved = to_mapping(entry.variants[0].options)
    # While nothing is chosen, the best so far is the method's.
    shown = search.chosen or search.best() or search.candidates[0]
    candidates = search.finals or search.searched
    eligible = [c for c in search.finals if c.state.is_eligible]
    tested = [c for c in eligible if c.id in findings.test_scores]
    scores = [findings.test_scores[c.id] for c in tested]
    state, reason = _state(search)
    variant = next(v for v in entry.variants if v.label == shown.variant)
    adapters = [findings.adapter_bytes[c.id] for c in candidates if c.id in findings.adapter_bytes]
    return MethodRecord(
        kind=entry.kind,
        title=entry.method_type.title,
        options={**resolved, **to_mapping(variant.options)},
        state=state,
        reason=reason,
        learning_rate=shown.learning_rate,
        seeds=tuple(c.seed for c in tested),
        cost=replace(
            findings.costs.get(name, CostRecord()),
            trainable_parameters=shown.method.num_trainable,
            adapter_bytes=max(adapters, default=None),
        ),
        validation=_validation(findings, name),
        test=_test_estimates(judged, name),
        outputs=_summed([s.outputs for s in scores]),
        candidates=tuple(c.id for c in candidates),
        search=None if findings.schedule.search is None else _search(bench, search),
    )


def _summed(counted: Sequence[Outputs | None]) -> Outputs | None:
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


def _state(search: MethodSearch) -> tuple[RunState, str | None]:
    """The method's state is that of its weakest candidate: one open seed leaves it open."""
    if not search.finals:
        open_ones = [c for c in search.searched if not c.state.is_final]
        if open_ones:
            waiting = all(c.state is RunState.WAITING and not c.epochs for c in search.searched)
            return (RunState.WAITING if waiting else RunState.RUNNING), None
        lost = min(search.searched, key=lambda c: c.state is not RunState.FAILED)
        return lost.state, f"no rate of {len(search.searched)} ended well; {lost.reason}"
    leading = next((c for c in search.finals if not c.state.is_eligible), search.finals[0])
    return leading.state, leading.reason


def _search(bench: Workbench, search: MethodSearch) -> MethodSearchRecord:
    """The rate's curve of one method, and how its grid came to be."""
    entry = next(e for e in bench.entries if e.name == search.name)
    options = {variant.label: variant.searched for variant in entry.variants}
    edge = search.edge() if search.chosen else None
    return MethodSearchRecord(
        centre=None if entry.rates else entry.method_type.default_learning_rate,
        grid=search.rates,
        grown=search.num_grown,
        best_at_edge=None if search.chosen is None else edge is not None,
        chosen=None if search.chosen is None else search.chosen.id,
        curve=tuple(
            CurvePoint(
                learning_rate=c.learning_rate,
                options=options[c.variant],
                val_nll=c.best_val_nll,
                epochs=len(c.epochs),
                state=c.state,
                candidate=c.id,
            )
            for c in sorted(search.searched, key=lambda c: (c.variant, c.learning_rate))
        ),
    )


def _search_cost(bench: Workbench, findings: Findings) -> SearchRecord:
    """What the search trained, against every rate with every seed to the end."""
    schedule, epochs = findings.schedule, bench.protocol.epochs
    tokens = bench.plans["train"].tokens_padded
    trained = sum(len(c.epochs) for c in schedule.candidates)
    rates = sum(len(method.searched) for method in schedule.methods.values())
    full = rates * len(schedule.seeds) * epochs
    return SearchRecord(
        seeds=tuple(schedule.seeds),
        rungs=tuple(schedule.rungs),
        epochs_trained=trained,
        epochs_full_grid=full,
        tokens_trained=trained * tokens,
        tokens_full_grid=full * tokens,
    )


def _candidate(bench: Workbench, findings: Findings, candidate: Candidate) -> CandidateRecord:
    kept = findings.records.get(candidate.id)
    entry = next(e for e in bench.entries if e.name == candidate.method_name)
    options = next(v.searched for v in entry.variants if v.label == candidate.variant)
    files = {} if kept is None else kept.files
    made_with = None if kept is None else kept.made_with
    return record_of(candidate, made_with, files, options)
