"""Metrics of a confusion matrix, of which they need its diagonal and its margins only.

Statistics are 3 L small counts, not L²: whether the example is a true positive of each label,
whether the label was predicted, whether it is the right one. The task fixes the labels, so that
every value is divided by the same number, whichever rows it is of. Axis letters: ``N`` examples,
``L`` labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import ConfigError
from bakeoff.metrics.base import PERCENT, BaseMetric, gold_of
from bakeoff.metrics.choices import asks_of, chosen_of, no_choice
from bakeoff.metrics.contract import Ask, Expected, Floats, Metric, ModelOutputs


class ConfusionMetric(BaseMetric):
    """Holds the labels and counts; an invalid answer, -1, predicts no label.

    Args:
        labels: all that there are, in the order of the choices.
        asks: ``Ask.TEXT`` where the choice is read from what the model writes.

    Raises:
        ConfigError: without labels.
    """

    needs = ("chosen_N",)
    by_row = False

    def __init__(self, labels: Sequence[str], asks: Ask = Ask.CHOICE) -> None:
        if not labels:
            raise ConfigError(
                f"metric {self.name}: it needs labels that are the same in all rows; choose "
                "accuracy where each row has choices of its own"
            )
        self.labels = tuple(labels)
        self.asks = asks

    def _statistics(self, outputs: ModelOutputs, examples: Sequence[Expected]) -> NDArray[Any]:
        """[N, 3 L] of uint8: true positives, predicted, right."""
        count = len(self.labels)
        gold_N = np.array(gold_of(examples, self.name, count), dtype=np.int64)
        chosen_N = chosen_of(outputs, [count] * len(examples), self.name)
        counts_N3L = np.zeros((len(examples), 3 * count), dtype=np.uint8)
        right = np.flatnonzero(chosen_N == gold_N)
        valid = np.flatnonzero(chosen_N >= 0)
        counts_N3L[right, gold_N[right]] = 1
        counts_N3L[valid, count + chosen_N[valid]] = 1
        counts_N3L[np.arange(len(examples)), 2 * count + gold_N] = 1
        return counts_N3L

    def invalid(self, outputs: ModelOutputs) -> NDArray[np.bool_] | None:
        return no_choice(outputs, self.asks)

    def _parts(self, sums: NDArray[Any]) -> tuple[Floats, Floats, Floats]:
        """[..., L] true positives, predicted and right ones."""
        true_L, predicted_L, gold_L = np.split(np.asarray(sums, dtype=np.float64), 3, axis=-1)
        return true_L, predicted_L, gold_L


def confusion(statistics_N3L: NDArray[Any]) -> NDArray[np.int64]:
    """[L, L + 1] how often each right label (line) got each answer (column), from the statistics.

    The last column has the answers that were no label.
    """
    _, predicted_NL, gold_NL = np.split(statistics_N3L.astype(np.int64), 3, axis=1)
    none_N1 = 1 - predicted_NL.sum(axis=1, keepdims=True)
    return np.asarray(gold_NL.T @ np.concatenate([predicted_NL, none_N1], axis=1))


class MacroF1(ConfusionMetric):
    """The mean of all labels' F1; 0 for a label with neither predictions nor right ones."""

    name = "macro_f1"
    weighs_labels_alike = True
    title = "Macro-F1"
    unit = PERCENT

    @property
    def signature(self) -> str:
        return f"unweighted mean over {len(self.labels)} labels, 0 where a label is absent"

    def value(self, sums: NDArray[Any]) -> Floats:
        true_L, predicted_L, gold_L = self._parts(sums)
        both_L = predicted_L + gold_L
        f1_L = np.divide(2 * true_L, both_L, out=np.zeros_like(both_L), where=both_L > 0)
        return _where_known(gold_L, f1_L.mean(axis=-1))


class Mcc(ConfusionMetric):
    """Matthews' correlation coefficient of several classes, in -1..1; 0 where it is undefined.

    Source: Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation
    coefficient". Invalid answers count as one more class, as scikit-learn takes them.
    """

    name = "mcc"
    title = "MCC"
    unit = ""
    default_margin = 0.02

    @property
    def signature(self) -> str:
        return f"Gorodkin's coefficient over {len(self.labels)} labels"

    def value(self, sums: NDArray[Any]) -> Floats:
        true_L, predicted_L, gold_L = self._parts(sums)
        total = gold_L.sum(axis=-1)
        invalid = total - predicted_L.sum(axis=-1)
        covariance = true_L.sum(axis=-1) * total - (gold_L * predicted_L).sum(axis=-1)
        of_predicted = total**2 - (predicted_L**2).sum(axis=-1) - invalid**2
        of_gold = total**2 - (gold_L**2).sum(axis=-1)
        scale = np.asarray(np.sqrt(np.maximum(of_predicted * of_gold, 0.0)))
        value = np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 0)
        return _where_known(gold_L, value)


_METRICS: Final[dict[str, type[ConfusionMetric]]] = {"macro_f1": MacroF1, "mcc": Mcc}


def make(name: str, labels: tuple[str, ...], options: Mapping[str, Any]) -> Metric:
    """A metric of this file; see ``MetricFactory``."""
    return _METRICS[name](labels, asks_of(name, options))


def _where_known(gold_L: Floats, value: Floats) -> Floats:
    """NaN where there is no example."""
    return np.where(gold_L.sum(axis=-1) > 0, value, np.nan)
