"""Metrics of the likelihood of the supervised tokens: sums of nats over a length."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bakeoff.metrics.base import MeanMetric, no_options
from bakeoff.metrics.contract import Ask, Expected, Floats, Metric, ModelOutputs


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


class Perplexity(Nll):
    """The exponential of NLL; comparable between bases of one tokenizer only."""

    name = "perplexity"
    title = "Perplexity"
    unit = ""
    default_margin = 0.2  # about NLL's margin at a perplexity of ten

    @property
    def signature(self) -> str:
        return "exp of the mean over supervised tokens"

    def value(self, sums: NDArray[Any]) -> Floats:
        with np.errstate(over="ignore"):  # infinite, as it then is
            perplexity: Floats = np.exp(super().value(sums))
        return perplexity


class BitsPerByte(MeanMetric):
    """Bits per byte of supervised text in UTF-8, which any two bases may be compared by.

    What a base's chat template puts around an answer counts with its likelihood alone. Of ``chat``,
    whose turns have no plain form, all that is learnt is counted.
    """

    name = "bits_per_byte"
    title = "Bits per byte"
    unit = "bits per byte"
    higher_is_better = False
    asks = Ask.LIKELIHOOD
    default_margin = 0.01
    needs = ("nll_N", "target_bytes_N")

    @property
    def signature(self) -> str:
        return "over the supervised text in UTF-8"

    def _statistics(self, outputs: ModelOutputs, examples: Sequence[Expected]) -> NDArray[Any]:
        return _columns(outputs.nll_N, outputs.target_bytes_N)

    def value(self, sums: NDArray[Any]) -> Floats:
        return super().value(sums) / math.log(2)


MEANS: Final[dict[str, type[MeanMetric]]] = {
    metric.name: metric for metric in (Nll, Perplexity, BitsPerByte)
}
"""All of this file, by name."""


def make(name: str, labels: tuple[str, ...], options: Mapping[str, Any]) -> Metric:
    """A metric of this file; see ``MetricFactory``."""
    no_options(name, options)
    return MEANS[name]()


def _columns(*columns: NDArray[Any] | None) -> NDArray[np.float64]:
    return np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)
