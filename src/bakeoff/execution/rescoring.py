"""Scores by metrics that a study did not have when its answers were made, from what was kept.

Kept are each example's likelihood, the answer that was written or chosen, and whether it has an
end. What a metric needs besides, such as the likelihood of every choice, means asking again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.taskdata import SplitData
from bakeoff.execution.scores import SetScores
from bakeoff.metrics.base import is_judged, missing_outputs
from bakeoff.metrics.contract import Ask, Metric, ModelOutputs


def kept_outputs(scores: SetScores, answers: Sequence[str] | None, part: SplitData) -> ModelOutputs:
    """As much of a model's outputs as its scores and answers tell.

    Args:
        scores: of the split. answers: [N] as ``outputs.answers_of`` gave them; None where they are
            not known.
        part: the split.
    """
    nll = scores.statistics.get("nll")
    is_text = scores.empty is not None
    return ModelOutputs(
        nll_N=None if nll is None else nll[:, 0].astype(np.float64),
        tokens_N=None if nll is None else nll[:, 1].astype(np.float64),
        target_bytes_N=None if nll is None else part.target_bytes,
        chosen_N=None if answers is None or is_text else _chosen(answers, part),
        texts=list(answers) if answers is not None and is_text else None,
        unfinished_N=scores.unfinished,
    )


def rescored(
    scores: SetScores, outputs: ModelOutputs, metrics: Sequence[Metric], part: SplitData
) -> SetScores | None:
    """The scores with further metrics; None where the outputs do not suffice for one of them.

    Args:
        scores: of the split. outputs: see ``kept_outputs``.
        metrics: that the scores lack. part: the split.
    """
    if any(missing_outputs(metric, outputs) for metric in metrics):
        return None
    added = SetScores.of(metrics, outputs, part.expected)
    invalid = [mark for mark in (scores.invalid, added.invalid) if mark is not None]
    return replace(
        scores,
        statistics={**scores.statistics, **added.statistics},
        invalid=np.logical_or.reduce(invalid) if invalid else None,
    )


def lacking(scores: SetScores, metrics: Sequence[Metric], *, with_texts: bool) -> list[Metric]:
    """The metrics that scores lack, but for those that a judge gives later.

    Args:
        scores: of a split. metrics: all that the study has.
        with_texts: whether texts were written for the split.
    """
    return [
        metric
        for metric in metrics
        if metric.name not in scores.statistics
        and (with_texts or metric.asks is not Ask.TEXT)
        and not is_judged(metric)
    ]


def _chosen(answers: Sequence[str], part: SplitData) -> NDArray[np.int64] | None:
    """[N] the place of each answer among its example's choices; None where one has no one place."""
    found = np.empty(len(answers), dtype=np.int64)
    for index, (answer, expected) in enumerate(zip(answers, part.expected, strict=True)):
        choices = [choice.strip() for choice in expected.choices]
        if choices.count(answer) != 1:
            return None
        found[index] = choices.index(answer)
    return found
