"""Keys and values of what has been read and written, while a batch is continued.

The cache is static: it has room for all positions from the start. It is used in two ways.

* Open: any number of positions is appended, and only those that are there are looked at. Lengths
  are the host's numbers.
* Frozen: one position is appended at a time, and the whole room is looked at through a mask. The
  write position is a number of the device's, so that one captured graph serves every step.

Axis letters: ``R`` rows, ``H`` heads, ``T`` query positions, ``S`` key positions, ``C`` head width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DecodingState:
    """The cache of a batch of left-padded prompts.

    All rows share one write position, since prompts are padded on the left to one length.

    Attributes:
        length: positions that are there, in an open cache.
        is_frozen: whether the device counts the positions.
        before: positions that stand before the prompts in every row and are there from the start.
    """

    before = 0

    def __init__(self, num_padding_B: Tensor, capacity: int) -> None:
        """Starts empty.

        Args:
            num_padding_B: [R] how many of the first positions of each row are padding.
            capacity: the most positions, prompt and continuation together.
        """
        self.num_padding_B = num_padding_B
        self.capacity = capacity
        self.length = 0
        self.is_frozen = False
        self._counted_1: Tensor | None = None
        self._layers: dict[nn.Module, tuple[Tensor, ...]] = {}
        self._masks: dict[tuple[int, int | None], Tensor] = {}

    def append(self, module: nn.Module, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Adds one layer's ``[R, H, T, C]`` keys and values; returns all that may be looked at."""
        if module not in self._layers:
            self._layers[module] = self._room(module, key, value)
        keys, values = self._layers[module]
        if self.is_frozen:
            assert self._counted_1 is not None
            index_1 = self._counted_1 + self.before
            keys.index_copy_(2, index_1, key)
            values.index_copy_(2, index_1, value)
            return keys, values
        start = self.before + self.length
        end = start + key.shape[2]
        keys[:, :, start:end] = key
        values[:, :, start:end] = value
        return keys[:, :, :end], values[:, :, :end]

    def _room(self, module: nn.Module, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        # Some models have values of another width than keys. What a frozen cache looks at through a
        # mask must be finite even where nothing has been written.
        first, second = (
            t.new_zeros((*t.shape[:2], self.before + self.capacity, t.shape[3]))
            for t in (key, value)
        )
        return first, second

    def layers(self) -> list[tuple[Tensor, Tensor]]:
        """All layers' keys and values in the order in which they came, each for all positions."""
        return [(keys, values) for keys, values in self._layers.values()]

    def freeze(self) -> None:
        """From now on positions come one at a time, and the device counts them."""
        if self._counted_1 is None:
            self._counted_1 = torch.zeros(1, dtype=torch.int64, device=self.num_padding_B.device)
        self._counted_1.fill_(self.length)
        self.is_frozen = True
        self._masks.clear()

    def reopen(self, num_padding_B: Tensor) -> None:
        """Begins a new batch of as many rows in the same room, which keeps its place in memory."""
        self.num_padding_B.copy_(num_padding_B)
        self.length = 0
        self.is_frozen = False
        self._masks.clear()

    def take(self, other: DecodingState, rows: Tensor) -> None:
        """Becomes, in its own room, what ``other`` is for the given rows; both are frozen."""
        assert self._counted_1 is not None and other._counted_1 is not None
        self.num_padding_B.copy_(other.num_padding_B[rows])
        self._counted_1.copy_(other._counted_1)
        for module, kept in other._layers.items():
            if module not in self._layers:
                self._layers[module] = tuple(t.new_zeros((len(rows), *t.shape[1:])) for t in kept)
            for target, source in zip(self._layers[module], kept, strict=True):
                torch.index_select(source, 0, rows, out=target)
        self._masks.clear()

    @property
    def counter(self) -> Tensor | None:
        """[1] the device's count of positions, once the cache has been frozen."""
        return self._counted_1

    def advance(self, num_positions: int) -> None:
        """Moves the write position after all layers have seen ``num_positions`` more."""
        if self.is_frozen:
            assert self._counted_1 is not None
            self._counted_1 += num_positions
        else:
            self.length += num_positions
        self._masks.clear()

    def keep_rows(self, rows: Tensor) -> None:
        """Keeps only ``rows`` (indices), so that finished rows cost nothing more."""
        self.num_padding_B = self.num_padding_B[rows]
        self._layers = {m: (k[rows], v[rows]) for m, (k, v) in self._layers.items()}
        self._masks.clear()

    def mask(self, num_queries: int, window: int | None) -> Tensor:
        """Boolean ``[R, 1, T, S]``: which keys each query of the present call may see."""
        cached = self._masks.get((num_queries, window))
        if cached is None:
            cached = self._masks[(num_queries, window)] = self._mask(num_queries, window)
        return cached

    def _columns(self, num_queries: int) -> tuple[Tensor, Tensor]:
        """([T] positions of the queries, [S] positions of the keys), what is before not counted."""
        device = self.num_padding_B.device
        if self.is_frozen:
            assert self._counted_1 is not None
            return self._counted_1, torch.arange(self.capacity, device=device)
        end = self.length + num_queries
        return torch.arange(self.length, end, device=device), torch.arange(end, device=device)

    def _mask(self, num_queries: int, window: int | None) -> Tensor:
        query_T, key_S = self._columns(num_queries)
        query_T1 = query_T[:, None]
        visible_TS = key_S <= query_T1
        if window is not None:
            visible_TS = visible_TS & (key_S > query_T1 - window)
        real_B1S = key_S[None] >= self.num_padding_B[:, None, None]
        # A padding query must see something, or its softmax is NaN: let it see itself.
        return ((visible_TS[None] & real_B1S) | (key_S == query_T1)[None])[:, None]
