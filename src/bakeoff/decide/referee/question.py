"""What is asked of scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field


def three_digits(value: float) -> str:
    """An amount as it is written where nothing is known of its unit."""
    return f"{value:.3g}"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of the scores.

    Attributes:
        higher_is_better: of the metric. margin: a difference that does not matter.
        alpha: the share of studies in which any verdict may be wrong.
        baselines: names that are never recommended.
        candidates: names that may be recommended, as those that meet the limits; None for all that
            are not baselines.
        costs: of each candidate; None where they are all the same.
        unit: what N counts, in the plural: rows or groups.
        withheld: why nothing may be said at all, as of a macro-F1 with a label of few test rows.
        metric, set: what the scores are of, for the records.
        written: an amount of the metric with its unit, for sentences.
        labels: what methods and baselines are called in sentences, where not by their names.
        scope: follows "method" in sentences, as " within the limits".
        why_no_margin: a sentence on why the margin is zero, where the study did not choose it.
    """

    higher_is_better: bool
    margin: float
    alpha: float
    baselines: Sequence[str] = ()
    candidates: Sequence[str] | None = None
    costs: Mapping[str, float] | None = None
    withheld: str | None = None
    unit: str = "rows"
    metric: str = "score"
    set: str = "test"
    written: Callable[[float], str] = three_digits
    labels: Mapping[str, str] = field(default_factory=dict)
    scope: str = ""
    why_no_margin: str = ""

    def called(self, names: Iterable[str]) -> list[str]:
        """Names as they stand in sentences."""
        return [self.labels.get(name, name) for name in names]

    @property
    def sign(self) -> float:
        return 1.0 if self.higher_is_better else -1.0
