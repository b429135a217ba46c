"""Negative log-likelihood of a split under one slot's candidate."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from bakeoff.data.batches import BatchPlan
from bakeoff.engine.backends.memory import is_out_of_memory, release_memory
from bakeoff.engine.batch_source import BatchSource
from bakeoff.engine.cohort import Cohort
from bakeoff.errors import OutOfMemoryError

EVALUATION_ROWS = 64


@torch.no_grad()
def example_nlls(
    cohort: Cohort,
    slot: int,
    batch_source: BatchSource,
    plan: BatchPlan,
    *,
    rows: int = EVALUATION_ROWS,
) -> NDArray[np.float64]:
    """Each example's summed NLL, the slot alone in its passes.

    A slot is evaluated by itself so that its validation does not depend on which others have
    reached the end of an epoch; large batches make that as fast as evaluating together.

    Args:
        cohort: an entered cohort. slot: whose candidate.
        batch_source: how the split's examples reach it.
        plan: the split.
        rows: rows of one pass; halved when memory runs out.

    Returns:
        [examples] nats, in the split's order.

    Raises:
        OutOfMemoryError: if not even one row fits.
    """
    while True:
        try:
            return _example_nlls(cohort, slot, batch_source, plan, rows)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if rows == 1:
                raise OutOfMemoryError(
                    "evaluation ran out of memory with one row; lower task.max_length"
                ) from error
        release_memory()
        rows = max(1, rows // 2)


def _example_nlls(
    cohort: Cohort, slot: int, batch_source: BatchSource, plan: BatchPlan, rows: int
) -> NDArray[np.float64]:
    sums = np.zeros(plan.num_rows, dtype=np.float64)
    pending = []
    with cohort.only([slot]):
        for batch in plan.in_length_order(rows):
            _, nll_1N = batch_source.losses(cohort, batch_source.pack(plan, [batch]))
            pending.append((batch, nll_1N[0, : batch.num_supervised]))
    lengths = plan.target_counts
    for batch, nll_N in pending:
        row = np.repeat(batch.examples, lengths[batch.examples])
        np.add.at(sums, row, nll_N.double().cpu().numpy())
    return sums


def mean_nll(sums: NDArray[np.float64], plan: BatchPlan) -> float:
    """Nats a supervised token over the whole split, weighted by tokens."""
    return float(sums.sum() / plan.num_targets)
