"""Scoring texts while the model still writes others."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bakeoff.metrics.contract import Expected, Metric
from bakeoff.metrics.rouge import ROUGE_KEYS, RougeScorer
from bakeoff.metrics.rouge_metrics import PendingRouge, keep_rouge, submit_rouge


class BackgroundScoring:
    """Workers for whatever of some metrics takes long; today that is ROUGE.

    Enter it as a context. Without such a metric it does nothing.
    """

    def __init__(self, metrics: Sequence[Metric], workers: int | None = None) -> None:
        """Args: metrics: what texts will be scored by. workers: see ``rouge_scores``."""
        is_long = any(metric.name in ROUGE_KEYS for metric in metrics)
        self._scorer = RougeScorer(workers=workers) if is_long else None

    def __enter__(self) -> Self:
        if self._scorer is not None:
            self._scorer.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._scorer is not None:
            self._scorer.__exit__(kind, error, trace)

    def texts(self, expected: Sequence[Expected]) -> BackgroundTexts:
        """A place for one candidate's texts, in the order of ``expected``."""
        return BackgroundTexts(expected, self._scorer)


class BackgroundTexts:
    """One candidate's texts, which the workers score while later ones are being written.

    Attributes:
        texts: [N], in the examples' order. unfinished_N: [N] bool.
    """

    def __init__(self, expected: Sequence[Expected], scorer: RougeScorer | None) -> None:
        self.texts = [""] * len(expected)
        self.unfinished_N: NDArray[np.bool_] = np.zeros(len(expected), dtype=np.bool_)
        self._expected = expected
        self._scorer = scorer
        self._pending: list[tuple[NDArray[np.int64], PendingRouge]] = []

    def add(
        self, chosen: NDArray[np.int64], texts: Sequence[str], unfinished: Sequence[bool]
    ) -> None:
        """Takes in the texts of some of the examples and has them scored."""
        for index, text in zip(chosen, texts, strict=True):
            self.texts[int(index)] = text
        self.unfinished_N[chosen] = unfinished
        if self._scorer is not None:
            right = [self._expected[int(index)] for index in chosen]
            self._pending.append((chosen, submit_rouge(self._scorer, texts, right)))

    def finish(self) -> None:
        """Waits for what is not scored yet; metrics then find it."""
        if self._scorer is None:
            return
        scores_N4 = np.zeros((len(self.texts), len(ROUGE_KEYS)))
        for chosen, pending in self._pending:
            scores_N4[chosen] = pending.result()
        keep_rouge(self.texts, self._expected, scores_N4)
