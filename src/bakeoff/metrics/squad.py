"""Exact match and F1 of short answers, by SQuAD's rules.

Source: the official evaluation of SQuAD 2.0 (Rajpurkar et al. 2018, arXiv:1806.03822). Without
case, punctuation of ASCII and English articles; an answer with several references is scored by the
best of them.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from bakeoff.metrics.base import no_options
from bakeoff.metrics.contract import Metric
from bakeoff.metrics.text_scores import TextMetric

_ARTICLES: Final = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)
_SIGNATURE: Final = "SQuAD 2.0's normalisation, the best of several references"


def normalised(text: str) -> str:
    """A text as SQuAD compares it."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


class ExactMatch(TextMetric):
    """Whether the answer is the reference."""

    name = "exact_match"
    title = "Exact match"

    @property
    def signature(self) -> str:
        return _SIGNATURE

    def score(self, text: str, reference: str) -> float:
        return float(normalised(text) == normalised(reference))


class F1(TextMetric):
    """The harmonic mean of precision and recall of words, in whatever order."""

    name = "f1"
    title = "F1"

    @property
    def signature(self) -> str:
        return _SIGNATURE

    def score(self, text: str, reference: str) -> float:
        written, right = normalised(text).split(), normalised(reference).split()
        if not written or not right:
            return float(written == right)
        shared = (Counter(written) & Counter(right)).total()
        # 2 p r / (p + r), with p and r over the two lengths
        return 2 * shared / (len(written) + len(right))


def make(name: str, labels: tuple[str, ...], options: Mapping[str, Any]) -> Metric:
    """A metric of this file; see ``MetricFactory``."""
    no_options(name, options)
    return ExactMatch() if name == ExactMatch.name else F1()
