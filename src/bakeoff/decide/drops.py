"""``max_drop``: what a recommended method may lose on further test sets against the untuned base.

A method keeps such a limit where it is shown to: where the bound of its loss, by the interval of
its comparison with zero-shot on that set, is at or below what is allowed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bakeoff.decide.limits import Breach
from bakeoff.decide.verdicts import amount_words, comparison, untuned_of
from bakeoff.runs.records import MetricRecord, Results


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What a method loses against the untuned base, in the metric's unit; positive is worse.

    Attributes:
        mean: over rows and seeds. bound: what it loses at most, at the level.
    """

    mean: float
    bound: float


@dataclass(frozen=True, kw_only=True)
class Drop:
    """One limit: ``most`` of a metric on a further test set, in the metric's own unit."""

    set: str
    metric: MetricRecord
    most: float

    @property
    def described(self) -> str:
        """In words, as other limits are."""
        return f"{self._what} at most {self._written(self.most)} worse than zero-shot's"

    @property
    def _what(self) -> str:
        return f"{self.metric.title} on {self.set}"

    def _written(self, value: float) -> str:
        return amount_words(self.metric.unit, value)

    def loss(self, results: Results, method: str) -> Loss | None:
        """What a method loses; None where nothing may be said of it."""
        found = comparison(
            results, method, untuned_of(results, method), self.metric.name, set=self.set
        )
        if found is None or found.low is None or found.high is None:
            return None
        if self.metric.higher_is_better:
            return Loss(mean=-found.difference, bound=-found.low)
        return Loss(mean=found.difference, bound=found.high)

    def breach(self, results: Results, method: str) -> Breach | None:
        """Why a method is not shown to keep the limit; None where it is."""
        loss = self.loss(results, method)
        if loss is None:
            found = comparison(
                results, method, untuned_of(results, method), self.metric.name, set=self.set
            )
            why = "" if found is None or found.why is None else f" ({found.why})"
            reason = f"{self._what} not shown against zero-shot's{why}"
            return Breach(reason=reason, excess=math.inf)
        if loss.bound <= self.most:
            return None
        most = self._written(self.most)
        if loss.mean > self.most:
            reason = f"{self._what} {self._written(loss.mean)} worse than zero-shot's, over {most}"
        else:
            side = "worse" if loss.mean > 0.0 else "better"
            reason = (
                f"{self._what} {self._written(abs(loss.mean))} {side} than zero-shot's, but up to "
                f"{self._written(loss.bound)} worse, over {most}"
            )
        return Breach(reason=reason, excess=loss.bound / self.most if self.most else math.inf)

    def kept(self, results: Results, method: str) -> str:
        """What a method that keeps the limit is shown to lose, as a sentence."""
        loss = self.loss(results, method)
        assert loss is not None  # or it would not be shown to keep it
        lost = f"at most {self._written(loss.bound)}" if loss.bound > 0.0 else "nothing"
        return (
            f"In {self._what} {method} is shown to lose {lost} against zero-shot, where "
            f"{self._written(self.most)} may be lost."
        )


def drops_of(results: Results) -> list[Drop]:
    """The limits that a study sets on its further test sets."""
    return [
        Drop(set=name, metric=metric, most=found.max_drop[metric.name])
        for name, found in results.also_test.items()
        for metric in found.metrics
        if metric.name in found.max_drop
    ]


def drop_breaches(results: Results, method: str) -> list[Breach]:
    """Which of these limits a method is not shown to keep."""
    found = (drop.breach(results, method) for drop in drops_of(results))
    return [breach for breach in found if breach is not None]
