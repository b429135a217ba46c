"""What a metric is: additive statistics of each example, and a function of their sum.

So one influence function and one paired test serve every metric, those of a whole corpus too.
Axis letters: ``N`` examples, ``M`` choices, ``C`` columns of statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Ask(StrEnum):
    """What the model is asked for."""

    LIKELIHOOD = "likelihood"  # of the supervised tokens
    CHOICE = "choice"  # the likelihood of each choice after the prompt
    TEXT = "text"  # what it writes after the prompt


class Expected(Protocol):
    """What a metric needs to know of an example."""

    @property
    def references(self) -> Sequence[str]:
        """Answers that count as right."""

    @property
    def choices(self) -> Sequence[str]:
        """Answers to choose from."""

    @property
    def gold(self) -> int | None:
        """The index of the right choice."""


@dataclass(frozen=True, kw_only=True)
class ModelOutputs:
    """What one candidate, or a baseline, gave for N examples; None for what was not asked.

    Attributes:
        nll_N: [N] summed nats of the supervised tokens. tokens_N: [N] how many those are.
        target_bytes_N: [N] bytes of the supervised text in UTF-8.
        choice_nlls: for each example [M] summed nats of each choice after the prompt.
        chosen_N: [N] int64 index of the chosen answer: the most likely one, or what a baseline
            says.
        texts: [N] what was written.
        unfinished_N: [N] whether the text has no end within the tokens allowed.
        written_N: [N] tokens of the text, its end included.
        preferred_N: [N] by how much a judge preferred the text to another one, 0..1; NaN where it
            was not asked.
    """

    nll_N: Floats | None = None
    tokens_N: Floats | None = None
    target_bytes_N: Floats | None = None
    choice_nlls: Sequence[Floats] | None = None
    chosen_N: Ints | None = None
    texts: Sequence[str] | None = None
    unfinished_N: NDArray[np.bool_] | None = None
    written_N: Ints | None = None
    preferred_N: Floats | None = None


class Metric(Protocol):
    """One way to score.

    Attributes:
        name: as in results. title: for readers. unit: for readers, ``× 100`` for shares in 0..1.
        higher_is_better: the direction. asks: what the model must be asked for.
        signature: library and version, and settings.
        default_margin: a difference that does not matter, in the metric's own unit.
        by_row: whether the value of a single row's statistics means something to a reader.
    """

    name: str
    title: str
    unit: str
    higher_is_better: bool
    asks: Ask
    default_margin: float
    by_row: bool

    @property
    def signature(self) -> str:
        """Library and version, and settings; read when asked for, since it may import."""

    def statistics(self, outputs: ModelOutputs, examples: Sequence[Expected]) -> NDArray[Any]:
        """[N, C] what each example adds, of any number type; counts may be small integers."""

    def value(self, sums: NDArray[Any]) -> Floats:
        """[..., C] sums over examples to [...]; seeds are averaged after it.

        NaN where the sums hold nothing to divide by.
        """
