"""ROUGE as metrics: four columns of one scoring, against the best of several references.

Scoring takes far longer than all else that metrics do, so that the four share it, and a caller
that scores while the model still writes hands the scores in. Axis letters: ``N`` examples, ``4``
the kinds of ROUGE as in ``ROUGE_KEYS``.
"""

from __future__ import annotations

import importlib.metadata
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import DataError
from bakeoff.metrics.base import MeanMetric, no_options, references_of, with_ones
from bakeoff.metrics.contract import Ask, Expected, Metric, ModelOutputs
from bakeoff.metrics.rouge import ROUGE_KEYS, PendingScores, RougeScorer, Scores, rouge_scores

_TITLES: Final = ("ROUGE-1", "ROUGE-2", "ROUGE-L", "ROUGE-Lsum")

References = list[Sequence[str]]


class Rouge(MeanMetric):
    """The mean F-measure of one kind of ROUGE.

    Args:
        name: one of ``ROUGE_KEYS``.
    """

    asks = Ask.TEXT
    needs = ("texts",)

    def __init__(self, name: str) -> None:
        self.column = ROUGE_KEYS.index(name)
        self.name = name
        self.title = _TITLES[self.column]

    @property
    def signature(self) -> str:
        version = importlib.metadata.version("rouge_score")
        return f"rouge_score {version}, F-measure, stemmed, letters of every script"

    def _statistics(self, outputs: ModelOutputs, examples: Sequence[Expected]) -> NDArray[Any]:
        assert outputs.texts is not None
        references = references_of(examples, self.name)
        scores_N4 = _KEPT.find(outputs.texts, references)
        if scores_N4 is None:
            flat = [text for several in references for text in several]
            scores_N4 = _best(rouge_scores(_repeated(outputs.texts, references), flat), references)
            _KEPT.add(outputs.texts, references, scores_N4)
        return with_ones(scores_N4[:, self.column])


def make(name: str, labels: tuple[str, ...], options: Mapping[str, Any]) -> Metric:
    """A metric of this file; see ``MetricFactory``."""
    no_options(name, options)
    return Rouge(name)


@dataclass(frozen=True)
class PendingRouge:
    """Scores under way, each the best over an example's references."""

    _pairs: PendingScores
    _references: References

    def done(self) -> bool:
        """Whether ``result`` would return at once."""
        return self._pairs.done()

    def result(self) -> Scores:
        """[N, 4]; waits until they are there."""
        return _best(self._pairs.result(), self._references)


def submit_rouge(
    scorer: RougeScorer, texts: Sequence[str], examples: Sequence[Expected]
) -> PendingRouge:
    """Has texts scored in the background, each against all references of its example.

    Raises:
        DataError: where an example has no reference, or the lengths differ.
    """
    references = references_of(examples, "rouge")
    _check_lengths(texts, references)
    flat = [text for several in references for text in several]
    return PendingRouge(scorer.submit(_repeated(texts, references), flat), references)


def keep_rouge(texts: Sequence[str], examples: Sequence[Expected], scores_N4: Scores) -> None:
    """Hands in scores, so that the next ``statistics`` of these texts need not score them again.

    Args:
        texts: [N] in any order that the examples share.
        scores_N4: as ``PendingRouge.result`` gives them.

    Raises:
        DataError: the lengths differ.
    """
    references = references_of(examples, "rouge")
    _check_lengths(texts, references)
    if scores_N4.shape != (len(texts), len(ROUGE_KEYS)):
        raise DataError(
            f"rouge: scores of shape {scores_N4.shape} for {len(texts)} texts; "
            f"give {len(ROUGE_KEYS)} of each"
        )
    _KEPT.add(texts, references, scores_N4)


class _Kept:
    """The scores of the last few sets of texts.

    Equal lists of the same texts compare by identity, text by text, so that looking one up takes
    no time beside scoring it.
    """

    def __init__(self, size: int) -> None:
        self._lock = threading.Lock()
        self._sets: deque[tuple[list[str], References, Scores]] = deque(maxlen=size)

    def find(self, texts: Sequence[str], references: References) -> Scores | None:
        with self._lock:
            kept = list(self._sets)
        for known, right, scores_N4 in kept:
            if known == list(texts) and right == references:
                return scores_N4
        return None

    def add(self, texts: Sequence[str], references: References, scores_N4: Scores) -> None:
        with self._lock:
            self._sets.append((list(texts), references, scores_N4))


_KEPT: Final = _Kept(size=2)


def _check_lengths(texts: Sequence[str], references: References) -> None:
    if len(texts) != len(references):
        raise DataError(
            f"rouge: {len(texts)} texts for {len(references)} examples; give one for each"
        )


def _repeated(texts: Sequence[str], references: References) -> list[str]:
    return [text for text, several in zip(texts, references, strict=True) for _ in several]


def _best(scores_P4: Scores, references: References) -> Scores:
    """[N, 4] the best of each example's references, kind by kind, as ``score_multi`` has it."""
    if not references:
        return scores_P4
    starts = np.cumsum([0, *(len(several) for several in references[:-1])])
    best: Scores = np.maximum.reduceat(scores_P4, starts, axis=0)
    return best
