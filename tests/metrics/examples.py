"""Small stand-ins for a task's examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bakeoff.metrics.contract import Floats, Metric, ModelOutputs


@dataclass(frozen=True)
class Given:
    references: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    gold: int | None = None


def with_references(references: Sequence[str | tuple[str, ...]]) -> list[Given]:
    return [Given(references=(r,) if isinstance(r, str) else r) for r in references]


def with_gold(gold: Sequence[int], choices: Sequence[str]) -> list[Given]:
    return [Given(choices=tuple(choices), gold=int(index)) for index in gold]


def whole(metric: Metric, outputs: ModelOutputs, examples: Sequence[Given]) -> float:
    """The metric's value over all examples, after its statistics passed what holds for all."""
    statistics = metric.statistics(outputs, examples)
    assert statistics.shape[0] == len(examples) and statistics.ndim == 2
    value = metric.value(statistics.sum(axis=0))
    assert value.shape == ()
    check_leading_axes(metric, statistics.astype(np.float64), value)
    return float(value)


def check_leading_axes(metric: Metric, statistics: Floats, value: Floats) -> None:
    """Sums with leading axes give what each gives alone, and sums of nothing give NaN."""
    halves = np.stack([statistics[::2].sum(axis=0), statistics[1::2].sum(axis=0)])
    sums = np.stack([np.stack([statistics.sum(axis=0)] * 2), halves])
    values = metric.value(sums)
    assert values.shape == (2, 2)
    np.testing.assert_array_equal(values[0], [value, value])
    for row, half in zip(values[1], halves, strict=True):
        np.testing.assert_array_equal(row, metric.value(half))
    assert np.isnan(metric.value(np.zeros_like(halves))).all()
