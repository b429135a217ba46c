"""Metrics of the likelihood of the supervised tokens: sums of nats over a length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bakeoff.metrics.base import MeanMetric, no_options
from bakeoff.metrics.contract import Ask, Expected, Metric, ModelOutputs


class Nll(MeanMetric):
    """Negative log-likelihood per supervised token: the training loss, over the whole set."""

    name = "nll"
    title = "NLL"
    unit = "nats per token"
    higher_is_better = False
    asks = Ask.LIKELIHOOD
    default_margin = 0.02
    needs = ("nll_N", "tokens_N")

    @property
    def signature(self) -> str:
        return "mean over supervised tokens"

    def _statistics(self, outputs: ModelOutputs, examples: Sequence[Expected]) -> NDArray[Any]:
        return _columns(outputs.nll_N, outputs.tokens_N)


_METRICS: Final[dict[str, type[MeanMetric]]] = {"nll": Nll}


def make(name: str, labels: tuple[str, ...], options: Mapping[str, Any]) -> Metric:
    """A metric of this file; see ``MetricFactory``."""
    no_options(name, options)
    return _METRICS[name]()


def _columns(*columns: NDArray[Any] | None) -> NDArray[np.float64]:
    return np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)
