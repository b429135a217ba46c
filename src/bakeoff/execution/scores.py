"""What one candidate, or a baseline, reached on a set of examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.taskdata import ExpectedAnswer
from bakeoff.metrics.base import missing_outputs
from bakeoff.metrics.confusion import ConfusionMetric, confusion
from bakeoff.metrics.contract import Metric, ModelOutputs
from bakeoff.runs.records import Outputs

Bools = NDArray[np.bool_]
_COUNTED = ("empty", "unfinished", "invalid")


@dataclass(frozen=True, kw_only=True)
class SetScores:
    """Additive statistics of every metric that could be computed, and the outputs counted.

    Attributes:
        statistics: by metric [N, C], what each example adds.
        empty: [N] outputs without a visible character, None where nothing was written.
        unfinished: [N] outputs without an end within the tokens allowed.
        invalid: [N] outputs that are no answer that the task allows.
    """

    statistics: Mapping[str, NDArray[Any]]
    empty: Bools | None = None
    unfinished: Bools | None = None
    invalid: Bools | None = None

    @classmethod
    def of(
        cls,
        metrics: Sequence[Metric],
        outputs: ModelOutputs,
        expected: Sequence[ExpectedAnswer],
    ) -> Self:
        """Scores outputs by every metric that they have what it needs for."""
        found = {
            metric.name: metric.statistics(outputs, expected)
            for metric in metrics
            if not missing_outputs(metric, outputs)
        }
        empty = None
        if outputs.texts is not None:
            empty = np.array([not text.strip() for text in outputs.texts], dtype=np.bool_)
        marks = [
            mark
            for metric in metrics
            if metric.name in found
            and (mark := getattr(metric, "invalid", lambda _: None)(outputs)) is not None
        ]
        return cls(
            statistics=found,
            empty=empty,
            unfinished=outputs.unfinished_N,
            invalid=np.logical_or.reduce(marks) if marks else None,
        )

    @property
    def num_examples(self) -> int:
        """N."""
        return len(next(iter(self.statistics.values())))

    @property
    def outputs(self) -> Outputs | None:
        """The outputs, counted; None where nothing was written or chosen."""
        if self.empty is None and self.invalid is None:
            return None
        return Outputs(
            examples=self.num_examples,
            empty=0 if self.empty is None else int(self.empty.sum()),
            unfinished=None if self.unfinished is None else int(self.unfinished.sum()),
            invalid=0 if self.invalid is None else int(self.invalid.sum()),
        )

    def value(self, metric: Metric) -> float | None:
        """The metric over all examples; None where it was not computed."""
        found = self.statistics.get(metric.name)
        return None if found is None else float(metric.value(found.sum(axis=0)))

    def confusion(self, metrics: Sequence[Metric]) -> NDArray[np.int64] | None:
        """[L, L] right labels by answers; None where no metric counts them."""
        for metric in metrics:
            if isinstance(metric, ConfusionMetric) and metric.name in self.statistics:
                return confusion(self.statistics[metric.name])
        return None

    def bad_row(self) -> int | None:
        """The first row with a score that is not a finite number, or None."""
        bad_N = np.zeros(self.num_examples, dtype=np.bool_)
        for found in self.statistics.values():
            bad_N |= ~np.isfinite(found).all(axis=1)
        return int(bad_N.argmax()) if bad_N.any() else None

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as arrays by name, for a file."""
        counted = {name: getattr(self, name) for name in _COUNTED}
        return {**self.statistics, **{k: v for k, v in counted.items() if v is not None}}

    @classmethod
    def of_arrays(cls, found: Mapping[str, NDArray[Any]], num_examples: int) -> Self | None:
        """What ``arrays`` gave; None where it is of another number of examples."""
        statistics = {name: array for name, array in found.items() if name not in _COUNTED}
        sizes = {len(array) for array in found.values()}
        if not statistics or sizes != {num_examples}:
            return None
        if any(array.ndim != 2 for array in statistics.values()):
            return None
        return cls(statistics=statistics, **{k: found.get(k) for k in _COUNTED})


def row_values(scores: SetScores, metrics: Sequence[Metric], index: int) -> dict[str, float]:
    """One row's own scores, by metric, of those that mean something for a single row.

    A ratio's (``nll``) is its sum; ``tokens`` holds what it is divided by.
    """
    found: dict[str, float] = {}
    for metric in metrics:
        statistics = scores.statistics.get(metric.name)
        if statistics is None or not metric.by_row:
            continue
        row = statistics[index]
        if metric.name == "nll":
            found |= {"nll": float(row[0]), "tokens": int(row[1])}
        elif np.isfinite(value := float(metric.value(row))):
            found[metric.name] = value
    return found
