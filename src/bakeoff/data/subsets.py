"""Nested subsets of the training rows, and the updates of epochs over them.

A seed has one permutation of the rows; its subset of n rows are the first n of it. So a smaller
subset is a part of every larger one, and all methods of a seed learn from the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from bakeoff.data.batches import BatchPlan, Ints, Step, dealt, in_turn, step_sizes

_DRAW = 2
"""Beside a seed, so that the draw of rows is not that of an epoch's order."""


def nested_rows(num_all: int, num_rows: int, seed: int) -> Ints:
    """[num_rows] which rows a seed's subset holds, in the order of the data.

    Args:
        num_all: rows that there are. num_rows: of the subset. seed: of training.
    """
    drawn = np.random.default_rng((seed, 0, _DRAW)).permutation(num_all)[:num_rows]
    return np.sort(drawn)


class SubsetOrder:
    """The updates of epochs over the first rows of each seed's permutation.

    Seeds draw rows of other lengths, but share a pass, whose steps have one width for all. So a
    step is as wide as the widest that any of the seeds has at its place: it follows from the seeds
    that a job was packed with, whichever of them still train. Rows keep their numbers in the
    whole split, so that batches are made, and hidden states found, as for all of it. A subset of
    all rows has the epochs of the split itself.

    Args:
        plan: the schedule of the training split. num_rows: of a subset, at most all there are.
        seeds: of the candidates that share a pass.
    """

    def __init__(self, plan: BatchPlan, num_rows: int, seeds: Iterable[int]) -> None:
        self._rows = {seed: nested_rows(plan.num_rows, num_rows, seed) for seed in seeds}
        self._buckets = {seed: plan.buckets[rows] for seed, rows in self._rows.items()}
        self._sizes = {
            seed: in_turn(*step_sizes(own, plan.rows_per_step))
            for seed, own in self._buckets.items()
        }
        self.widths: list[int] = np.max([w for w, _ in self._sizes.values()], axis=0).tolist()
        # How full each step is follows from the number of rows, so it is the same for all seeds.
        _, self._takes = next(iter(self._sizes.values()))

    @property
    def num_steps(self) -> int:
        """Optimizer steps in an epoch."""
        return len(self.widths)

    @property
    def tokens_padded(self) -> int:
        """Tokens of one epoch's rectangles, padding included."""
        return sum(w * n for w, n in zip(self.widths, self._takes, strict=True))

    def epoch(self, seed: int, epoch: int) -> list[Step]:
        """The steps of one epoch of one candidate; the same for the same seed and epoch."""
        rows, (widths, takes) = self._rows[seed], self._sizes[seed]
        # By its own widths, so that an update sees the same rows whatever is beside it.
        own = dealt(self._buckets[seed], widths, takes, seed, epoch)
        return [
            Step(examples=rows[step.examples], width=width)
            for step, width in zip(own, self.widths, strict=True)
        ]
