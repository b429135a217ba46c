"""A cache of fixed seats: rows take a seat, leave it, and each has its own length.

All memory is taken at the start and none after it, so that what is served can never outgrow it. A
row's keys begin at position 0 of its seat, those of a prefix or of a soft prompt first. Every pass
says which seats its rows sit in and which positions they read; neighbours may be at any others.

Axis letters: ``S`` seats, ``R`` rows of a pass, ``H`` heads, ``T`` query positions, ``N`` positions
of a seat, ``C`` head width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bakeoff.base.attention.decoding import DecodingState

Layer = tuple[Tensor, Tensor]


class SeatCache(DecodingState):
    """Keys and values of all seats.

    Args:
        num_seats: S. capacity: positions of a seat.
        shapes: of each attention layer, by module, ((H, C) of keys, (H, C) of values).
        dtype: of the keys. device: where.
    """

    def __init__(
        self,
        num_seats: int,
        capacity: int,
        shapes: dict[nn.Module, tuple[tuple[int, int], tuple[int, int]]],
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        super().__init__(torch.zeros(num_seats, dtype=torch.int64, device=device), capacity)
        self.num_seats = num_seats
        # One position more, which padding writes to and nothing reads.
        self._layers = {
            module: tuple(
                torch.zeros((num_seats, heads, capacity + 1, width), dtype=dtype, device=device)
                for heads, width in parts
            )
            for module, parts in shapes.items()
        }
        self._order_R: Tensor | None = None
        self._back_R: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values."""
        return sum(part.nbytes for parts in self._layers.values() for part in parts)

    def begin(self, seats: Sequence[int], starts: Sequence[int], sizes: Sequence[int]) -> Tensor:
        """Says what the next pass reads.

        Args:
            seats: [R] of the rows, all different. starts: [R] the position of each one's first
                token. sizes: [R] tokens of each, one or more; what is right of them is padding.

        Returns:
            [R, T] the positions of all tokens; padding has the last one's.
        """
        device = self.num_padding_B.device
        numbers = torch.tensor([seats, starts, sizes], dtype=torch.int64)
        seat_R, start_R, size_R = numbers.to(device)
        place_T = torch.arange(max(sizes), device=device)
        is_real_RT = place_T < size_R[:, None]
        position_RT: Tensor = start_R[:, None] + place_T.minimum(size_R[:, None] - 1)
        self._seat_R1 = seat_R[:, None]
        self._write_RT = torch.where(is_real_RT, position_RT, self.capacity)
        self._end = max(start + size for start, size in zip(starts, sizes, strict=True))
        ordered = sorted(range(len(seats)), key=seats.__getitem__)
        low, high = seats[ordered[0]], seats[ordered[-1]]
        self._order_R = self._back_R = None
        if ordered != list(range(len(seats))):
            self._order_R = torch.tensor(ordered, device=device)
            self._back_R = self._order_R.argsort()
        # Neighbouring seats are looked at where they are; others are copied together.
        self._span = slice(low, high + 1) if high - low == len(seats) - 1 else None
        self._chosen_R = seat_R if self._order_R is None else seat_R[self._order_R]
        self._position_RT = position_RT if self._order_R is None else position_RT[self._order_R]
        self._masks.clear()
        return position_RT

    def append(self, module: nn.Module, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Writes ``[R, H, T, C]`` keys and values; returns the rows' in the order of seats."""
        found = []
        for room, new in zip(self._layers[module], (key, value), strict=True):
            room[self._seat_R1, :, self._write_RT] = new.transpose(1, 2).to(room.dtype)
            if self._span is not None:
                found.append(room[self._span, :, : self._end])
            else:
                found.append(room[:, :, : self._end].index_select(0, self._chosen_R))
        return found[0], found[1]

    def in_cache_order(self, query: Tensor) -> Tensor:
        """[R, ...] of the pass's rows, by seat."""
        return query if self._order_R is None else query.index_select(0, self._order_R)

    def in_row_order(self, found: Tensor) -> Tensor:
        """The opposite of ``in_cache_order``."""
        return found if self._back_R is None else found.index_select(0, self._back_R)

    def _mask(self, num_queries: int, window: int | None) -> Tensor:
        position_RT1 = self._position_RT[..., None]
        key_N = torch.arange(self._end, device=position_RT1.device)
        visible_RTN: Tensor = key_N <= position_RT1
        if window is not None:
            visible_RTN = visible_RTN & (key_N > position_RT1 - window)
        visible_R1TN: Tensor = visible_RTN[:, None]
        return visible_R1TN

    def put(self, seat: int, layers: Sequence[Layer], length: int) -> None:
        """Copies keys and values that an adapter has before all tokens into a seat's beginning.

        Args:
            seat: which. layers: in the base's order, each [1, H, P, C]. length: how many of the P.
        """
        for parts, given in zip(self._layers.values(), layers, strict=True):
            for room, part in zip(parts, given, strict=True):
                room[seat, :, :length] = part[0, :, :length].to(room.dtype)

    def clear(self, seat: int) -> None:
        """Forgets a seat's content, which may be no numbers: zero times NaN is NaN."""
        for parts in self._layers.values():
            for room in parts:
                room[seat].zero_()
