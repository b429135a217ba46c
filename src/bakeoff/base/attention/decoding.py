"""Keys and values of what has been read and written, while a batch is continued.

The cache is static: it has room for all positions from the start. It is used in two ways.

* Open: any number of positions is appended, and only those that are there are looked at. Lengths
  are the host's numbers.
* Frozen: one position is appended at a time, and the whole room is looked at through a mask. The
  write position is a number of the device's, so that one captured graph serves every step.

A graph reads and writes fixed addresses. Frozen caches of fewer rows or positions are therefore in
the memory of the largest one, ``CacheStorage``, each at its beginning: of several that share it one
is in use at a time.

Axis letters: ``R`` rows, ``H`` heads, ``T`` query positions, ``S`` key positions, ``C`` head width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class CacheStorage:
    """The memory of the largest cache of several, and the counter of all of them."""

    def __init__(self, num_rows: int, num_positions: int, device: torch.device) -> None:
        """Allocates next to nothing: each layer's memory comes with its first keys.

        Args:
            num_rows: R, the most that a cache in it may have.
            num_positions: S, the most of a row of that many, what comes before included; fewer
                rows may have more positions.
            device: of the caches.
        """
        self.num_rows = num_rows
        self.num_positions = num_positions
        self.counted_1 = torch.zeros(1, dtype=torch.int64, device=device)
        self._flat: dict[tuple[nn.Module, int], Tensor] = {}

    def holds(self, num_rows: int, num_positions: int) -> bool:
        """Whether a cache of so many rows and positions fits into it."""
        return (
            num_rows <= self.num_rows
            and num_rows * num_positions <= self.num_rows * self.num_positions
        )

    def of_layer(self, module: nn.Module, part: int, shape: torch.Size, like: Tensor) -> Tensor:
        """A view for one layer's keys (part 0) or values (part 1).

        Args:
            module: the layer. part: which.
            shape: [R, H, S, C], which ``holds`` has allowed.
            like: of the format and on the device of the memory.
        """
        heads_and_width = shape[1] * shape[3]
        flat = self._flat.get((module, part))
        if flat is None:
            largest = self.num_rows * self.num_positions * heads_and_width
            flat = self._flat[module, part] = like.new_empty(largest)
        return flat[: math.prod(shape)].view(shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values."""
        return sum(flat.nbytes for flat in self._flat.values())


class DecodingState:
    """The cache of a batch of left-padded prompts.

    All rows share one write position, since prompts are padded on the left to one length.

    Attributes:
        length: positions that are there, in an open cache.
        is_frozen: whether the device counts the positions.
        before: positions before the prompts in every row and are there from the start.
    """

    before = 0

    def __init__(
        self, num_padding_B: Tensor, capacity: int, storage: CacheStorage | None = None
    ) -> None:
        """Starts empty.

        Args:
            num_padding_B: [R] how many of the first positions of each row are padding; kept and
                written to, not copied.
            capacity: the most positions, prompt and continuation together.
            storage: the memory that it shares with others; else it has its own.
        """
        self._storage = storage
        self.num_padding_B = num_padding_B
        self.capacity = capacity
        self.length = 0
        self.is_frozen = False
        self._counted_1 = None if storage is None else storage.counted_1
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
            self._memory(module, part, tensor, self.before + self.capacity).zero_()
            for part, tensor in enumerate((key, value))
        )
        return first, second

    def _memory(self, module: nn.Module, part: int, like: Tensor, num_positions: int) -> Tensor:
        """[R, H, S, C] of any content, for as many rows as the cache has."""
        shape = torch.Size((len(self.num_padding_B), like.shape[1], num_positions, like.shape[3]))
        if self._storage is None:
            return like.new_empty(shape)
        return self._storage.of_layer(module, part, shape, like)

    def layers(self) -> list[tuple[Tensor, Tensor]]:
        """All layers' keys and values in the order in which they came, each for all positions."""
        return [(keys, values) for keys, values in self._layers.values()]

    def layers_by_module(self) -> dict[nn.Module, tuple[Tensor, Tensor]]:
        """As ``layers``, by the attention layer that gave them."""
        return {module: (keys, values) for module, (keys, values) in self._layers.items()}

    def freeze(self) -> None:
        """From now on positions come one at a time, and the device counts them."""
        if self._counted_1 is None:
            self._counted_1 = torch.zeros(1, dtype=torch.int64, device=self.num_padding_B.device)
        self._counted_1.fill_(self.length)
        self.is_frozen = True
        self._masks.clear()

    def reopen(self, num_padding_B: Tensor) -> None:
        """Begins a new batch of as many rows in the same memory, of whose content nothing stays."""
        self.num_padding_B.copy_(num_padding_B)
        self.length = 0
        self.is_frozen = False
        self._layers.clear()
        self._masks.clear()

    def take(self, other: DecodingState, rows: Tensor) -> None:
        """Becomes what ``other`` is for the given rows; both are in the same storage.

        What ``other`` has in that memory is overwritten.
        """
        assert self._storage is not None and self._storage is other._storage
        # What is picked is a copy: memory of the two overlaps.
        self.num_padding_B.copy_(other.num_padding_B[rows])
        for module, kept in other._layers.items():
            taken = []
            for part, source in enumerate(kept):
                picked = source.index_select(0, rows)
                taken.append(self._memory(module, part, source, source.shape[2]).copy_(picked))
            self._layers[module] = tuple(taken)
        self.is_frozen = True
        self._masks.clear()

    def drop_masks(self) -> None:
        """Forgets what a pass that did not end has made for its layers."""
        self._masks.clear()

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

    def mask(self, num_queries: int, window: int | None) -> Tensor | None:
        """Boolean ``[R, 1, T, S]``: which keys each query of the present call may see.

        None where the call is over whole rows, which need nothing of the cache.
        """
        cached = self._masks.get((num_queries, window))
        if cached is None:
            cached = self._masks[(num_queries, window)] = self._mask(num_queries, window)
        return cached

    def in_cache_order(self, query: Tensor) -> Tensor:
        """[R, ...] of the pass's rows in the order in which the cache holds them."""
        return query

    def in_row_order(self, found: Tensor) -> Tensor:
        """The opposite of ``in_cache_order``."""
        return found

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
