"""Negative log-likelihood of a split's supervised tokens.

Axis letters: ``B`` rows, ``T`` tokens, ``N`` supervised tokens of all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bakeoff.base.compiled import uncompiled
from bakeoff.base.transfer import to_device
from bakeoff.data.batches import BatchPlan, MicroBatch
from bakeoff.engine.backends.memory import may_try_smaller, release_memory
from bakeoff.engine.batch_source import BatchSource
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.row_pass import RowPass
from bakeoff.errors import OutOfMemoryError
from bakeoff.methods.stack import StackHooks

EVALUATION_ROWS = 64


def score(
    cohort: Cohort,
    slots: Sequence[int],
    batch_source: BatchSource,
    plan: BatchPlan,
    *,
    rows: int = EVALUATION_ROWS,
) -> list[NDArray[np.float64]]:
    """Each slot's ``example_nlls``, to the bit: slots share no pass, which costs next to nothing.

    Returns:
        For each of the slots [examples] nats, in the split's order.
    """
    return [example_nlls(cohort, slot, batch_source, plan, rows=rows) for slot in slots]


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
    return _in_memory(lambda rows: _example_nlls(cohort, slot, batch_source, plan, rows), rows)


@torch.no_grad()
def score_rows(
    cohort: Cohort,
    slot_of_example: Sequence[int] | NDArray[np.int64],
    plan: BatchPlan,
    *,
    rows: int = EVALUATION_ROWS,
) -> NDArray[np.float64]:
    """Each example's summed NLL under the slot that it names; slots of all kinds share passes.

    All go through the base, those too whose hidden states a study keeps.

    Args:
        cohort: an entered cohort.
        slot_of_example: [examples] whose candidate each is scored under.
        plan: the split. rows: see ``example_nlls``.

    Returns:
        [examples] nats, in the split's order.

    Raises:
        OutOfMemoryError: if not even one row fits.
    """
    slots = np.asarray(slot_of_example, dtype=np.int64)
    acting: dict[int, StackHooks] = {}

    def scored(rows: int) -> NDArray[np.float64]:
        sums = np.zeros(len(slots), dtype=np.float64)
        pending = [
            _row_nlls(cohort, slots[batch.examples], batch, acting)
            for batch in plan.in_length_order(rows)
        ]
        for example_N, nll_N in pending:
            np.add.at(sums, example_N, nll_N.double().cpu().numpy())
        return sums

    with uncompiled(cohort.base):
        return _in_memory(scored, rows)


def _row_nlls(
    cohort: Cohort,
    slot_B: NDArray[np.int64],
    batch: MicroBatch,
    acting: dict[int, StackHooks],
) -> tuple[NDArray[np.int64], Tensor]:
    """([N] the example of each supervised token, [N] its nats)."""
    device = cohort.base.device
    row_N, column_N = np.divmod(batch.source, batch.input_ids.shape[1])
    with RowPass(cohort, slot_B, acting) as present:
        place_N = np.argsort(present.order_R)[row_N]
        order_N = np.argsort(place_N, kind="stable")
        place_N, column_N = place_N[order_N], column_N[order_N]
        hidden_BTD, moved_B = present.read(to_device(batch.input_ids[present.order_R], device))
        place = to_device(place_N, device)
        source = place * hidden_BTD.shape[1] + to_device(column_N, device)
        if moved_B is not None:
            source = source + moved_B[place]
        hidden_ND = hidden_BTD.flatten(0, 1).index_select(0, source)
        each_N = np.arange(len(place_N))
        nll_N = present.nlls(hidden_ND, place_N, each_N, batch.targets[order_N])
    return batch.examples[row_N[order_N]], nll_N


def _in_memory(scored: Callable[[int], NDArray[np.float64]], rows: int) -> NDArray[np.float64]:
    """What is scored in passes of so many rows, or of fewer where memory does not hold them."""
    while True:
        try:
            return scored(rows)
        except (RuntimeError, MemoryError) as error:
            if not may_try_smaller(error):
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
