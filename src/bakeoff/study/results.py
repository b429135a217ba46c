"""A study's results, assembled from what its stages found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from bakeoff.config import to_mapping
from bakeoff.decide.convergence import converged
from bakeoff.decide.judged import MetricJudgement
from bakeoff.decide.recommendation import recommend
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.entrants import Entrant
from bakeoff.engine.workbench import Workbench
from bakeoff.execution.findings import Findings
from bakeoff.execution.scores import SetScores
from bakeoff.methods.external import EXTERNAL
from bakeoff.metrics.registry import metric_of
from bakeoff.runs.records import (
    BaselineRecord,
    CandidateRecord,
    Confusion,
    CostRecord,
    CurvePoint,
    DataRecord,
    DecisionRecord,
    ExternalRecord,
    MethodRecord,
    MethodSearchRecord,
    Recommendation,
    Results,
    SearchRecord,
    SplitRecord,
    TaskRecord,
)
from bakeoff.search.method_search import record_of
from bakeoff.search.schedule import MethodSearch, rungs_of
from bakeoff.study.adaptive import last_look
from bakeoff.study.curve import curve_notes, judge_curve, sizes_left_out
from bakeoff.study.environment import environment_of
from bakeoff.study.judged_notes import judge_notes
from bakeoff.study.judging import (
    baseline_validation,
    entrant_validation,
    judge_also,
    judge_study,
    method_validation,
)
from bakeoff.study.lengths import lengths_of
from bakeoff.study.notes import convergence_notes, search_notes
from bakeoff.study.protocol_notes import decision_notes, protocol_notes
from bakeoff.study.set_records import (
    also_of,
    estimates_on_test,
    metric_records,
    outputs_on,
    set_record_of,
    summed,
)
from bakeoff.study.study import Study
from bakeoff.tasks.contract import ZERO_SHOT
from bakeoff.types import SPLITS, RunState

_MOST_LABELS = 20
_FROM_ELSEWHERE = {
    "adapter": "an adapter from elsewhere",
    "checkpoint": "a model from elsewhere",
    "predictions": "answers from elsewhere",
}


def build_results(study: Study, bench: Workbench, findings: Findings, *, complete: bool) -> Results:
    """Puts everything that is known into the records; what is not known is None."""
    decision, judged = judge_study(study, bench, findings)
    also = {}
    for name in bench.also:
        also[name], warnings = judge_also(study, bench, findings, decision, name)
        decision = replace(decision, warnings=(*decision.warnings, *warnings))
    decision = replace(decision, look=last_look(study, bench, findings))
    methods = {
        e.name: replace(
            _method(bench, findings, e.name, judged, decision), also_test=also_of(also, e.name)
        )
        for e in bench.entries
    }
    methods |= {
        one.entry.name: replace(
            _entrant(bench, findings, one, judged), also_test=also_of(also, one.entry.name)
        )
        for one in bench.entrants
    }
    methods = {name: methods[name] for name in study.options.methods if name in methods}
    search = findings.schedule.search
    results = Results(
        status="complete" if complete else "partial",
        study=study.resolved,
        environment=environment_of(bench, findings.started, findings.wall_seconds),
        data=_data(bench),
        task=_task(bench, decision.metric),
        baselines={
            one.name: replace(
                _baseline(bench, findings, one.name, judged), also_test=also_of(also, one.name)
            )
            for one in bench.baselines
            if one.name in findings.baselines
        },
        methods=methods,
        candidates={c.id: _candidate(bench, findings, c) for c in findings.candidates}
        | {
            run.id: findings.records[run.id]
            for one in bench.entrants
            for run in one.runs
            if run.id in findings.records
        },
        comparisons=tuple(
            comparison
            for one in (judged, *also.values())
            for found in one.values()
            for comparison in found.comparisons
        ),
        decision=decision,
        recommendation=Recommendation(method=None, verdict="undecided", why=""),
        search=None if search is None else _search_cost(bench, findings),
        also_test={
            name: replace(set_record_of(study, found), outputs=outputs_on(bench, findings, name))
            for name, found in bench.also.items()
        },
        learning_curve=judge_curve(bench, findings, decision, judged),
        judge=findings.judge,
        notes=(
            *bench.data.warnings,
            *(warning for found in bench.also.values() for warning in found.warnings),
            *(note for one in bench.entrants for note in one.notes),
            *sizes_left_out(study, bench),
            *findings.notes,
            *judge_notes(findings.judge),
            *decision_notes(bench.task, decision.metric),
            *protocol_notes(bench),
            *search_notes(study, findings),
            *curve_notes(findings),
            *convergence_notes(bench.protocol, search, methods),
        ),
    )
    return replace(results, recommendation=recommend(results))


def _task(bench: Workbench, deciding: str) -> TaskRecord:
    return TaskRecord(
        kind=bench.task.kind,
        metrics=metric_records(bench.task.metrics, deciding),
        input_word=bench.task.input_word,
        output_word=bench.task.output_word,
        labels=bench.task.labels,
        found=bench.data.found,
    )


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
            documents_truncated=part.rows_cut,
            rows_skipped=part.rows_skipped,
            tokens_read=int(part.prompts.lengths.sum()),
            tokens_written=int(part.answer_counts.sum()),
        )
    return DataRecord(
        **content,
        overlap=asdict(bench.data.overlap),
        lengths=lengths_of(bench.data, bench.task.max_length),
        cautions=tuple(bench.data.cautions),
    )


def _baseline(
    bench: Workbench, findings: Findings, name: str, judged: Mapping[str, MetricJudgement]
) -> BaselineRecord:
    return BaselineRecord(
        title=next(b.title for b in bench.baselines if b.name == name),
        made_with=findings.baselines_made_with.get(name),
        validation=baseline_validation(bench, findings, name),
        test=estimates_on_test(judged, name),
        outputs=summed([scores.outputs for scores in findings.baselines[name]]),
        confusion=_confusion(bench, findings.baselines[name]),
        shots=findings.baseline_shots.get(name),
        cost=findings.baseline_costs.get(name),
    )


def _method(
    bench: Workbench,
    findings: Findings,
    name: str,
    judged: Mapping[str, MetricJudgement],
    decision: DecisionRecord,
) -> MethodRecord:
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
    adapters = [findings.adapter_bytes[c.id] for c in candidates if c.id in findings.adapter_bytes]
    return MethodRecord(
        kind=entry.kind,
        title=entry.method_type.title,
        options={**to_mapping(variant.options), **variant.searched},
        state=state,
        reason=reason,
        learning_rate=shown.learning_rate,
        converged=_converged(bench, findings, search, decision),
        seeds=tuple(c.seed for c in tested),
        cost=replace(
            findings.costs.get(name, CostRecord()),
            trainable_parameters=shown.method.num_trainable,
            adapter_bytes=max(adapters, default=None),
        ),
        validation=method_validation(bench, findings, name),
        test=estimates_on_test(judged, name),
        outputs=summed([s.outputs for s in scores]),
        confusion=_confusion(bench, scores),
        candidates=tuple(c.id for c in candidates),
        search=None if findings.schedule.search is None else _search(search),
        quantization=shown.method.base.quantization,
    )


def _entrant(
    bench: Workbench,
    findings: Findings,
    entrant: Entrant,
    judged: Mapping[str, MetricJudgement],
) -> MethodRecord:
    """Of one that was made elsewhere: it has scores, and no cost."""
    entry = entrant.entry
    tested = [seed for seed, run in enumerate(entrant.runs) if run.id in findings.test_scores]
    scores = [findings.test_scores[entrant.runs[seed].id] for seed in tested]
    failed = [run.id for run in entrant.runs if run.id in findings.failed_entrants]
    state = RunState.COMPLETE if len(tested) == len(entrant.runs) else RunState.WAITING
    return MethodRecord(
        kind=EXTERNAL,
        title=_FROM_ELSEWHERE[entry.form],
        options={entry.form: list(entry.places)},
        state=RunState.FAILED if failed else state,
        reason=findings.records[failed[0]].reason if failed else None,
        learning_rate=None,
        seeds=tuple(tested),
        cost=CostRecord(),
        validation=entrant_validation(bench, findings, entry.name),
        test=estimates_on_test(judged, entry.name),
        outputs=summed([s.outputs for s in scores]),
        confusion=_confusion(bench, scores),
        candidates=tuple(run.id for run in entrant.runs),
        external=ExternalRecord(form=entry.form, price=entry.price),
    )


def _converged(
    bench: Workbench, findings: Findings, search: MethodSearch, decision: DecisionRecord
) -> bool | None:
    """By validation NLL, which training follows whatever metric decides."""
    untuned = baseline_validation(bench, findings, ZERO_SHOT.name).get("nll")
    margin = decision.margins.get("nll")
    return converged(
        [_candidate(bench, findings, c) for c in search.finals],
        margin=metric_of("nll").default_margin if margin is None else margin.value,
        decays=bench.protocol.decays,
        untuned=None if untuned is None else untuned.mean,
    )


def _confusion(bench: Workbench, scored: Sequence[SetScores]) -> Confusion | None:
    """Of all seeds' runs together; None where there are more labels than a reader looks through.

    A column for answers that are no label comes last, where there were any.
    """
    found = [counts for s in scored if (counts := s.confusion(bench.task.metrics)) is not None]
    if not found or len(bench.task.labels) > _MOST_LABELS:
        return None
    counts = sum(found[1:], start=found[0])
    if not counts[:, -1].any():
        counts = counts[:, :-1]
    return tuple(tuple(line) for line in counts.tolist())


def _state(search: MethodSearch) -> tuple[RunState, str | None]:
    """The method's state is that of its weakest candidate: one open seed leaves it open."""
    if not search.finals:
        open_ones = [c for c in search.searched if not c.state.is_final]
        if open_ones:
            waiting = all(c.state is RunState.WAITING and not c.epochs for c in search.searched)
            return (RunState.WAITING if waiting else RunState.RUNNING), None
        if any(c.state.is_eligible for c in search.searched):
            return RunState.RUNNING, None  # a round is over, and the run ended before its choice
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
                selected_by=None
                if search.space.selection is None
                else c.validation.get(search.space.selection.metric),
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

    own = (c for method in schedule.methods.values() for c in (*method.searched, *method.finals))
    trained = sum(min(len(c.epochs), most(c)) for c in own)
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
    return replace(record_of(candidate), made_with=made_with, files=files)
