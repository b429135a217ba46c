"""A metric of what the model writes: the mean of a score of each text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.metrics.base import MeanMetric, references_of, with_ones
from bakeoff.metrics.contract import Ask, Expected, ModelOutputs


class TextMetric(MeanMetric):
    """The mean over examples of the best score against any of an example's references."""

    asks = Ask.TEXT
    needs = ("texts",)

    def _statistics(self, outputs: ModelOutputs, examples: Sequence[Expected]) -> NDArray[Any]:
        assert outputs.texts is not None
        references_N = references_of(examples, self.name)
        scores = [
            max(self.score(text, reference) for reference in references)
            for text, references in zip(outputs.texts, references_N, strict=True)
        ]
        return with_ones(np.array(scores, dtype=np.float64))

    @abstractmethod
    def score(self, text: str, reference: str) -> float:
        """One text's score against one reference, in 0..1."""
