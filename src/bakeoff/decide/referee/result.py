"""What is said of methods: the records that the judgement hands out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bakeoff.decide.referee.needs import Needs

PairVerdict = Literal["better", "worse", "equivalent", "undecided"]
RecommendationVerdict = Literal["best", "cheapest_equivalent", "undecided", "none"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One pair of methods on one metric.

    Attributes:
        a: one method. b: the other.
        difference: the statistic of ``a`` minus that of ``b``, in the metric's unit.
        low: lower bound at the level for all pairs together (alpha / K each). It is stricter than
            the verdict's own test, which is corrected step by step, so a pair may be ``better``
            while the interval holds zero. Minus infinity where nothing may be said.
        high: upper bound, likewise.
        p_value: of "no difference", two-sided, corrected over all pairs.
        margin: a difference that does not matter.
        level: of all verdicts together.
        seeds: the fewest of the two methods' seeds that count; of a fixed method none do.
        examples: rows (or groups of rows) that both were scored on.
        verdict: of ``a``. ``equivalent`` goes before a difference smaller than the margin.
        why: why nothing is said of the pair, else None.
    """

    a: str
    b: str
    difference: float
    low: float
    high: float
    p_value: float
    margin: float
    level: float
    seeds: int
    examples: int
    verdict: PairVerdict
    why: str | None = None


@dataclass(frozen=True, kw_only=True)
class Fallback:
    """What to do all the same where nothing is decided.

    Attributes:
        method: the one with the least expected regret; it may be a baseline.
        regret: what it is expected to lose against the truly best one, in the metric's unit; None
            where too little is known for a figure.
        bound: what it loses at most, at the level; None likewise.
    """

    method: str
    regret: float | None
    bound: float | None


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """Which method to use.

    Attributes:
        verdict: ``best`` (shown better than every other), ``cheapest_equivalent`` (the cheapest of
            those shown worse than no other by the margin or more), ``none`` (every method is shown
            to gain less than the margin on some baseline), else ``undecided``.
        method: the recommended one; None unless ``best`` or ``cheapest_equivalent``.
        equivalent: others that are worse than no other by the margin or more.
        undecided: methods of which too little is known.
        behind: methods that are shown worse than the best mean, or than the recommended one.
        needs: what would decide; None where it is decided or no size within reach does.
        fallback: what to do all the same; None unless ``undecided``.
        why: one sentence or two.
    """

    verdict: RecommendationVerdict
    method: str | None
    equivalent: tuple[str, ...]
    undecided: tuple[str, ...]
    behind: tuple[str, ...]
    needs: Needs | None
    fallback: Fallback | None
    why: str


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Everything that is said of one metric on one test set.

    Attributes:
        comparisons: all pairs, in the order of ``itertools.combinations`` over the names.
        recommendation: a family of its own at the same level: ``best`` may be given where a pair
            reads ``undecided``.
        warnings: what makes the figures less certain than they look.
    """

    comparisons: tuple[Comparison, ...]
    recommendation: Recommendation
    warnings: tuple[str, ...] = ()
