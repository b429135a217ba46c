"""How examples reach a cohort: as rows through the base, or as hidden states kept from before.

Both kinds answer the same three calls, so that the training loop is one.

Axis letters: ``K`` slots, ``B`` rows, ``T`` tokens, ``N`` supervised tokens of a slot, ``D`` width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from bakeoff.base.transfer import sent, to_device
from bakeoff.data.batches import BatchPlan, MicroBatch
from bakeoff.engine.backends.memory import release_memory
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.halving import Halving
from bakeoff.engine.loss import chunk_tokens


@dataclass(frozen=True, kw_only=True)
class Packed:
    """One micro-batch of every slot, on the device.

    Attributes:
        ids_KBT: [K, B, T] tokens, or None where hidden states replace them.
        hidden_KND: [K, N, D] hidden states at supervised positions, or None.
        source_KN: [K, N]; targets_KN: [K, N]; mask_KN: [K, N] as ``Cohort.losses`` takes them.
        first_row: [] int64, rows of its update that each slot has passed before, or None where
            nothing is trained. num_rows: rows of each slot.
    """

    ids_KBT: Tensor | None
    hidden_KND: Tensor | None
    source_KN: Tensor
    targets_KN: Tensor
    mask_KN: Tensor
    first_row: Tensor | None = None
    num_rows: int = 1


class BatchSource(Protocol):
    """Turns micro-batches into losses."""

    device: torch.device

    def pack(self, plan: BatchPlan, batches: Sequence[MicroBatch]) -> Packed:
        """Brings one micro-batch of each slot to the device."""

    def losses(
        self, cohort: Cohort, packed: Packed, scale_K: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """([K] summed NLLs times ``scale_K``, [K, N] each token's) of a packed micro-batch."""


def _pack_targets(
    batches: Sequence[MicroBatch], device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    longest = max(batch.num_supervised for batch in batches)
    # Filled up here, so that the loss need not copy the hidden states, unless its head is large.
    size = chunk_tokens(device)
    padded = max(1, -(-longest // size)) * size
    shape = (len(batches), padded)
    source, targets = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    mask = np.zeros(shape, dtype=np.bool_)
    for slot, batch in enumerate(batches):
        count = batch.num_supervised
        source[slot, :count], targets[slot, :count] = batch.source, batch.targets
        mask[slot, :count] = True
    return to_device(source, device), to_device(targets, device), to_device(mask, device)


class TokenSource:
    """Rows of tokens, through the base."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def pack(self, plan: BatchPlan, batches: Sequence[MicroBatch]) -> Packed:
        """See ``BatchSource``."""
        source, targets, mask = _pack_targets(batches, self.device)
        ids = to_device(np.stack([batch.input_ids for batch in batches]), self.device)
        return Packed(
            ids_KBT=ids, hidden_KND=None, source_KN=source, targets_KN=targets, mask_KN=mask
        )

    def losses(
        self, cohort: Cohort, packed: Packed, scale_K: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See ``BatchSource``."""
        assert packed.ids_KBT is not None
        return cohort.losses(
            packed.ids_KBT, packed.source_KN, packed.targets_KN, packed.mask_KN, scale_K
        )


class HiddenStateSource:
    """Hidden states at supervised positions, computed once with the untuned base.

    Args:
        hidden_ND: for each plan, [all supervised tokens, D] in the order of the
            rows.
    """

    def __init__(self, hidden_ND: dict[BatchPlan, Tensor], device: torch.device) -> None:
        self._hidden_ND = hidden_ND
        self.device = device

    def pack(self, plan: BatchPlan, batches: Sequence[MicroBatch]) -> Packed:
        """See ``BatchSource``."""
        source, targets, mask = _pack_targets(batches, self.device)
        offsets = plan.target_offsets
        index = np.zeros(targets.shape, dtype=np.int64)
        for slot, batch in enumerate(batches):
            present = batch.examples[batch.examples >= 0]
            if len(present):
                rows = [np.arange(offsets[e], offsets[e + 1]) for e in present]
                index[slot, : batch.num_supervised] = np.concatenate(rows)
        kept = self._hidden_ND[plan]
        hidden = sent(kept[to_device(index, kept.device)], self.device)
        return Packed(
            ids_KBT=None, hidden_KND=hidden, source_KN=source, targets_KN=targets, mask_KN=mask
        )

    def losses(
        self, cohort: Cohort, packed: Packed, scale_K: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See ``BatchSource``."""
        assert packed.hidden_KND is not None
        return cohort.head_losses(packed.hidden_KND, packed.targets_KN, packed.mask_KN, scale_K)


@torch.no_grad()
def keep_hidden_states(
    cohort: Cohort, plan: BatchPlan, *, rows: int, path: str | None = None
) -> Tensor:
    """Runs the untuned base once over a split.

    Args:
        cohort: one empty slot over the base.
        plan: the split.
        rows: rows of one pass, halved when memory runs out.
        path: a file to keep the result in, mapped into memory; None keeps it in memory.

    Returns:
        [all supervised tokens, D] in compute dtype, in the order of the rows; on the CPU
        where a file holds it, else on the base's device.

    Raises:
        OutOfMemoryError: if not even one row fits.
    """
    base = cohort.base
    offsets = plan.target_offsets
    shape = (int(offsets[-1]), base.width)
    if path is None:
        kept = torch.empty(shape, dtype=base.compute_dtype, device=base.device)
    else:
        kept = torch.from_file(
            path, shared=True, size=shape[0] * shape[1], dtype=base.compute_dtype
        ).view(shape)

    def keep(start: int, stop: int) -> None:
        batch = plan.of_length(start, stop)
        ids = to_device(batch.input_ids[None], base.device)
        hidden_KBTD, _ = cohort.hidden_states(ids)
        flat = hidden_KBTD.flatten(0, 2)[to_device(batch.source, base.device)]
        index = np.concatenate([np.arange(offsets[e], offsets[e + 1]) for e in batch.examples])
        kept[to_device(index, kept.device)] = flat.to(kept.device)

    passes = Halving(
        keep,
        largest=rows,
        release=release_memory,
        message="the base's hidden states ran out of memory with one row; lower task.max_length or "
        "choose a smaller base",
    )
    for start, stop in plan.length_cuts(rows):
        passes.run(start, stop)
    return kept
