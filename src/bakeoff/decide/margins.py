"""How large a difference must be to matter, fixed before the test set is opened."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bakeoff.decide.options import DecisionOptions
from bakeoff.runs.records import DecisionRecord, Estimate, Margin

# Of the best method's gain over the best baseline.
_SHARE_OF_GAIN = 0.1
# Of the metric's own default, which the margin never falls below.
_SHARE_OF_DEFAULT = 0.25


@dataclass(frozen=True, kw_only=True)
class MetricScale:
    """What the margin of a metric needs to know of it; ``default_margin`` in its own unit."""

    name: str
    higher_is_better: bool
    default_margin: float


def decision_of(
    options: DecisionOptions,
    metrics: Sequence[MetricScale],
    methods: Mapping[str, Mapping[str, Estimate]],
    baselines: Mapping[str, Mapping[str, Estimate]],
    *,
    primary: str,
) -> DecisionRecord:
    """By what a study's verdicts are to be reached.

    Nothing of the test set comes in: margins follow from the options and from validation alone.

    Args:
        options: the study's. metrics: of its task.
        methods: for each method its validation estimates by metric. baselines: likewise.
        primary: the task's own metric, which decides unless the options name another.
    """
    margins = {}
    for metric in metrics:
        given = options.margin.get(metric.name)
        if given is not None:
            margins[metric.name] = Margin(value=given, source="study")
            continue
        ours, theirs = (
            [found[metric.name].mean for found in group.values() if metric.name in found]
            for group in (methods, baselines)
        )
        margins[metric.name] = default_margin(
            ours,
            theirs,
            higher_is_better=metric.higher_is_better,
            metric_default=metric.default_margin,
        )
    return DecisionRecord(
        metric=options.metric or primary,
        level=options.level,
        margins=margins,
        tolerance=options.tolerance,
    )


def default_margin(
    methods: Iterable[float],
    baselines: Iterable[float],
    *,
    higher_is_better: bool,
    metric_default: float,
) -> Margin:
    """A tenth of what the best method gains on the best baseline, and a quarter of the default.

    Args:
        methods: the validation value of each method. baselines: of each baseline.
        higher_is_better: of the metric.
        metric_default: the metric's own margin, as 0.02 nats per token.

    Returns:
        The larger of the two; the metric's default where there is no method or no baseline.
    """
    pick, sign = (max, 1.0) if higher_is_better else (min, -1.0)
    ours, theirs = ([v for v in values if math.isfinite(v)] for values in (methods, baselines))
    if not ours or not theirs:
        return Margin(value=metric_default, source="default")
    share = _SHARE_OF_GAIN * sign * (pick(ours) - pick(theirs))
    least = _SHARE_OF_DEFAULT * metric_default
    if share >= least:
        return Margin(value=share, source="gain")
    return Margin(value=least, source="least")
