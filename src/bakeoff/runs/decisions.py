"""Records of what scores show: comparisons of pairs, the margins, and the recommendation.

The same records serve a study's ``results.json`` and ``bakeoff.compare``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Comparable = Literal["better", "worse", "equivalent", "undecided"]
Answer = Literal["best", "cheapest_equivalent", "undecided", "none"]
MarginSource = Literal["study", "gain", "least", "default", "judge"]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Standard deviations behind the difference of two methods, in the metric's unit.

    Attributes:
        rows: of a row's difference, once seeds are averaged out.
        seeds: of the statistic of ``a`` and of ``b`` from seed to seed; zero where it is fixed or
            has one seed.
        scores: of a single score of each, beside its row and its seed; zero likewise.
    """

    rows: float
    seeds: tuple[float, float]
    scores: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One pair of methods or baselines on one set by one metric.

    The standard error and the degrees of freedom, with those of the other pairs, are all that the
    recommendation needs, so that it can be made again from the records alone.

    Attributes:
        difference: ``a`` minus ``b``, in the metric's unit.
        low, high: its bounds at the level for all pairs together (alpha / K each). They are
            stricter than the verdict's own test, which is corrected step by step, so that a pair
            may be ``better`` while they hold zero. None where nothing may be said.
        p_value: of no difference, two-sided, corrected over all pairs (Holm); 1 where nothing may
            be said.
        margin: a difference that does not matter; None where equivalence was not judged.
        level: of all verdicts together.
        seeds: of ``a`` and of ``b``. examples: rows, or groups of rows, that both were scored on.
        verdict: speaks of ``a``. ``equivalent`` goes before a difference smaller than the margin.
        why: why nothing is said of the pair, else None.
        error: standard error of the difference; None in results of the first edition's rules.
        freedom: its degrees of freedom.
        fixed: whether another seed of ``a``, of ``b`` would change nothing.
        differing: on how many of the examples the two differ.
        spread: what makes the error. equivalent_from: the least margin at which the two would be
            called equivalent, as far as the other pairs allow; None where nothing may be said.
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
    why: str | None = None
    error: float | None = None
    freedom: float | None = None
    fixed: tuple[bool, bool] = (False, False)
    differing: int | None = None
    spread: Spread | None = None
    equivalent_from: float | None = None


@dataclass(frozen=True, kw_only=True)
class Margin:
    """A difference that does not matter, in the metric's own unit, and how it came about.

    Attributes:
        source: ``study``: the study names it. ``gain``: a tenth of what the best method gains on
            the best baseline on validation. ``least``: that is too little, so a quarter of the
            metric's own. ``default``: the metric's own, as validation has no baseline or no method.
            ``judge``: zero, as the judge prefers by position.
    """

    value: float
    source: MarginSource


@dataclass(frozen=True, kw_only=True)
class DecisionWarning:
    """What makes verdicts by one metric on one set less certain than they look."""

    set: str
    metric: str
    text: str


@dataclass(frozen=True, kw_only=True)
class LookRecord:
    """The look at a study's test scores after which nothing more was trained.

    Attributes:
        num_seeds: of each method that took part. alpha: of the error, what it may spend.
        methods: that took part. behind: those that an earlier look had shown behind.
    """

    num_seeds: int
    alpha: float
    methods: tuple[str, ...]
    behind: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DecisionRecord:
    """By what the verdicts of a study were reached, fixed before the test set was opened.

    Attributes:
        metric: the one that decides. level: of the verdicts, for each family.
        margins: by metric. tolerance: the regret that the study accepts where nothing is decided.
        look: the last one, where seeds follow from looks and no more are wanted.
    """

    metric: str
    level: float
    margins: dict[str, Margin] = field(default_factory=dict)
    tolerance: float | None = None
    warnings: tuple[DecisionWarning, ...] = ()
    look: LookRecord | None = None


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
class Needs:
    """The least sizes that would decide an undecided answer, with 80 % probability.

    Attributes:
        seeds: of each method that varies with them, in all; None where those at hand suffice.
        rows: of the test set (or groups), in all; None where those at hand suffice.
        seconds: what these take beyond what is there, each method alone; None where not known.
    """

    seeds: int | None = None
    rows: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunnerUp:
    """Another method that took part, by the deciding metric on the test set.

    Attributes:
        difference: it minus the recommended one. verdict: of it against the recommended one.
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
        method: the recommended one; None unless ``verdict`` is ``best`` or ``cheapest_equivalent``.
        verdict: ``best`` (shown better than every other), ``cheapest_equivalent`` (the cheapest of
            those shown worse than no other by the margin or more), ``none`` (every method is shown
            to gain less than the margin on some baseline, or there is no method to use), else
            ``undecided``.
        why: in sentences, for a reader.
        equivalent: others that are worse than no other by the margin or more.
        undecided: methods of which too little is known.
        behind: methods that are shown worse than the best mean, or than the recommended one.
        needs: what would decide; None where it is decided or no size within reach does.
        fallback: what to do all the same; None unless ``undecided``.
        runners_up: the others against the recommended one, best first.
        changes: sentences on what would change the answer.
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
