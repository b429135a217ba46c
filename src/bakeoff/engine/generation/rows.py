"""Rows of a batch that is continued, and the memory that batches of all sizes take turns in.

Axis letters: ``R`` rows of all slots, ``G`` generated tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bakeoff.base.attention.decoding import CacheStorage, DecodingState
from bakeoff.base.model import Base
from bakeoff.base.prefix import Prefix, PrefixedDecodingState
from bakeoff.engine.backends.memory import FEW_ROWS, rows_that_fit
from bakeoff.engine.generation.options import GenerationOptions


@dataclass(kw_only=True)
class Rows:
    """Rows under way, all at the same step.

    Attributes:
        cache: keys and values.
        generated_RG: what has been written. finished_R: which rows have ended.
        next_R: the newest token. position_R1: the position that it takes.
        written_1: [1] how many of the G are there, on the device.
    """

    cache: DecodingState
    generated_RG: Tensor
    finished_R: Tensor
    next_R: Tensor
    position_R1: Tensor
    written_1: Tensor

    @classmethod
    def empty(cls, cache: DecodingState, num_tokens: int) -> Rows:
        """Rows for this cache that have written nothing, in memory of their own.

        Args:
            cache: of R rows. num_tokens: G.
        """
        device, total = cache.num_padding_B.device, len(cache.num_padding_B)
        return cls(
            cache=cache,
            generated_RG=torch.zeros((total, num_tokens), dtype=torch.int64, device=device),
            finished_R=torch.zeros(total, dtype=torch.bool, device=device),
            next_R=torch.zeros(total, dtype=torch.int64, device=device),
            position_R1=torch.zeros((total, 1), dtype=torch.int64, device=device),
            written_1=torch.zeros(1, dtype=torch.int64, device=device),
        )

    def begin(self, end_id: int, position_R1: Tensor) -> None:
        """Nothing has been written; the first token takes ``position_R1``."""
        self.generated_RG.fill_(end_id)
        self.finished_R.zero_()
        self.position_R1.copy_(position_R1)
        self.written_1.zero_()

    def _by_row(self) -> tuple[Tensor, ...]:
        return self.generated_RG, self.finished_R, self.next_R, self.position_R1

    def keep(self, rows: Tensor) -> None:
        """Lets all other rows leave."""
        self.cache.keep_rows(rows)
        self.generated_RG, self.finished_R = self.generated_RG[rows], self.finished_R[rows]
        self.next_R, self.position_R1 = self.next_R[rows], self.position_R1[rows]

    def take(self, other: Rows, rows: Tensor) -> None:
        """Becomes the given rows of ``other``, whose memory this is a part of."""
        self.cache.take(other.cache, rows)
        for mine, theirs in zip(self._by_row(), other._by_row(), strict=True):
            # What is picked is a copy: memory of the two overlaps.
            mine.copy_(theirs.index_select(0, rows))


class RowStorage:
    """Rows at fixed addresses, as captured graphs need them.

    One memory serves every number of rows and of positions that there is room for: rows of a
    smaller batch are the first of the largest one's.

    Args:
        num_rows: R, the most.
        num_positions: of the caches of that many rows, without a prefix; fewer rows may have more.
        num_tokens: G.
        device: where.
        prefix: what comes before the tokens of all rows.
    """

    def __init__(
        self,
        num_rows: int,
        num_positions: int,
        num_tokens: int,
        device: torch.device,
        prefix: Prefix | None,
    ) -> None:
        self._prefix = prefix
        self._before = 0 if prefix is None else prefix.num_positions
        self.cache = CacheStorage(num_rows, num_positions + self._before, device)
        num_padding_R = torch.zeros(num_rows, dtype=torch.int64, device=device)
        self._largest = Rows.empty(DecodingState(num_padding_R, num_positions), num_tokens)
        self._rows: dict[tuple[int, int], Rows] = {}

    def holds(self, num_rows: int, capacity: int) -> bool:
        """Whether there is room for as many rows of so many positions."""
        return self.cache.holds(num_rows, capacity + self._before)

    def rows(self, num_rows: int, capacity: int) -> Rows:
        """The rows of this number and capacity; each call gives the same memory.

        Their cache is to be reopened, or to take other rows' content.

        Args:
            num_rows: R.
            capacity: positions of the cache, without a prefix.
        """
        key = (num_rows, capacity)
        if key not in self._rows:
            largest = self._largest
            num_padding_R = largest.cache.num_padding_B[:num_rows]
            self._rows[key] = Rows(
                cache=new_cache(num_padding_R, capacity, self._prefix, self.cache),
                generated_RG=largest.generated_RG[:num_rows],
                finished_R=largest.finished_R[:num_rows],
                next_R=largest.next_R[:num_rows],
                position_R1=largest.position_R1[:num_rows],
                written_1=largest.written_1,
            )
        return self._rows[key]


def new_cache(
    num_padding_R: Tensor,
    capacity: int,
    prefix: Prefix | None,
    storage: CacheStorage | None = None,
) -> DecodingState:
    """A cache that begins with the prefix, if there is one; arguments as for ``DecodingState``."""
    if prefix is None:
        return DecodingState(num_padding_R, capacity, storage)
    return PrefixedDecodingState(num_padding_R, capacity, prefix, storage)


def power_of_two(count: int) -> int:
    """The smallest power of two that is not below ``count``."""
    return 1 << max(0, count - 1).bit_length()


def rows_of_batch(base: Base, options: GenerationOptions, num_positions: int) -> int:
    """Rows of all slots together in one batch of generation.

    What is sampled depends on the rows of a batch, so that their number then does not depend on
    how much memory is free.

    Args:
        base: the base. options: of generation.
        num_positions: of one row, prompt and continuation together.
    """
    if options.batch_rows != "auto":
        return options.batch_rows
    return FEW_ROWS if options.strategy == "sample" else rows_that_fit(base, num_positions)


def largest_power_of_two(count: int) -> int:
    """The largest power of two that is not above ``count``, which is at least one."""
    return 1 << (count.bit_length() - 1)
