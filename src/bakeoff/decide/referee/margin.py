"""How large a difference must be to matter."""

from __future__ import annotations

from collections.abc import Iterable

from bakeoff.decide.referee.pairs import PairTests, Verdicts, judge

# Of the best method's gain over the best baseline.
_SHARE_OF_GAIN = 0.1
# Of the metric's own default, which the margin never falls below.
_SHARE_OF_DEFAULT = 0.25


def default_margin(
    methods: Iterable[float],
    baselines: Iterable[float],
    *,
    higher_is_better: bool,
    metric_default: float,
) -> float:
    """A tenth of what the best method gains on the best baseline, and a quarter of the default.

    To be fixed before the test set is opened, so both are taken on validation.

    Args:
        methods: the validation value of each method. baselines: of each baseline.
        higher_is_better: of the metric.
        metric_default: the metric's own margin, as 0.02 nats per token.

    Returns:
        The larger of the two; the metric's default where there is no method or no baseline.
    """
    pick = max if higher_is_better else min
    ours, theirs = list(methods), list(baselines)
    if not ours or not theirs:
        return metric_default
    gain = pick(ours) - pick(theirs)
    gain = gain if higher_is_better else -gain
    return max(_SHARE_OF_GAIN * gain, _SHARE_OF_DEFAULT * metric_default)


def verdicts_by_margin(
    tests: PairTests, margins: Iterable[float], alpha: float
) -> list[tuple[float, Verdicts]]:
    """Every verdict at each of several margins, for a reader who has another than the study's.

    Only the one margin that was fixed beforehand holds at the level.
    """
    return [(margin, judge(tests, margin, alpha)) for margin in margins]
