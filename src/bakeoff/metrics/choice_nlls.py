"""Metrics of how likely each choice is, not only of which one is the likeliest.

Axis letters: ``N`` examples, ``M`` choices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import DataError, ScoreError
from bakeoff.metrics.base import PERCENT, MeanMetric, gold_of, no_options, with_ones
from bakeoff.metrics.contract import Ask, Expected, Floats, Metric, ModelOutputs


class ChoiceNllMetric(MeanMetric):
    """A mean over what each example's likelihoods score."""

    asks = Ask.CHOICE
    needs = ("choice_nlls",)

    def _statistics(self, outputs: ModelOutputs, examples: Sequence[Expected]) -> NDArray[Any]:
        assert outputs.choice_nlls is not None
        gold_N = gold_of(examples, self.name)
        scores = []
        for row, (nlls, example) in enumerate(zip(outputs.choice_nlls, examples, strict=True)):
            nll_M = np.asarray(nlls, dtype=np.float64)
            if nll_M.shape != (len(example.choices),):
                raise DataError(
                    f"metric {self.name}: choice_nlls[{row}] has the shape {nll_M.shape} for "
                    f"{len(example.choices)} choices; give one number for each"
                )
            if np.isnan(nll_M).any():
                raise ScoreError(
                    f"metric {self.name}: choice_nlls[{row}] holds NaN, which is no likelihood; "
                    "look for the cause in the model"
                )
            scores.append(self.score(nll_M, example.choices, gold_N[row]))
        return with_ones(np.array(scores, dtype=np.float64))

    def score(self, nll_M: Floats, choices: Sequence[str], gold: int) -> float:
        """One example's score.

        Args:
            nll_M: [M] summed nats of each choice. gold: the index of the right one.
        """
        raise NotImplementedError


class AccuracyNorm(ChoiceNllMetric):
    """The share of right choices where log-likelihoods are divided by the choices' characters.

    As ``acc_norm`` of lm-evaluation-harness 0.4.13 (``ConfigurableTask.process_results``):
    characters, not bytes or tokens, and those of the choice alone, without the space that joins it
    to the prompt. Of equal ones the first is taken.
    """

    name = "accuracy_norm"
    title = "Accuracy (by length)"
    unit = PERCENT

    @property
    def signature(self) -> str:
        return "likelihoods per character, as lm-evaluation-harness's acc_norm"

    def score(self, nll_M: Floats, choices: Sequence[str], gold: int) -> float:
        length_M = np.array([max(len(choice.lstrip()), 1) for choice in choices])
        return float((nll_M / length_M).argmin() == gold)


class LabelNll(ChoiceNllMetric):
    """Negative log-likelihood of the right choice, by a softmax over the choices."""

    name = "label_nll"
    title = "Label NLL"
    unit = "nats per answer"
    higher_is_better = False
    default_margin = 0.02

    @property
    def signature(self) -> str:
        return "softmax over the choices, mean over answers"

    def score(self, nll_M: Floats, choices: Sequence[str], gold: int) -> float:
        return float(-_log_softmax(nll_M)[gold])


class Brier(ChoiceNllMetric):
    """The squared distance of the choices' probabilities from the right answer.

    Source: Brier 1950, "Verification of forecasts expressed in terms of probability". Between
    two choices it is half of that, in 0..1, as scikit-learn has it; else it is in 0..2.
    """

    name = "brier"
    title = "Brier score"
    unit = ""
    higher_is_better = False

    @property
    def signature(self) -> str:
        return "softmax over the choices; halved between two, as scikit-learn does it"

    def score(self, nll_M: Floats, choices: Sequence[str], gold: int) -> float:
        off_M = np.exp(_log_softmax(nll_M))
        off_M[gold] -= 1.0
        return float((off_M**2).sum()) / (2 if len(nll_M) == 2 else 1)


def _log_softmax(nll_M: Floats) -> Floats:
    shifted_M = nll_M.min() - nll_M
    log_M: Floats = shifted_M - np.log(np.exp(shifted_M).sum())
    return log_M


_METRICS: Final[dict[str, type[ChoiceNllMetric]]] = {
    metric.name: metric for metric in (AccuracyNorm, LabelNll, Brier)
}


def make(name: str, labels: tuple[str, ...], options: Mapping[str, Any]) -> Metric:
    """A metric of this file; see ``MetricFactory``."""
    no_options(name, options)
    return _METRICS[name]()
