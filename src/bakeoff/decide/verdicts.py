"""What a run's results say of its methods: which ended well, which lead, how two of them compare.

Where no metric is named, the one that decides is meant.
"""

from __future__ import annotations

import math
from dataclasses import replace

from bakeoff.formatting import TIMES_100, Scale, scale_of
from bakeoff.runs.records import (
    BaselineRecord,
    CandidateRecord,
    Comparable,
    Comparison,
    Estimate,
    MethodRecord,
    MetricRecord,
    Results,
    Spread,
)
from bakeoff.runs.settings import setting

ZERO_SHOT = "zero_shot"
"""The baseline of the untuned base."""
LEAD = "lead"
"""The baseline of the document's first sentences."""
MUCH_SILENCE = 0.05
"""From this share of empty answers on, a method is flagged."""
_TURNED: dict[Comparable, Comparable] = {"better": "worse", "worse": "better"}


def comparison(
    results: Results, a: str, b: str, metric: str | None = None, *, set: str = "test"
) -> Comparison | None:
    """The comparison of ``a`` with ``b``, whichever way round it was made; None where none was."""
    name = metric or results.primary.name
    for found in results.comparisons:
        if found.metric != name or found.set != set or {found.a, found.b} != {a, b}:
            continue
        return found if found.a == a else turned(found)
    return None


def epochs_of(results: Results, method: MethodRecord) -> int | None:
    """Epochs of one training of a method: those that its search chose, else the protocol's."""
    found = method.options.get("epochs", setting(results.study, "protocol.epochs"))
    return found if isinstance(found, int) else None


def turned(found: Comparison) -> Comparison:
    """The same comparison with its sides exchanged."""
    spread = found.spread
    return replace(
        found,
        a=found.b,
        b=found.a,
        difference=0.0 - found.difference,  # no minus before a zero
        low=None if found.high is None else 0.0 - found.high,
        high=None if found.low is None else 0.0 - found.low,
        seeds=(found.seeds[1], found.seeds[0]),
        verdict=_TURNED.get(found.verdict, found.verdict),
        fixed=(found.fixed[1], found.fixed[0]),
        spread=None
        if spread is None
        else Spread(
            rows=spread.rows,
            seeds=(spread.seeds[1], spread.seeds[0]),
            scores=(spread.scores[1], spread.scores[0]),
        ),
    )


def verdict_of(
    results: Results, a: str, b: str, metric: str | None = None, *, set: str = "test"
) -> Comparable | None:
    """What is said of ``a`` against ``b``; None where they were not compared."""
    found = comparison(results, a, b, metric, set=set)
    return None if found is None else found.verdict


def unlimited_verdict(found: Comparison, *, higher_is_better: bool) -> Comparable:
    """What a comparison says of ``a`` where equivalence is not asked for: the margin is zero."""
    if found.p_value is None or found.why is not None or found.p_value > 1.0 - found.level:
        return "undecided"
    return "better" if (found.difference > 0.0) == higher_is_better else "worse"


def tested(results: Results, method: MethodRecord | BaselineRecord) -> Estimate | None:
    """The deciding metric of a method or baseline on the test set."""
    return method.test.get(results.primary.name)


def is_finished(results: Results, method: MethodRecord) -> bool:
    """Whether the method ended well and was tested."""
    return method.state.is_eligible and tested(results, method) is not None


def may_still_finish(method: MethodRecord) -> bool:
    """Whether a test result of the method is still to come."""
    return not method.state.is_final or (method.state.is_eligible and not method.test)


def finished_methods(results: Results) -> dict[str, MethodRecord]:
    """The methods that ended well, in the study's order."""
    return {name: m for name, m in results.methods.items() if is_finished(results, m)}


def best_baseline(results: Results, metric: str) -> tuple[str, Estimate] | None:
    """The baseline with the best result on the test set; None where none has the metric."""
    record = next(m for m in results.task.metrics if m.name == metric)
    sign = -1.0 if record.higher_is_better else 1.0
    found = {name: b.test[metric] for name, b in results.baselines.items() if metric in b.test}
    return min(found.items(), key=lambda item: (sign * item[1].mean, item[0]), default=None)


def baseline_label(name: str, record: BaselineRecord) -> str:
    """What a baseline is called: ``zero-shot``, ``lead-3``."""
    if record.title is not None:
        return record.title
    if name == LEAD:
        return f"lead-{'k' if record.sentences is None else record.sentences}"
    return name.replace("_", "-")


def label_of(results: Results, name: str) -> str:
    """What a method or a baseline is called in sentences."""
    record = results.baselines.get(name)
    return name if record is None else baseline_label(name, record)


def loss_of(results: Results, method: MethodRecord) -> float:
    """What orders methods from best to worst: the deciding metric so that lower is better.

    Infinite where the method has none.
    """
    found = tested(results, method)
    if found is None:
        return math.inf
    return -found.mean if results.primary.higher_is_better else found.mean


def cost_order(name: str, method: MethodRecord) -> tuple[float, float, float, str]:
    """What orders methods from cheap to dear: adapter, epoch, parameters, then the name."""
    cost = method.cost
    seconds = None if cost.epoch_seconds is None else cost.epoch_seconds.mean
    adapter, epoch, parameters = (
        math.inf if value is None else float(value)
        for value in (cost.adapter_bytes, seconds, cost.trainable_parameters)
    )
    return adapter, epoch, parameters, name


def rank(results: Results, name: str) -> tuple[float, tuple[float, float, float, str]]:
    """What orders methods from the best result on the test set, the cheaper of two equal first."""
    method = results.methods[name]
    return loss_of(results, method), cost_order(name, method)


def writes_nothing(record: MethodRecord | BaselineRecord) -> bool:
    """Whether so many of its answers are empty that a score of them can mislead."""
    found = record.outputs
    return found is not None and found.empty > MUCH_SILENCE * found.examples


def cheapest(results: Results) -> str | None:
    """The finished method with the smallest adapter, then the fastest epoch."""
    finished = finished_methods(results)
    return min(finished, key=lambda name: cost_order(name, finished[name]), default=None)


def best_val_nll(candidate: CandidateRecord) -> float | None:
    """A candidate's lowest validation NLL, None before its first epoch."""
    return min((epoch.val_nll for epoch in candidate.epochs), default=None)


def row_metric_of(results: Results) -> MetricRecord:
    """The first metric of which more is better: a score of what was written, such as ROUGE-1.

    The deciding metric where the task has no such metric.
    """
    found = (metric for metric in results.task.metrics if metric.higher_is_better)
    return next(found, results.primary)


def metric_scale(results: Results) -> Scale:
    """How values of the deciding metric are written."""
    return scale_of(results.primary.unit)


def metric_words(results: Results) -> str:
    """What the deciding metric is called in sentences: ``test NLL``."""
    return f"test {results.primary.title}"


def best_word(results: Results) -> str:
    """Which value of the deciding metric is the best: ``lowest`` or ``highest``."""
    return "highest" if results.primary.higher_is_better else "lowest"


def untuned_of(results: Results, name: str) -> str:
    """The baseline that a method or baseline is tuned from: of a crossed study that of its cell."""
    record = results.methods.get(name) or results.baselines.get(name)
    cell = None if record is None else record.cell
    for found, baseline in results.baselines.items():
        if cell is not None and baseline.cell == cell and baseline.plain_name == ZERO_SHOT:
            return found
    return ZERO_SHOT


def with_unit(results: Results, method: MethodRecord) -> str:
    """The method's deciding test result with its unit: ``2.431 nats per token``."""
    return f"{value_of(results, method)} {unit_words(results.primary.unit)}".rstrip()


def unit_words(unit: str) -> str:
    """A unit as it follows a figure: ``nats per token``, ``points``."""
    return "points" if unit == TIMES_100 else unit


def amount_words(unit: str, value: float) -> str:
    """A difference with its unit, to three digits: ``0.0123 nats per token``, ``1.2 points``."""
    shown, words = f"{scale_of(unit).factor * value:.3g}", unit_words(unit)
    return f"{shown} {'point' if shown == '1' and words == 'points' else words}".rstrip()


def value_of(results: Results, method: MethodRecord) -> str:
    """The method's deciding test result as it is written."""
    found = tested(results, method)
    return metric_scale(results).write(None if found is None else found.mean)
