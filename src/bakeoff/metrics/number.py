"""The number that a worked answer ends in, as lm-evaluation-harness scores GSM8K.

Source: lm-evaluation-harness 0.4.13, ``tasks/gsm8k/gsm8k.yaml``: its filters ``flexible-extract``
and ``strict-match``, and its exact match without commas, dollar signs, what stands before
``####`` and a last full stop.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bakeoff.metrics.base import no_options
from bakeoff.metrics.contract import Expected, Metric, ModelOutputs
from bakeoff.metrics.text_scores import TextMetric

_FLEXIBLE: Final = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
_STRICT: Final = re.compile(r"#### (\-?[0-9\.\,]+)")
_IGNORED: Final = tuple(map(re.compile, (",", r"\$", r"(?s).*#### ", r"\.$")))
_NUMBER: Final = re.compile(r"-?[0-9]*\.?[0-9]+|-?[0-9]+\.")
_LOG = logging.getLogger(__name__)


class Number(TextMetric):
    """Whether the last number of the text is that of the reference."""

    name = "number"
    title = "Number"

    @property
    def signature(self) -> str:
        return "as lm-evaluation-harness's gsm8k, flexible-extract"

    def found(self, text: str) -> str | None:
        """What is taken for the text's number, or None."""
        matches = _FLEXIBLE.findall(text)
        return next(filter(None, matches[-1])) if matches else None

    def _statistics(self, outputs: ModelOutputs, examples: Sequence[Expected]) -> NDArray[Any]:
        statistics = super()._statistics(outputs, examples)
        other = [
            example.references[0]
            for example in examples
            if not any(_NUMBER.fullmatch(_compared(one)) for one in example.references)
        ]
        if other:
            _LOG.warning(
                "metric %s: %d of %d references are no number, such as %.80r, so that no answer "
                "can be right; write the number alone, or after '#### ' at the end",
                self.name,
                len(other),
                len(examples),
                other[0],
            )
        return statistics

    def score(self, text: str, reference: str) -> float:
        found = self.found(text)
        return float(found is not None and _compared(found) == _compared(reference))

    def invalid(self, outputs: ModelOutputs) -> NDArray[np.bool_]:
        texts: Sequence[str] = outputs.texts or ()
        return np.array([self.found(text) is None for text in texts], dtype=np.bool_)


class NumberStrict(Number):
    """Whether the first number after ``####`` is that of the reference."""

    name = "number_strict"
    title = "Number after ####"

    @property
    def signature(self) -> str:
        return "as lm-evaluation-harness's gsm8k, strict-match"

    def found(self, text: str) -> str | None:
        match = _STRICT.search(text)
        return match[1] if match else None


def _compared(text: str) -> str:
    for ignored in _IGNORED:
        text = ignored.sub("", text)
    return text.lower()


def make(name: str, labels: tuple[str, ...], options: Mapping[str, Any]) -> Metric:
    """A metric of this file; see ``MetricFactory``."""
    no_options(name, options)
    return NumberStrict() if name == NumberStrict.name else Number()
