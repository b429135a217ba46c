"""The same work for all engines: examples, batches, start.

Axis letters: ``B`` rows, ``T`` tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bakeoff.data.batches import BatchPlan, MicroBatch
from bakeoff.data.ragged import Ragged

SEED = 0
LEARNING_RATE = 1e-3
Rows = Sequence[NDArray[np.int32]]


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """One rectangle as Transformers takes it.

    Attributes:
        ids_BT: tokens. mask_BT: 0 where there is padding. labels_BT: -100 where nothing is learnt.
        num_supervised: labels that count.
    """

    ids_BT: Tensor
    mask_BT: Tensor
    labels_BT: Tensor
    num_supervised: int


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Updates over one plan, in the order of its first epoch.

    Attributes:
        plan: the examples. rows: of a micro-batch.
        device: where. dtype: of the base's arithmetic.
        validation: examples to evaluate on; None where nothing is evaluated.
    """

    plan: BatchPlan
    rows: int
    device: torch.device
    dtype: torch.dtype
    validation: BatchPlan | None = None

    @property
    def tokens_per_step(self) -> float:
        """Tokens of one update, padding included."""
        return self.plan.tokens_padded / self.plan.num_steps

    def labelled(self, index: int) -> list[Labelled]:
        """The micro-batches of an update."""
        step = self.plan.epoch(SEED, 0)[index]
        batches = self.plan.micro_batches(step, self.rows)
        return [labelled(self.plan, batch, self.device) for batch in batches]

    def labelled_validation(self, rows: int) -> list[Labelled]:
        """The validation examples in batches of ``rows``."""
        assert self.validation is not None, "nothing to validate on"
        return in_batches(self.validation, rows, self.device)


def in_batches(plan: BatchPlan, rows: int, device: torch.device) -> list[Labelled]:
    """All examples of a plan, by length, in batches of ``rows``."""
    return [labelled(plan, batch, device) for batch in plan.in_length_order(rows)]


def labelled(plan: BatchPlan, batch: MicroBatch, device: torch.device) -> Labelled:
    """One of the engine's rectangles, without the rows that are all padding."""
    ids_BT = torch.from_numpy(batch.input_ids)
    labels_BT = torch.full_like(ids_BT, -100)
    labels_BT.view(-1)[torch.from_numpy(batch.source) + 1] = torch.from_numpy(batch.targets)
    present = batch.examples[batch.examples >= 0]
    lengths = np.diff(plan.tokens.offsets)[present]
    mask_BT = torch.arange(ids_BT.shape[1])[None] < torch.from_numpy(lengths)[:, None]
    count = len(present)
    return Labelled(
        ids_BT=ids_BT[:count].to(device),
        mask_BT=mask_BT.long().to(device),
        labels_BT=labels_BT[:count].to(device),
        num_supervised=batch.num_supervised,
    )


def joined(prompts: Rows, completions: Rows) -> tuple[Ragged, NDArray[np.bool_]]:
    """The rows whole, and which of all their tokens are learnt: those of the completions."""
    pairs = list(zip(prompts, completions, strict=True))
    masks = [np.arange(len(p) + len(c)) >= len(p) for p, c in pairs]
    return Ragged.from_rows([np.concatenate(pair) for pair in pairs]), np.concatenate(masks)


def split_row(plan: BatchPlan, example: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """A row's tokens that are read, and those that are learnt, which are its last ones."""
    tokens = plan.tokens[example]
    start = len(tokens) - int(plan.target_counts[example])
    return tokens[:start], tokens[start:]


def random_plan(
    *, steps: int, rows_per_step: int, max_length: int, supervised: int, vocabulary: int
) -> BatchPlan:
    """Examples of random tokens, all ``max_length`` long, the last ``supervised`` to be learnt."""
    draw = np.random.default_rng(SEED)
    count = steps * rows_per_step

    def rows(length: int) -> Rows:
        return list(draw.integers(1, vocabulary - 1, (count, length)).astype(np.int32))

    return BatchPlan(
        *joined(rows(max_length - supervised), rows(supervised)),
        rows_per_step=rows_per_step,
        max_length=max_length,
        pad_id=0,
    )


def ragged_plan(
    *, steps: int, rows_per_step: int, max_length: int, vocabulary: int, words: int = 32
) -> BatchPlan:
    """Examples of many lengths over few of the tokens, so that there is something to learn soon.

    Args:
        steps: updates of an epoch. rows_per_step: examples of each.
        max_length: of the longest example.
        vocabulary: V; the tokens are the first ``words`` of it. words: how many are used.
    """
    draw = np.random.default_rng(SEED)
    count = steps * rows_per_step
    lengths = draw.integers(max_length // 2, max_length + 1, count)
    supervised = np.maximum(1, lengths // draw.integers(3, 6, count))
    most = min(words, vocabulary - 1)

    def rows(sizes: Iterable[int]) -> Rows:
        return [draw.integers(1, most, n).astype(np.int32) for n in sizes]

    return BatchPlan(
        *joined(rows(lengths - supervised), rows(supervised)),
        rows_per_step=rows_per_step,
        max_length=max_length,
        pad_id=0,
    )


def sampled(plan: BatchPlan, examples: Iterable[int], max_length: int) -> BatchPlan:
    """A plan of some of the examples alone."""
    pairs = [split_row(plan, int(example)) for example in examples]
    return BatchPlan(
        *joined([read for read, _ in pairs], [learnt for _, learnt in pairs]),
        rows_per_step=plan.rows_per_step,
        max_length=max_length,
        pad_id=plan.pad_id,
    )
