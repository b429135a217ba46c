"""Metrics of the answer that a model chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import DataError
from bakeoff.metrics.base import MeanMetric, gold_of, with_ones
from bakeoff.metrics.contract import Ask, Expected, Metric, ModelOutputs


@dataclass(frozen=True, kw_only=True)
class ChoiceOptions:
    """Options of metrics of a choice.

    Attributes:
        asks: ``text`` where the choice is read from what the model writes.
    """

    asks: Ask = Ask.CHOICE

    def __post_init__(self) -> None:
        if self.asks is Ask.LIKELIHOOD:
            raise ValueError("asks: 'likelihood' leaves nothing chosen; use 'choice' or 'text'")


class Accuracy(MeanMetric):
    """The share of right choices; -1, a choice that is none of those given, is wrong.

    Args:
        asks: ``Ask.TEXT`` where the choice is read from what the model writes.
    """

    name = "accuracy"
    title = "Accuracy"
    needs = ("chosen_N",)

    def __init__(self, asks: Ask = Ask.CHOICE) -> None:
        self.asks = asks

    @property
    def signature(self) -> str:
        return "share of right choices"

    def _statistics(self, outputs: ModelOutputs, examples: Sequence[Expected]) -> NDArray[Any]:
        chosen_N = chosen_of(outputs, [len(e.choices) for e in examples], self.name)
        return with_ones((chosen_N == gold_of(examples, self.name)).astype(np.uint8))

    def invalid(self, outputs: ModelOutputs) -> NDArray[np.bool_] | None:
        return no_choice(outputs, self.asks)


def no_choice(outputs: ModelOutputs, asks: Ask) -> NDArray[np.bool_] | None:
    """[N] which written answers are none of the choices; None where choices are compared."""
    if asks is not Ask.TEXT or outputs.chosen_N is None:
        return None
    return np.asarray(outputs.chosen_N) < 0


def asks_of(name: str, options: Mapping[str, Any]) -> Ask:
    """What the options say that the model is asked for.

    Raises:
        ConfigError: for anything else in them.
    """
    from bakeoff.config import from_mapping

    return from_mapping(ChoiceOptions, options, path=f"metrics.{name}").asks


def make(name: str, labels: tuple[str, ...], options: Mapping[str, Any]) -> Metric:
    """A metric of this file; see ``MetricFactory``."""
    return Accuracy(asks_of(name, options))


def chosen_of(outputs: ModelOutputs, counts: Sequence[int], metric: str) -> NDArray[np.int64]:
    """[N] the index of each chosen answer, -1 where it is none of those given.

    Args:
        counts: [N] the number of choices.

    Raises:
        DataError: where an index is out of range.
    """
    chosen_N = np.asarray(outputs.chosen_N, dtype=np.int64)
    bad_N = (chosen_N < -1) | (chosen_N >= np.asarray(counts, dtype=np.int64))
    if bad_N.any():
        row = int(bad_N.argmax())
        raise DataError(
            f"metric {metric}: chosen_N[{row}] is {chosen_N[row]}, but that example has "
            f"{counts[row]} choices; use 0..{counts[row] - 1}, or -1 for an invalid answer"
        )
    return chosen_N
