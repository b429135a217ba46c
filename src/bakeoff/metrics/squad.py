"""Exact match and F1 of short answers, by SQuAD's rules.

Source: the official evaluation of SQuAD 2.0 (Rajpurkar et al. 2018, arXiv:1806.03822). Without
case, punctuation of ASCII and English articles; an answer with several references is scored by the
best of them. A reference that holds nothing else, as the letter ``A``, is compared with its
articles, and a sign as it is: by the official rules an empty answer would equal it.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bakeoff.metrics.base import no_options
from bakeoff.metrics.contract import Metric
from bakeoff.metrics.text_scores import TextMetric

_ARTICLES: Final = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION: Final = str.maketrans("", "", string.punctuation)
_PROSE: Final = str.maketrans("", "", ".,;:!?-'\"()[]{}`")
_OF_NUMBERS: Final = re.compile(r"(?<![\w)])[-+](?=\d)|\.\d")
"""A sign or a decimal point."""
_SIGNATURE: Final = (
    "SQuAD 2.0's normalisation, but where it leaves nothing of a reference; the best of several"
)


def normalised(text: str) -> str:
    """A text as SQuAD compares it."""
    return " ".join(_ARTICLES.sub(" ", _without_punctuation(text)).split())


def share_blurred(texts: Sequence[str]) -> float:
    """The share of texts that ``normalised`` makes others of, so that a wrong answer may be equal.

    Of numbers it drops signs and decimal points, and of the letter ``A`` all. Other symbols count
    where another one of the texts differs in them alone, as ``C++`` and ``C``; full stops, quotes
    and hyphens never do.
    """
    plain = [" ".join(text.lower().translate(_PROSE).split()) for text in texts]
    short = [normalised(text) for text in plain]
    alike: dict[str, set[str]] = {}
    for whole, rest in zip(plain, short, strict=True):
        alike.setdefault(rest, set()).add(" ".join(_ARTICLES.sub(" ", whole).split()))
    blurred = sum(
        _OF_NUMBERS.search(text) is not None or len(alike[rest]) > 1 or not normalised(text)
        for text, rest in zip(texts, short, strict=True)
    )
    return blurred / max(1, len(texts))


class ExactMatch(TextMetric):
    """Whether the answer is the reference."""

    name = "exact_match"
    title = "Exact match"

    @property
    def signature(self) -> str:
        return _SIGNATURE

    def score(self, text: str, reference: str) -> float:
        if not (right := normalised(reference)):
            return _as_it_is(text, reference)
        return float(normalised(text) == right)


class F1(TextMetric):
    """The harmonic mean of precision and recall of words, in whatever order."""

    name = "f1"
    title = "F1"

    @property
    def signature(self) -> str:
        return _SIGNATURE

    def score(self, text: str, reference: str) -> float:
        written, right = normalised(text).split(), normalised(reference).split()
        if not right:
            return _as_it_is(text, reference)
        shared = (Counter(written) & Counter(right)).total()
        # 2 p r / (p + r), with p and r over the two lengths
        return 2 * shared / (len(written) + len(right))


def _as_it_is(text: str, reference: str) -> float:
    """The score against a reference that SQuAD's rules leave nothing of."""
    right = _without_punctuation(reference)
    if right:
        return float(_without_punctuation(text) == right)
    return float(text.strip() == reference.strip())


def _without_punctuation(text: str) -> str:
    return " ".join(text.lower().translate(_NO_PUNCTUATION).split())


def make(name: str, labels: tuple[str, ...], options: Mapping[str, Any]) -> Metric:
    """A metric of this file; see ``MetricFactory``."""
    no_options(name, options)
    return ExactMatch() if name == ExactMatch.name else F1()
