"""Which examples an optimizer step sees, and the rectangles they travel in.

Every candidate of a study sees the same schedule of *widths*: step ``s`` of every epoch is padded
to the same length whichever candidate trains, so a slot's arithmetic never depends on its
neighbours' data. Which examples fill a step is drawn from the candidate's own seed.

Examples are grouped by length into buckets, so that short data are not padded to ``max_length``.
Nothing is packed: a text has a row of its own, and what a method puts before it is its own too.
Buckets in small steps bring most of what packing would (``docs/decisions``, 0028).
Inside a bucket the order is random, and the sequence of the buckets over an epoch is random but
the same for all (seeded by ``SCHEDULE_SEED``).

Axis letters: ``B`` rows, ``T`` tokens, ``N`` supervised tokens of all the rows, packed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.ragged import Ragged

SCHEDULE_SEED = 20_241_029
_WIDTH_STEP = 32
_FINE_STEPS = ((64, 8), (128, 16))
"""Of rows up to so many tokens, the step of their widths where it is fine."""

Ints = NDArray[np.int64]


class RaggedLike(Protocol):
    """Rows of token ids of different lengths."""

    @property
    def offsets(self) -> NDArray[np.int64]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> NDArray[np.int32]: ...


@dataclass(frozen=True, kw_only=True)
class MicroBatch:
    """One rectangle of rows for one slot.

    Attributes:
        input_ids: [B, T] rows, padded on the right; absent rows are all padding.
        examples: [B] which example each row is, -1 where the row is absent.
        source: [N] flat index (row * T + position) of the hidden state that predicts a token.
        targets: [N] the token to be predicted.
    """

    input_ids: Ints
    examples: Ints
    source: Ints
    targets: Ints

    @property
    def num_supervised(self) -> int:
        """N."""
        return len(self.targets)


@dataclass(frozen=True, kw_only=True)
class Step:
    """The examples of one optimizer step and the width they are padded to."""

    examples: Ints
    width: int


class BatchPlan:
    """The schedule of one split's optimizer steps.

    Args:
        tokens: the rows of the split.
        is_target: [sum of lengths] bool, which tokens are supervised; never a row's first.
        rows_per_step: examples in one update: micro-batch size times accumulation.
        max_length: no width exceeds it.
        pad_id: what fills the rest of a row.
        fine_widths: whether short rows get widths in steps of 8 or 16 tokens instead of 32: less
            padding, but more shapes to compile and capture.
    """

    def __init__(
        self,
        tokens: RaggedLike,
        is_target: NDArray[np.bool_],
        *,
        rows_per_step: int,
        max_length: int,
        pad_id: int,
        fine_widths: bool = False,
    ) -> None:
        self.tokens = tokens
        self.is_target = is_target
        before = np.concatenate([[0], np.cumsum(is_target, dtype=np.int64)])
        self.target_offsets: Ints = before[tokens.offsets]
        """[rows + 1] where each row's supervised tokens begin among all of them."""
        self.rows_per_step = rows_per_step
        self.pad_id = pad_id
        self._fine_widths = fine_widths
        self.buckets = _bucket_of(np.diff(tokens.offsets), max_length, fine_widths)
        """[rows] the width that each row is rounded up to."""
        self.widths, self._takes = in_turn(*step_sizes(self.buckets, rows_per_step))

    @classmethod
    def of_pairs(
        cls,
        prompts: RaggedLike,
        answers: RaggedLike,
        *,
        rows_per_step: int,
        max_length: int,
        pad_id: int,
    ) -> BatchPlan:
        """The schedule of prompts, each with an answer behind it that is supervised whole."""
        pairs = [(prompts[i], answers[i]) for i in range(len(prompts))]
        parts = [np.zeros(0, dtype=np.bool_)]
        for prompt, answer in pairs:
            parts += [np.zeros(len(prompt), dtype=np.bool_), np.ones(len(answer), dtype=np.bool_)]
        return cls(
            Ragged.from_rows([np.concatenate(pair) for pair in pairs]),
            np.concatenate(parts),
            rows_per_step=rows_per_step,
            max_length=max_length,
            pad_id=pad_id,
        )

    def of(self, examples: Sequence[int], max_length: int) -> BatchPlan:
        """The schedule of some of the examples alone."""
        bounds = [self.tokens.offsets[[i, i + 1]] for i in examples]
        return BatchPlan(
            Ragged.from_rows([self.tokens[i] for i in examples]),
            np.concatenate([self.is_target[start:stop] for start, stop in bounds]),
            rows_per_step=self.rows_per_step,
            max_length=max_length,
            pad_id=self.pad_id,
            fine_widths=self._fine_widths,
        )

    @property
    def num_rows(self) -> int:
        """Examples of the split."""
        return len(self.tokens)

    @property
    def target_counts(self) -> Ints:
        """[rows] supervised tokens of each row."""
        return np.diff(self.target_offsets)

    @property
    def num_targets(self) -> int:
        """Supervised tokens of all rows."""
        return int(self.target_offsets[-1])

    @property
    def num_steps(self) -> int:
        """Optimizer steps in an epoch."""
        return len(self.widths)

    @property
    def tokens_padded(self) -> int:
        """Tokens of one epoch's rectangles, padding included."""
        return sum(w * n for w, n in zip(self.widths, self._takes, strict=True))

    @property
    def padding_share(self) -> float:
        """Share of those that are padding, absent rows aside."""
        real = int(self.tokens.offsets[-1])
        return 1.0 - real / self.tokens_padded if self.tokens_padded else 0.0

    def epoch(self, seed: int, epoch: int) -> list[Step]:
        """The steps of one epoch of one candidate; the same for the same seed and epoch."""
        return dealt(self.buckets, self.widths, self._takes, seed, epoch)

    def micro_batches(self, step: Step, micro_batch_size: int) -> list[MicroBatch]:
        """Cuts a step into rectangles of ``micro_batch_size`` rows, the last filled with padding.

        The number of rectangles depends on ``rows_per_step`` only, so that all slots agree.
        """
        count = -(-self.rows_per_step // micro_batch_size)
        return [
            self.rectangle(
                step.examples[i * micro_batch_size : (i + 1) * micro_batch_size],
                num_rows=micro_batch_size,
                width=step.width,
            )
            for i in range(count)
        ]

    def in_length_order(self, num_rows: int) -> Iterator[MicroBatch]:
        """All examples once, by length, in rectangles of at most ``num_rows``: for evaluation.

        A last example takes the one before it along where it can: compiled layers have other code
        for a single row.
        """
        for start, stop in self.length_cuts(num_rows):
            yield self.of_length(start, stop)

    def length_cuts(self, num_rows: int) -> list[tuple[int, int]]:
        """Where ``in_length_order`` cuts: (first place, the place after the last) by length."""
        cuts = [*range(0, self.num_rows, num_rows), self.num_rows]
        if self.num_rows % num_rows == 1 and len(cuts) > 2 and num_rows > 2:
            cuts[-2] -= 1
        return list(pairwise(cuts))

    def of_length(self, start: int, stop: int) -> MicroBatch:
        """The examples at some places by length, as wide as the widest of them."""
        chosen = self._by_length[start:stop]
        width = int(self.buckets[chosen].max())
        return self.rectangle(chosen, num_rows=len(chosen), width=width)

    @cached_property
    def _by_length(self) -> Ints:
        """[rows] the examples, short ones first."""
        return np.argsort(self.buckets, kind="stable")

    def rectangle(self, examples: Ints, *, num_rows: int, width: int) -> MicroBatch:
        """The given examples as one rectangle; rows beyond them are all padding."""
        input_ids = np.full((num_rows, width), self.pad_id, dtype=np.int64)
        rows = np.full(num_rows, -1, dtype=np.int64)
        rows[: len(examples)] = examples
        sources: list[Ints] = []
        targets: list[Ints] = []
        for row, example in enumerate(examples):
            ids = self.tokens[int(example)]
            start = int(self.tokens.offsets[example])
            places = np.flatnonzero(self.is_target[start : start + len(ids)])
            input_ids[row, : len(ids)] = ids
            sources.append(row * width + places - 1)
            targets.append(ids[places].astype(np.int64))
        empty = np.zeros(0, dtype=np.int64)
        return MicroBatch(
            input_ids=input_ids,
            examples=rows,
            source=np.concatenate(sources) if sources else empty,
            targets=np.concatenate(targets) if targets else empty,
        )


class EpochOrder(Protocol):
    """Which examples the steps of an epoch see, and how wide they are."""

    @property
    def widths(self) -> list[int]:
        """Of each step of an epoch."""

    @property
    def num_steps(self) -> int:
        """Optimizer steps in an epoch."""

    def epoch(self, seed: int, epoch: int) -> list[Step]:
        """The steps of one epoch of one candidate."""


def step_sizes(buckets: Ints, rows_per_step: int) -> tuple[list[int], list[int]]:
    """Widths of an epoch's steps, narrow ones first, and how many rows each of them has.

    A bucket's remainder moves up into the next wider bucket, so at most the last step is short.

    Args:
        buckets: [rows] the width of each row. rows_per_step: examples in one update.
    """
    widths: list[int] = []
    carried = 0
    kinds = np.unique(buckets)
    for kind in kinds:
        available = int((buckets == kind).sum()) + carried
        full, carried = divmod(available, rows_per_step)
        if kind == kinds[-1] and carried:
            full, carried = full + 1, 0
        widths += [int(kind)] * full
    takes = [rows_per_step] * len(widths)
    if takes:
        takes[-1] -= sum(takes) - len(buckets)
    return widths, takes


def in_turn(widths: Sequence[int], takes: Sequence[int]) -> tuple[list[int], list[int]]:
    """Steps that are sorted by width in the order in which an epoch has them, the same for all."""
    order = np.random.default_rng(SCHEDULE_SEED).permutation(len(widths))
    return [widths[i] for i in order], [takes[i] for i in order]


def dealt(
    buckets: Ints, widths: Sequence[int], takes: Sequence[int], seed: int, epoch: int
) -> list[Step]:
    """Rows in random order, dealt to the steps of one epoch.

    Args:
        buckets: [rows] the width of each row. widths: of the steps. takes: rows of each.
        seed, epoch: decide the order.
    """
    draw = np.random.default_rng((seed, epoch, 1))
    shuffled = draw.permutation(len(buckets))
    # A stable sort by bucket keeps the random order inside each; a bucket's surplus is what is at
    # its end, so each epoch promotes other examples to the wider rectangle.
    pool = shuffled[np.argsort(buckets[shuffled], kind="stable")]
    steps: list[Step | None] = [None] * len(widths)
    # Inside the widest bucket the short step goes last in the pool's order.
    ordered = sorted(range(len(widths)), key=lambda i: (widths[i], -takes[i], i))
    start = 0
    for index in ordered:
        stop = start + takes[index]
        steps[index] = Step(examples=pool[start:stop], width=widths[index])
        start = stop
    return [step for step in steps if step is not None]


def _bucket_of(lengths: Ints, max_length: int, fine: bool) -> Ints:
    """Each length rounded up to a multiple of its step, at most ``max_length``."""
    step: Ints = np.full(len(lengths), _WIDTH_STEP, dtype=np.int64)
    for longest, fine_step in reversed(_FINE_STEPS) if fine else ():
        step[lengths <= longest] = fine_step
    rounded: Ints = -(-lengths // step) * step
    return np.minimum(rounded, max_length).astype(np.int64)
