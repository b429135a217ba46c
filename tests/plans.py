"""Rows of which the first tokens are read and the rest is learnt, as plans have them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.batches import BatchPlan
from bakeoff.data.ragged import Ragged

Ids = NDArray[np.int32]


def joined(prompts: Sequence[Ids], completions: Sequence[Ids]) -> tuple[Ragged, NDArray[np.bool_]]:
    """The rows whole, and which of all their tokens are supervised."""
    rows = [np.concatenate(pair) for pair in zip(prompts, completions, strict=True)]
    masks = [
        np.arange(len(prompt) + len(completion)) >= len(prompt)
        for prompt, completion in zip(prompts, completions, strict=True)
    ]
    return Ragged.from_rows(rows), np.concatenate([np.zeros(0, dtype=np.bool_), *masks])


def parts_of(plan: BatchPlan, example: int) -> tuple[Ids, Ids]:
    """A row's tokens that are read, and those that are learnt, which are its last ones."""
    tokens = plan.tokens[example]
    start = len(tokens) - int(plan.target_counts[example])
    return tokens[:start], tokens[start:]
