"""Records of what a study's scores show: comparisons of pairs, and the recommendation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Comparable = Literal["better", "worse", "equivalent", "undecided"]
Answer = Literal["best", "cheapest_equivalent", "undecided", "none"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One pair of methods or baselines on one set by one metric.

    Attributes:
        difference: ``a`` minus ``b``. low, high: its bounds at ``level``.
        p_value: of no difference, corrected for the family.
        margin: within which two count as equivalent, None where equivalence is not judged.
        seeds: of ``a`` and of ``b``. examples: rows of the set.
        verdict: speaks of ``a``.
    """

    a: str
    b: str
    set: str
    metric: str
    difference: float
    low: float | None
    high: float | None
    p_value: float | None
    margin: float | None
    level: float
    seeds: tuple[int, int]
    examples: int
    verdict: Comparable


@dataclass(frozen=True, kw_only=True)
class Fallback:
    """What to do all the same: the least expected regret, and its bound, in the metric's unit."""

    method: str
    regret: float
    bound: float


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What would decide an undecided answer; None where that is not known."""

    seeds: int | None = None
    rows: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunnerUp:
    """Another method that took part, by the primary metric on the test set.

    Attributes:
        difference: it minus the recommended one.
        verdict: of this method against the recommended one.
    """

    method: str
    difference: float
    low: float | None
    high: float | None
    verdict: Comparable


@dataclass(frozen=True, kw_only=True)
class Outside:
    """A method that is not shown to meet the limits, with the reasons in words."""

    method: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """Which method to use.

    Attributes:
        method: None unless ``verdict`` is ``best`` or ``cheapest_equivalent``.
        why: one sentence.
        equivalent, undecided, behind: the other methods that took part, by what is known of each
            against the recommended one.
        runners_up: the same, best first. changes: sentences on what would change the answer.
        limits: in words. outside: methods that are not shown to meet them.
    """

    method: str | None
    verdict: Answer
    why: str
    equivalent: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    needs: Needs | None = None
    fallback: Fallback | None = None
    runners_up: tuple[RunnerUp, ...] = ()
    changes: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    outside: tuple[Outside, ...] = ()
