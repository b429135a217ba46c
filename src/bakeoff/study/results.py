"""A study's results, assembled from what its stages found."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from bakeoff.config import to_mapping
from bakeoff.decide.choice import recommend
from bakeoff.decide.comparisons import compare_methods
from bakeoff.decide.convergence import converged
from bakeoff.decide.intervals import Interval, bootstrap_interval
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.workbench import Workbench
from bakeoff.execution.archive import record_of
from bakeoff.execution.findings import Findings, Floats, TestScores
from bakeoff.metrics.rouge import ROUGE_KEYS
from bakeoff.runs.records import (
    BaselineRecord,
    CandidateRecord,
    Comparison,
    CostRecord,
    CurvePoint,
    DataRecord,
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
from bakeoff.search.schedule import MethodSearch, rungs_of
from bakeoff.study.adaptive import level_of, margin_of
from bakeoff.study.environment import environment_of
from bakeoff.study.notes import convergence_notes, search_notes
from bakeoff.study.options import Study
from bakeoff.types import SPLITS, RunState

_ROUGE_TITLES = dict(zip(ROUGE_KEYS, ("ROUGE-1", "ROUGE-2", "ROUGE-L", "ROUGE-Lsum"), strict=True))


def build_results(study: Study, bench: Workbench, findings: Findings, *, complete: bool) -> Results:
    """Puts everything that is known into the records; what is not known is None."""
    tokens_N = np.diff(bench.data.splits["test"].completions.offsets).astype(np.float64)
    methods = {e.name: _method(bench, findings, e.name, tokens_N) for e in bench.entries}
    search = findings.schedule.search
    results = Results(
        status="complete" if complete else "partial",
        study=study.resolved,
        environment=environment_of(bench, findings.started, findings.wall_seconds),
        data=_data(bench),
        task=TaskRecord(kind="summarize", metrics=metrics_of_summaries()),
        baselines={
            name: _baseline(bench, findings, name, scores, tokens_N)
            for name, scores in findings.baselines.items()
        },
        methods=methods,
        candidates={c.id: _candidate(bench, findings, c) for c in findings.candidates},
        comparisons=tuple(
            _comparisons(findings, list(methods), tokens_N, level_of(bench.protocol.seeds))
        ),
        recommendation=Recommendation(method=None, verdict="undecided", why=""),
        search=None if search is None else _search_cost(bench, findings),
        notes=(
            *bench.data.warnings,
            *findings.notes,
            *search_notes(study, findings),
            *convergence_notes(bench.protocol, search, methods),
        ),
    )
    return replace(results, recommendation=recommend(results))


def metrics_of_summaries() -> tuple[MetricRecord, ...]:
    """What summaries are scored by; the first decides."""
    version = importlib.metadata.version("rouge_score")
    nll = MetricRecord(
        name="nll",
        title="NLL",
        unit="nats per token",
        higher_is_better=False,
        primary=True,
        signature="mean over supervised tokens",
    )
    rouges = [
        MetricRecord(
            name=key,
            title=title,
            unit="\u00d7 100",
            higher_is_better=True,
            primary=False,
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


def _test_estimates(tested: Sequence[TestScores], tokens_N: Floats) -> dict[str, Estimate]:
    """By metric, over the runs' seeds and the test rows."""
    found: dict[str, Estimate] = {}
    nlls = [t.nll_N for t in tested if t.nll_N is not None]
    if nlls:
        nll_SN = np.stack(nlls)
        interval = bootstrap_interval(nll_SN, np.broadcast_to(tokens_N, nll_SN.shape))
        found["nll"] = _estimate(interval, nll_SN.sum(axis=1) / tokens_N.sum())
    for column, key in enumerate(ROUGE_KEYS):
        rouge_SN = np.stack([t.rouge_N4[:, column] for t in tested])
        found[key] = _estimate(bootstrap_interval(rouge_SN), rouge_SN.mean(axis=1))
    return found


def _estimate(interval: Interval, per_seed: Floats) -> Estimate:
    return Estimate(
        mean=interval.mean,
        low=interval.low,
        high=interval.high,
        per_seed=tuple(float(value) for value in per_seed),
    )


def _baseline(
    bench: Workbench, findings: Findings, name: str, scores: TestScores, tokens_N: Floats
) -> BaselineRecord:
    validation = {}
    if scores.nll_N is not None and findings.zero_shot_val_nll is not None:
        validation["nll"] = Estimate(mean=findings.zero_shot_val_nll)
    return BaselineRecord(
        made_with=findings.baselines_made_with.get(name),
        validation=validation,
        test=_test_estimates([scores], tokens_N),
        outputs=scores.outputs,
        sentences=bench.lead_sentences if name == "lead" else None,
    )


def _method(bench: Workbench, findings: Findings, name: str, tokens_N: Floats) -> MethodRecord:
    entry = next(e for e in bench.entries if e.name == name)
    search = findings.schedule.methods[name]
    # While nothing is chosen, the best so far is the method's.
    shown = search.chosen or search.best() or search.candidates[0]
    candidates = search.finals or search.searched
    eligible = [c for c in search.finals if c.state.is_eligible]
    tested = [c for c in eligible if c.id in findings.test_scores]
    scores = [findings.test_scores[c.id] for c in tested]
    state, reason = _state(search)
    variant = next(v for v in entry.variants if v.label == shown.variant)
    losses = tuple(c.best_val_nll for c in eligible if c.best_val_nll is not None)
    adapters = [findings.adapter_bytes[c.id] for c in candidates if c.id in findings.adapter_bytes]
    return MethodRecord(
        kind=entry.kind,
        title=entry.method_type.title,
        options={**to_mapping(variant.options), **variant.searched},
        state=state,
        reason=reason,
        learning_rate=shown.learning_rate,
        converged=converged(
            [_candidate(bench, findings, c) for c in search.finals],
            margin=margin_of(findings, bench.protocol.seed_list),
            decays=bench.protocol.decays,
            untuned=findings.zero_shot_val_nll,
        ),
        seeds=tuple(c.seed for c in tested),
        cost=replace(
            findings.costs.get(name, CostRecord()),
            trainable_parameters=shown.method.num_trainable,
            adapter_bytes=max(adapters, default=None),
        ),
        validation={"nll": Estimate(mean=sum(losses) / len(losses), per_seed=losses)}
        if losses
        else {},
        test=_test_estimates(scores, tokens_N) if scores else {},
        outputs=_summed([s.outputs for s in scores]),
        candidates=tuple(c.id for c in candidates),
        search=None if findings.schedule.search is None else _search(search),
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


def _search(search: MethodSearch) -> MethodSearchRecord:
    """The rate's curve of one method, and how its grid came to be."""
    assert search.space is not None
    return MethodSearchRecord(
        centre=None if search.space.rates else search.space.centre,
        grid=search.rates,
        grown=search.num_grown,
        best_at_edge=None if search.chosen is None else search.is_at_edge(),
        chosen=None if search.chosen is None else search.chosen.id,
        curve=tuple(
            CurvePoint(
                learning_rate=c.learning_rate,
                options=dict(c.options),
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
    schedule = findings.schedule
    tokens = bench.plans["train"].tokens_padded

    def most(candidate: Candidate) -> int:
        """Epochs without those that chosen settings went on with later."""
        return min(bench.protocol.under(candidate.options).epochs, schedule.searched_epochs)

    trained = sum(min(len(c.epochs), most(c)) for c in schedule.candidates)
    whole = sum(most(c) for method in schedule.methods.values() for c in method.searched)
    full = whole * len(schedule.seeds)
    return SearchRecord(
        seed=bench.protocol.search_seed,
        seeds=tuple(schedule.seeds),
        rungs=rungs_of(schedule.search, schedule.searched_epochs),
        epochs_trained=trained,
        epochs_full_grid=full,
        tokens_trained=trained * tokens,
        tokens_full_grid=full * tokens,
    )


def _candidate(bench: Workbench, findings: Findings, candidate: Candidate) -> CandidateRecord:
    kept = findings.records.get(candidate.id)
    files = {} if kept is None else kept.files
    made_with = None if kept is None else kept.made_with
    return record_of(candidate, made_with, files)


def _comparisons(
    findings: Findings, names: Sequence[str], tokens_N: Floats, level: float
) -> list[Comparison]:
    scores: dict[str, list[TestScores]] = {}
    untuned = findings.baselines.get("zero_shot")
    if untuned is not None and untuned.nll_N is not None:
        scores["zero_shot"] = [untuned]
    for name in names:
        tested = [
            findings.test_scores[c.id]
            for c in findings.finals(name)
            if c.state.is_eligible and c.id in findings.test_scores
        ]
        if tested:
            scores[name] = tested
    if len(scores) < 2 or len(tokens_N) < 2:
        return []
    nlls = {n: np.stack([t.nll_N for t in ts if t.nll_N is not None]) for n, ts in scores.items()}
    weights = {n: np.broadcast_to(tokens_N, nll.shape) for n, nll in nlls.items()}
    # So many that Holm's strictest level can be reached whatever the number of pairs.
    resamples = max(10_000, math.ceil(2 * len(scores) ** 2 / (1.0 - level)))
    found = compare_methods(
        nlls,
        metric="nll",
        weights=weights,
        higher_is_better=False,
        resamples=resamples,
        level=level,
    )
    for column, key in enumerate(ROUGE_KEYS):
        rouges = {n: np.stack([t.rouge_N4[:, column] for t in ts]) for n, ts in scores.items()}
        found += compare_methods(
            rouges,
            metric=key,
            weights=None,
            higher_is_better=True,
            resamples=resamples,
            level=level,
        )
    return found
