"""A contrast's effect with its error, and what it would take to find one of that size.

An effect's error has two parts. Seeds: the variance of its values over the repeats. Rows: the
statistic is computed again with each block of test rows left out (a jackknife), because methods
differ from row to row by far more than from seed to seed, and a verdict that knows only seeds would
be one on these very rows. Both are joined as the referee joins them, with Satterthwaite's degrees
of freedom.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bakeoff.claims.contract import Claim, Contrast, Values
from bakeoff.decide.referee.distributions import (
    noncentral_t_cdf,
    noncentrality,
    t_cdf,
    t_quantile,
)

_CHANCE = 0.8
_MOST_REPEATS = 200
_MOST_FREEDOM = 1e6
_TIMES_ROWS = (1, 2, 3, 5, 10, 20, 50, 100, 300, 1000)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was measured for a claim.

    Attributes:
        values: of all test rows. without: the same with one block of rows left out, a block each;
            none where no rows are drawn.
        untestable: why nothing can be said here, else None.
        unmeasured: why nothing was measured yet, else None. notes: what a reader should know.
        is_fault: whether it is unmeasured because reading, measuring or the rule failed, and not
            because something is not there yet.
        measured_on: the processor or card of what was measured besides its studies.
    """

    values: Values = field(default_factory=dict)
    without: Sequence[Values] = ()
    untestable: str | None = None
    unmeasured: str | None = None
    is_fault: bool = False
    notes: tuple[str, ...] = ()
    measured_on: str = ""


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What a design finds of a contrast with 80 % probability.

    Attributes:
        effect: how far from its threshold an effect must lie, on the side that takes more.
        margin: how wide the margin of equivalence would have to be, where one as wide as the
            claim's would not be found even for an effect of 0; None anywhere else.
    """

    effect: float
    margin: float | None = None


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A contrast's effect with its error.

    Attributes:
        repeats: values that it is the mean of. seed_variance, row_variance: of that mean.
        freedom: degrees of freedom of the error; infinite where there is none.
        p_support, p_contradict: one-sided, of the effect being on the other side, or on the edge.
    """

    contrast: Contrast
    effect: float
    per_repeat: tuple[float, ...]
    seed_variance: float
    row_variance: float
    blocks: int
    freedom: float
    p_support: float
    p_contradict: float

    @property
    def error(self) -> float:
        """The standard error."""
        return math.sqrt(self.seed_variance + self.row_variance)

    def interval(self, alpha: float) -> tuple[float, float]:
        """Bounds that hold the effect with probability 1 - ``alpha``."""
        if self.error == 0.0:
            return self.effect, self.effect
        half = float(t_quantile(self.freedom, 1.0 - alpha / 2.0)) * self.error
        return self.effect - half, self.effect + half

    def reach(self, support: float, contradict: float) -> Reach:
        """What is found of it with 80 % probability.

        Args:
            support: the level of the claim's side of the threshold. Equivalence is shown against
                both ends of its margin. contradict: that of the other side.
        """
        variance = self.seed_variance + self.row_variance
        outside = _detectable(variance, self.freedom, contradict)
        if self.contrast.rule != "within":
            return Reach(effect=max(outside, _detectable(variance, self.freedom, support)))
        margin = self.contrast.threshold
        inside = _detectable_within(margin, variance, self.freedom, support)
        return Reach(effect=max(outside, inside), margin=inside if inside > margin else None)

    def is_short(self, alpha: float) -> bool:
        """Whether it is shown to be on the claim's side of zero, whatever it says of the margin.

        A claim that asks for less than something, or for nearly nothing, names no side of zero.
        """
        if self.contrast.rule == "within":
            return False
        low, high = self.interval(alpha)
        edge = self.contrast.threshold
        return low > 0.0 < edge if self.contrast.rule == "above" else high < 0.0 > edge

    @property
    def distance(self) -> float:
        """From the threshold that is nearest."""
        if self.contrast.rule == "within":
            return abs(self.contrast.threshold - abs(self.effect))
        return abs(self.effect - self.contrast.threshold)


def estimate(evidence: Evidence, contrast: Contrast, claim: Claim) -> Estimate:
    """One contrast's effect, its error, and what it says against the threshold."""
    values = np.atleast_1d(np.asarray(claim.statistic(evidence.values)[contrast.name], float))
    repeats, mean = len(values), float(values.mean())
    seed = float(values.var(ddof=1) / repeats) if repeats > 1 else 0.0
    left = np.array(
        [np.mean(claim.statistic(one)[contrast.name]) for one in evidence.without], dtype=np.float64
    )
    blocks = len(left)
    row = float((blocks - 1) * np.var(left)) if blocks > 1 else 0.0
    # A variance that only rounding made is none.
    floor = (1e-12 * max(1.0, abs(mean))) ** 2
    seed, row = (0.0 if part < floor else part for part in (seed, row))
    freedom = _freedom(seed, row, repeats, blocks)
    support, contradict = _p_values(mean, math.sqrt(seed + row), freedom, contrast)
    return Estimate(
        contrast=contrast,
        effect=mean,
        per_repeat=tuple(values.tolist()),
        seed_variance=seed,
        row_variance=row,
        blocks=blocks,
        freedom=freedom,
        p_support=support,
        p_contradict=contradict,
    )


def _freedom(seed: float, row: float, repeats: int, blocks: int) -> float:
    """Satterthwaite's, of the sum of two variances."""
    parts = [(seed, repeats - 1), (row, blocks - 1)]
    known = [(part, count) for part, count in parts if part > 0.0]
    if not known:
        return math.inf
    return (seed + row) ** 2 / sum(part**2 / count for part, count in known)


def _p_values(
    effect: float, error: float, freedom: float, contrast: Contrast
) -> tuple[float, float]:
    """One-sided p-values for the claim's side of the threshold and for the other side."""
    edge = contrast.threshold
    if contrast.rule == "within":
        return (
            max(_tail(effect + edge, error, freedom), _tail(edge - effect, error, freedom)),
            min(
                1.0,
                _tail(abs(effect) - edge, error, freedom)
                + (_tail(abs(effect) + edge, error, freedom) if error else 0.0),
            ),
        )
    over = effect - edge if contrast.rule == "above" else edge - effect
    return _tail(over, error, freedom), _tail(-over, error, freedom)


def _tail(over: float, error: float, freedom: float) -> float:
    """The chance of an estimate so far over its threshold where the truth is on it."""
    if error == 0.0:
        return 0.0 if over > 0.0 else 1.0
    if math.isinf(freedom):
        freedom = 1e9
    return float(t_cdf(freedom, -over / error))


def cheapest(one: Estimate, repeats: int, step: float) -> tuple[int, int] | None:
    """(repeats, times the test rows) of the least work that finds an effect as large as was seen.

    Rows are looked for only where they are drawn. None: not within what anybody would run.
    """
    best: tuple[int, int] | None = None
    for times in _TIMES_ROWS if one.row_variance else (1,):
        for more in _growing(repeats):
            if best is not None and more * times >= best[0] * best[1]:
                break
            seed, row = one.seed_variance * repeats / more, one.row_variance / times
            freedom = _freedom(seed, row, more, one.blocks)
            if _is_found(one, seed + row, freedom, step):
                best = more, times
                break
    return best


def _growing(repeats: int) -> list[int]:
    """Numbers of repeats to try, each a fifth more than the one before."""
    found = [repeats]
    while found[-1] < _MOST_REPEATS:
        found.append(math.ceil(1.2 * found[-1]))
    return found


def _is_found(one: Estimate, variance: float, freedom: float, alpha: float) -> bool:
    """Whether an effect as large as was seen is found with 80 % probability, with such an error."""
    margin = one.contrast.threshold
    if one.contrast.rule == "within" and abs(one.effect) < margin:
        return _chance_within(one.distance, margin, variance, freedom, alpha) >= _CHANCE
    return _detectable(variance, freedom, alpha) <= one.distance


def _detectable(variance: float, freedom: float, alpha: float, *, chance: float = _CHANCE) -> float:
    if variance == 0.0:
        return 0.0
    freedom = min(freedom, _MOST_FREEDOM)
    critical = float(t_quantile(freedom, 1.0 - alpha / 2.0))
    return math.sqrt(variance) * float(noncentrality(freedom, 1.0 - chance, critical))


def _detectable_within(margin: float, variance: float, freedom: float, alpha: float) -> float:
    """How far inside a margin on both sides of 0 an effect must lie; more than the margin where 0
    does not lie far enough."""
    low, high = _detectable(variance, freedom, alpha), margin
    if _chance_within(high, margin, variance, freedom, alpha) < _CHANCE:
        # Of an effect of 0 both tests miss alike, each half of what may be missed.
        return _detectable(variance, freedom, alpha, chance=0.5 + _CHANCE / 2.0)
    for _ in range(50):
        middle = (low + high) / 2.0
        if _chance_within(middle, margin, variance, freedom, alpha) < _CHANCE:
            low = middle
        else:
            high = middle
    return high


def _chance_within(
    inside: float, margin: float, variance: float, freedom: float, alpha: float
) -> float:
    """The chance that an effect so far inside a margin is shown to be inside both its ends.

    At least that: it is 1 minus the chances of missing either end.
    """
    if variance == 0.0:
        return 1.0
    freedom, error = min(freedom, _MOST_FREEDOM), math.sqrt(variance)
    critical = float(t_quantile(freedom, 1.0 - alpha / 2.0))
    ends = np.array([inside, 2.0 * margin - inside]) / error
    return max(0.0, 1.0 - float(noncentral_t_cdf(freedom, ends, critical).sum()))
