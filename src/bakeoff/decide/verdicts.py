"""What a run's results say of its methods: which ended well, which lead, which are not told apart.

Where no metric is named, the task's primary one is meant.
"""

from __future__ import annotations

import math
from dataclasses import replace

from bakeoff.formatting import TIMES_100, Scale, scale_of
from bakeoff.runs.records import (
    CandidateRecord,
    Comparable,
    Comparison,
    Estimate,
    MethodRecord,
    Results,
)

ZERO_SHOT = "zero_shot"
"""The baseline of the untuned base."""
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


def turned(found: Comparison) -> Comparison:
    """The same comparison with its sides exchanged."""
    return replace(
        found,
        a=found.b,
        b=found.a,
        difference=-found.difference,
        low=None if found.high is None else -found.high,
        high=None if found.low is None else -found.low,
        seeds=(found.seeds[1], found.seeds[0]),
        verdict=_TURNED.get(found.verdict, found.verdict),
    )


def winner(
    results: Results, a: str, b: str, metric: str | None = None, *, set: str = "test"
) -> str | None:
    """The better of two by their comparison; None where no difference is shown, or none made."""
    found = comparison(results, a, b, metric, set=set)
    if found is None:
        return None
    return {"better": a, "worse": b}.get(found.verdict)


def is_tie(
    results: Results, a: str, b: str, metric: str | None = None, *, set: str = "test"
) -> bool:
    """Whether no difference between ``a`` and ``b`` was shown."""
    return winner(results, a, b, metric, set=set) is None


def tested(results: Results, method: MethodRecord) -> Estimate | None:
    """The method's primary metric on the test set."""
    return method.test.get(results.primary.name)


def is_finished(results: Results, method: MethodRecord) -> bool:
    """Whether the method ended well and was tested."""
    return method.state.is_eligible and tested(results, method) is not None


def may_still_finish(results: Results, method: MethodRecord) -> bool:
    """Whether a test result of the method is still to come."""
    if not method.state.is_final:
        return True
    return method.state.is_eligible and tested(results, method) is None


def finished_methods(results: Results) -> dict[str, MethodRecord]:
    """The methods that ended well, in the study's order."""
    return {name: m for name, m in results.methods.items() if is_finished(results, m)}


def loss_of(results: Results, method: MethodRecord) -> float:
    """What orders methods from best to worst: the primary metric so that lower is better.

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


def cheapest(results: Results) -> str | None:
    """The finished method with the smallest adapter, then the fastest epoch."""
    finished = finished_methods(results)
    return min(finished, key=lambda name: cost_order(name, finished[name]), default=None)


def is_ahead_of_zero_shot(results: Results, name: str) -> bool:
    """Whether the method's test result is shown to be better than the untuned base's.

    Their comparison decides where there is one; else the two intervals must be disjoint. Without a
    result of the base there is nothing to be ahead of, and the answer is yes.
    """
    zero = results.baselines.get(ZERO_SHOT)
    base = None if zero is None else zero.test.get(results.primary.name)
    if base is None:
        return True
    if comparison(results, name, ZERO_SHOT) is not None:
        return winner(results, name, ZERO_SHOT) == name
    ours = tested(results, results.methods[name])
    if ours is None:
        return False
    if results.primary.higher_is_better:
        return _low(ours) > _high(base)
    return _high(ours) < _low(base)


def best_val_nll(candidate: CandidateRecord) -> float | None:
    """A candidate's lowest validation NLL, None before its first epoch."""
    return min((epoch.val_nll for epoch in candidate.epochs), default=None)


def metric_scale(results: Results) -> Scale:
    """How values of the primary metric are written."""
    return scale_of(results.primary.unit)


def metric_words(results: Results) -> str:
    """What the primary metric is called in sentences: ``test NLL``."""
    return f"test {results.primary.title}"


def best_word(results: Results) -> str:
    """Which value of the primary metric is the best: ``lowest`` or ``highest``."""
    return "highest" if results.primary.higher_is_better else "lowest"


def with_unit(results: Results, method: MethodRecord) -> str:
    """The method's primary test result with its unit: ``2.431 nats per token``."""
    return f"{value_of(results, method)} {unit_words(results)}".rstrip()


def unit_words(results: Results) -> str:
    """The primary metric's unit as it follows a figure: ``nats per token``, ``points``."""
    unit = results.primary.unit
    return "points" if unit == TIMES_100 else unit


def value_of(results: Results, method: MethodRecord) -> str:
    """The method's primary test result as it is written."""
    found = tested(results, method)
    return metric_scale(results).write(None if found is None else found.mean)


def _low(found: Estimate) -> float:
    return found.mean if found.low is None else found.low


def _high(found: Estimate) -> float:
    return found.mean if found.high is None else found.high
