"""Whether an answer is the reference, character for character.

For answers in which signs count, as ``C`` and ``C++``, ``-5`` and ``5``, ``1.5`` and ``15``: all
of these pairs are equal by SQuAD's rules, by which ``exact_match`` compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bakeoff.metrics.base import no_options
from bakeoff.metrics.contract import Metric
from bakeoff.metrics.text_scores import TextMetric


class StrictMatch(TextMetric):
    """Whether the answer is the reference but for white space at its ends."""

    name = "strict_match"
    title = "Strict match"

    @property
    def signature(self) -> str:
        return "character for character, the best of several references"

    def score(self, text: str, reference: str) -> float:
        return float(text.strip() == reference.strip())


def make(name: str, labels: tuple[str, ...], options: Mapping[str, Any]) -> Metric:
    """The metric; see ``MetricFactory``."""
    no_options(name, options)
    return StrictMatch()
