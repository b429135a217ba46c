"""What metrics share: their checks, and the mean, which most of them are.

Axis letters: ``N`` examples, ``C`` columns of statistics.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import ConfigError, DataError
from bakeoff.metrics.contract import Ask, Expected, Floats, Metric, ModelOutputs

PERCENT: Final = "\u00d7 100"
"""The unit of shares in 0..1."""

_OF_ASK: Final = {
    Ask.LIKELIHOOD: ("nll_N", "tokens_N"),
    Ask.CHOICE: ("chosen_N",),
    Ask.TEXT: ("texts",),
}


class BaseMetric(ABC):
    """A metric that checks what it is given; attributes as in ``Metric``.

    Attributes:
        needs: fields of ``ModelOutputs`` that it reads.
        weighs_labels_alike: whether a label of few rows counts as much as any other, so that those
            rows decide the value.
    """

    name: str
    title: str
    unit: str = PERCENT
    higher_is_better: bool = True
    asks: Ask
    default_margin: float = 0.01
    by_row: bool = True
    weighs_labels_alike: bool = False
    needs: tuple[str, ...]

    @property
    @abstractmethod
    def signature(self) -> str:
        """Library and version, and settings."""

    def statistics(self, outputs: ModelOutputs, examples: Sequence[Expected]) -> NDArray[Any]:
        """[N, C] what each example adds.

        Raises:
            DataError: where the outputs lack what the metric reads, differ in number from the
                examples, or an example has nothing to compare with.
        """
        for name in self.needs:
            found = getattr(outputs, name)
            if found is None:
                raise DataError(
                    f"metric {self.name}: the outputs hold no {name}; ask the model for "
                    f"{self.asks.value}, or leave this metric out here"
                )
            if len(found) != len(examples):
                raise DataError(
                    f"metric {self.name}: {name} holds {len(found)} entries for "
                    f"{len(examples)} examples; give one for each"
                )
        return self._statistics(outputs, examples)

    @abstractmethod
    def _statistics(self, outputs: ModelOutputs, examples: Sequence[Expected]) -> NDArray[Any]:
        """``statistics`` of outputs that hold what is needed."""

    def invalid(self, outputs: ModelOutputs) -> NDArray[np.bool_] | None:
        """[N] whether an output is of no form that the metric can judge; None where all are."""
        return None

    @abstractmethod
    def value(self, sums: NDArray[Any]) -> Floats:
        """[..., C] sums over examples to [...]."""


class MeanMetric(BaseMetric):
    """A sum over a count; the two columns of the statistics."""

    def value(self, sums: NDArray[Any]) -> Floats:
        return ratio(sums[..., 0], sums[..., 1])


def is_mean(metric: Metric) -> bool:
    """Whether a metric's value is column 0 of its sums over column 1, and not a function of that.

    Perplexity is the exponential of such a mean: its rows' influence has no closed form.
    """
    return isinstance(metric, MeanMetric) and type(metric).value is MeanMetric.value


def ratio(dividend: NDArray[Any], divisor: NDArray[Any]) -> Floats:
    """The quotient, NaN where there is nothing to divide by."""
    dividend, divisor = np.broadcast_arrays(
        np.asarray(dividend, dtype=np.float64), np.asarray(divisor, dtype=np.float64)
    )
    quotient = np.full(divisor.shape, np.nan)
    np.divide(dividend, divisor, out=quotient, where=divisor > 0)
    return quotient


def with_ones(scores_N: NDArray[Any]) -> NDArray[Any]:
    """[N, 2] each example's score, and the one by which it counts."""
    return np.stack([scores_N, np.ones_like(scores_N)], axis=1)


def no_options(name: str, options: Mapping[str, Any]) -> None:
    """Raises ConfigError where a metric without options is given some."""
    if options:
        raise ConfigError(f"metrics.{name}.{next(iter(options))}: {name} has no options; remove it")


def missing_outputs(metric: Metric, outputs: ModelOutputs) -> tuple[str, ...]:
    """Fields of the outputs that the metric needs and that are None.

    So a caller can leave out metrics that a baseline has no answer to: a majority label, say,
    has no likelihoods.
    """
    needs = getattr(metric, "needs", _OF_ASK[metric.asks])
    return tuple(name for name in needs if getattr(outputs, name) is None)


def is_judged(metric: Metric) -> bool:
    """Whether a metric is scored by a stage of its own, from answers that are kept."""
    return bool(getattr(metric, "is_judged", False))


def gold_of(examples: Sequence[Expected], metric: str, count: int | None = None) -> list[int]:
    """[N] the index of each example's right choice.

    Args:
        count: of labels; None takes each example's own number of choices.

    Raises:
        DataError: where an example has none, or it is out of range.
    """
    found = []
    for row, example in enumerate(examples):
        top = len(example.choices) if count is None else count
        if example.gold is None or not 0 <= example.gold < top:
            raise DataError(
                f"metric {metric}: example {row} has {example.gold} as the index of its right "
                f"choice, which must be in 0..{top - 1}; give its right answer or skip the row"
            )
        found.append(example.gold)
    return found


def references_of(examples: Sequence[Expected], metric: str) -> list[Sequence[str]]:
    """[N] the references of each example, at least one.

    Raises:
        DataError: where an example has none.
    """
    for row, example in enumerate(examples):
        if not example.references:
            raise DataError(
                f"metric {metric}: example {row} has no reference to compare with; give its "
                "right answer or skip the row"
            )
    return [example.references for example in examples]
