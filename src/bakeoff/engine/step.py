"""One update of every slot.

The step has two halves: ``pack_step`` brings what the slots learn from to the device, and
``update`` computes on it without asking the device for anything. Its parts, ``UpdateParts``, can so
be captured each for itself: one pass serves all micro-batches of its shape.

Axis letters: ``K`` slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from bakeoff.base.transfer import to_device
from bakeoff.data.batches import BatchPlan, Step
from bakeoff.engine.backends.cuda_graphs import StepGraphs
from bakeoff.engine.backends.worker_threads import ONE_WORKER, WorkerThreads, worker_threads_of
from bakeoff.engine.batch_source import BatchSource, Packed
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.optimizer import SlotAdamW
from bakeoff.ranks import add_up, ranks, share_of

MOST_WORKER_BYTES = 1 << 28
"""Gradients that workers hold beside the optimizer's; larger ones go through one worker."""


@dataclass(frozen=True, kw_only=True)
class PackedStep:
    """What all slots learn from in one update, on the device.

    Attributes:
        passes: the micro-batches, each cut into one pass a worker.
        tokens_K: [K] float32 supervised tokens of the whole step.
    """

    passes: list[Packed]
    tokens_K: Tensor


def train_step(
    cohort: Cohort,
    batch_source: BatchSource,
    plan: BatchPlan,
    steps: Sequence[Step | None],
    rates_K: Tensor,
    micro_batch_size: int,
    graphs: StepGraphs | None = None,
) -> tuple[Tensor, Tensor]:
    """One update of every slot.

    Args:
        cohort: an entered cohort with an optimizer.
        batch_source: how examples reach it.
        plan: the training split.
        steps: each slot's examples; None gives an empty slot nothing to learn from. All have one
            width.
        rates_K: [K] float64 learning rates.
        micro_batch_size: rows of one slot that are in memory at a time.
        graphs: captures the update's parts and replays them; None runs it as it is written.

    Returns:
        ([K] summed NLLs in nats, [K] supervised tokens), on the device.
    """
    workers = _worker_threads_of(cohort)
    num_parts = workers.num * ranks().count
    packed = pack_step(batch_source, plan, steps, -(-micro_batch_size // num_parts))
    if graphs is None:
        total_K = update(cohort, batch_source, packed.passes, packed.tokens_K, rates_K, workers)
    else:
        parts = UpdateParts(cohort, batch_source)
        total_K = graphs.run(parts, share_of(packed.passes), packed.tokens_K, rates_K)
    return total_K, packed.tokens_K


def _worker_threads_of(cohort: Cohort) -> WorkerThreads:
    workers = worker_threads_of(cohort.base)
    assert cohort.optimizer is not None
    num_bytes = cohort.optimizer.grads_Kn.nbytes * workers.num
    return workers if num_bytes <= MOST_WORKER_BYTES else ONE_WORKER


def pack_step(
    batch_source: BatchSource, plan: BatchPlan, steps: Sequence[Step | None], rows: int
) -> PackedStep:
    """Brings a step to the device in passes of ``rows`` rows per slot."""
    width = next(step.width for step in steps if step is not None)
    idle = Step(examples=np.zeros(0, dtype=np.int64), width=width)
    by_slot = [plan.micro_batches(step or idle, rows) for step in steps]
    counts = [sum(batch.num_supervised for batch in batches) for batches in by_slot]
    passes = [
        replace(
            batch_source.pack(plan, batches),
            first_row=to_device(np.array(number * rows), batch_source.device),
            num_rows=rows,
        )
        for number, batches in enumerate(zip(*by_slot, strict=True))
        if any(batch.num_supervised for batch in batches)
    ]
    return PackedStep(
        passes=passes, tokens_K=to_device(np.array(counts, dtype=np.float32), batch_source.device)
    )


@dataclass(frozen=True)
class UpdateParts:
    """One update in its parts: ``begin`` once, ``accumulate`` for each pass, ``finish`` once.

    Attributes:
        cohort: an entered cohort with an optimizer. batch_source: how examples reach it.
    """

    cohort: Cohort
    batch_source: BatchSource

    @property
    def optimizer(self) -> SlotAdamW:
        """The cohort's."""
        assert self.cohort.optimizer is not None
        return self.cohort.optimizer

    def begin(self, tokens_K: Tensor) -> tuple[Tensor, Tensor]:
        """Clears the gradients.

        Args:
            tokens_K: see ``PackedStep``.

        Returns:
            ([K] the weight of a token's NLL in each slot's loss, [K] zeros for sums of NLLs).
        """
        self.optimizer.zero_grad()
        weight_K = self.optimizer.loss_scale_K / tokens_K.clamp(min=1.0)
        return weight_K, torch.zeros_like(tokens_K)

    def accumulate(
        self, packed: Packed, weight_K: Tensor, total_K: Tensor, *, counts: bool = True
    ) -> None:
        """Adds the gradients of one pass to the optimizer's, and its NLLs to ``total_K``.

        Args:
            packed: one micro-batch of every slot. weight_K, total_K: as ``begin`` gave them.
            counts: see ``share_of``.
        """
        with self._training_pass(packed):
            weighed_K = weight_K if counts else torch.zeros_like(weight_K)
            scaled_K, nll_KN = self.batch_source.losses(self.cohort, packed, weighed_K)
            scaled_K.sum().backward()
        if counts:
            total_K += nll_KN.sum(dim=1)

    def accumulate_beside(
        self,
        passes: Sequence[Packed],
        weight_K: Tensor,
        total_K: Tensor,
        workers: WorkerThreads,
    ) -> None:
        """``accumulate`` of several passes at a time, in threads."""
        leaves = [leaf for stack in self.cohort.stacks.values() for leaf in stack.tensors.values()]
        summed = [leaf.grad for leaf in leaves]

        def gradients(packed: Packed) -> tuple[Tensor, tuple[Tensor | None, ...]]:
            # Worker threads share the leaves, so that none may write into their gradients.
            with self._training_pass(packed):
                nll_K, _ = self.batch_source.losses(self.cohort, packed)
                loss = (nll_K * weight_K).sum()
                return nll_K.detach(), torch.autograd.grad(loss, leaves, allow_unused=True)

        for nll_K, found in workers.map(gradients, passes):
            total_K += nll_K
            used = [
                (s, g)
                for s, g in zip(summed, found, strict=True)
                if s is not None and g is not None
            ]
            torch._foreach_add_([s for s, _ in used], [g for _, g in used])

    def finish(self, rates_K: Tensor, total_K: Tensor) -> None:
        """Updates every slot from the gradients that are there.

        Args:
            rates_K: see ``train_step``. total_K: [K] summed NLLs; of all processes afterwards.
        """
        # Each process has passed its rows; what it holds a shard of is summed up already.
        add_up([self.optimizer.replicated_grads, total_K])
        penalty_K = self.cohort.penalty()
        if penalty_K is not None:
            (penalty_K * self.optimizer.loss_scale_K).sum().backward()
        self.optimizer.step(rates_K, total_K)
        self.cohort.after_update()

    def _training_pass(self, packed: Packed) -> AbstractContextManager[None]:
        assert packed.first_row is not None, "pack_step says where in its update a pass is"
        return self.cohort.training_pass(packed.first_row, packed.num_rows)


def update(
    cohort: Cohort,
    batch_source: BatchSource,
    passes: Sequence[Packed],
    tokens_K: Tensor,
    rates_K: Tensor,
    workers: WorkerThreads,
) -> Tensor:
    """Gradients of all passes, then one update of every slot; nothing here waits for a GPU.

    The processes of a run take turns with the passes.

    Args:
        passes: see ``PackedStep``. tokens_K: likewise. rates_K: see ``train_step``.
        workers: how many passes go side by side.

    Returns:
        [K] summed NLLs in nats.
    """
    parts = UpdateParts(cohort, batch_source)
    weight_K, total_K = parts.begin(tokens_K)
    own = share_of(passes)
    if workers.num == 1:
        for packed, counts in own:
            parts.accumulate(packed, weight_K, total_K, counts=counts)
    else:
        counted = [packed for packed, counts in own if counts]
        parts.accumulate_beside(counted, weight_K, total_K, workers)
    parts.finish(rates_K, total_K)
    return total_K
