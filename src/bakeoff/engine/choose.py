"""TEMPORARY: replaced at merge."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.batches import BatchPlan
from bakeoff.data.ragged import Ragged
from bakeoff.engine.batch_source import TokenSource
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.score import example_nlls


def choose(
    cohort: Cohort,
    slots: Sequence[int],
    prompts: Sequence[NDArray[np.int32]],
    choices: Sequence[Sequence[NDArray[np.int32]]],
    *,
    batch_rows: str | int = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> list[list[NDArray[np.float64]]]:
    rows = [np.concatenate([p, c]) for p, cs in zip(prompts, choices, strict=True) for c in cs]
    masks = [
        np.concatenate([np.zeros(len(p), bool), np.ones(len(c), bool)])
        for p, cs in zip(prompts, choices, strict=True)
        for c in cs
    ]
    plan = BatchPlan(
        Ragged.from_rows(rows),
        np.concatenate(masks),
        rows_per_step=1,
        max_length=max(map(len, rows)),
        pad_id=0,
    )
    cuts = np.cumsum([len(cs) for cs in choices])[:-1]
    source = TokenSource(cohort.base.device)
    return [np.split(example_nlls(cohort, slot, source, plan), cuts) for slot in slots]
