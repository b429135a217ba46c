"""The character error rate: edits from what was written to what is right, per character of that.

Axis letters: ``N`` examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.metrics.base import MeanMetric, no_options, references_of
from bakeoff.metrics.contract import Ask, Expected, Metric, ModelOutputs


class Cer(MeanMetric):
    """Levenshtein distance over the length of the reference, over the whole set.

    Of several references the one counts that takes the fewest edits.
    """

    name = "cer"
    title = "Character error rate"
    higher_is_better = False
    asks = Ask.TEXT
    needs = ("texts",)

    @property
    def signature(self) -> str:
        """Nothing is left to settings."""
        return "Levenshtein distance of characters, stripped"

    def _statistics(self, outputs: ModelOutputs, examples: Sequence[Expected]) -> NDArray[Any]:
        """[N, 2] edits, and characters of the reference."""
        assert outputs.texts is not None  # checked by the caller
        return np.array(
            [
                min((distance(text.strip(), right.strip()), len(right.strip())) for right in rights)
                for text, rights in zip(
                    outputs.texts, references_of(examples, self.name), strict=True
                )
            ],
            dtype=np.float64,
        ).reshape(-1, 2)


def distance(text: str, other: str) -> int:
    """Insertions, deletions and substitutions of characters from one text to the other."""
    row = list(range(len(other) + 1))
    for i, character in enumerate(text, start=1):
        diagonal, row[0] = row[0], i
        for j, wanted in enumerate(other, start=1):
            diagonal, row[j] = (
                row[j],
                min(row[j] + 1, row[j - 1] + 1, diagonal + (character != wanted)),
            )
    return row[-1]


def make(name: str, labels: tuple[str, ...], options: Mapping[str, Any]) -> Metric:
    """The metric; see ``bakeoff.metrics.registry.MetricFactory``."""
    no_options(name, options)
    return Cer()
