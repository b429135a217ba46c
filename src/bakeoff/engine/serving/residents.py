"""An adapter in memory: where it acts, and the keys and values that it has before all tokens.

Each resident has tensors of its own size, so that hundreds of adapters of all methods may be known
and as many be in memory as fit. What a method puts before the tokens, a prefix or a soft prompt, is
computed once, here, and copied into the seat of each row.

Axis letters: ``P`` positions before the tokens, ``D`` width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bakeoff.base.attention.decoding import DecodingState
from bakeoff.base.attention.interface import decoding
from bakeoff.base.attention.seats import Layer, SeatCache
from bakeoff.base.model import Base
from bakeoff.base.prefix import prefix_of_embeddings
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.grouped_rows import GroupedRows
from bakeoff.methods.contract import Method, Tensors
from bakeoff.methods.stack import StackHooks

Shapes = dict[nn.Module, tuple[tuple[int, int], tuple[int, int]]]


@dataclass(eq=False)
class Resident:
    """One adapter, or the untuned base, ready to take rows.

    Attributes:
        number: by which rows of one adapter are grouped.
        lane: the base that it acts on, with its seats.
        acting: where. before: keys and values before all tokens, none for most methods.
        num_before: positions of those.
        num_bytes: of what it holds, a lane of its own included.
        num_rows: rows that are using it.
        used: when it was last asked for, as a count of admissions.
    """

    number: int
    lane: Lane
    acting: StackHooks
    before: Sequence[Layer] = ()
    num_before: int = 0
    num_bytes: int = 0
    num_rows: int = 0
    used: int = 0
    owns_lane: bool = False


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Tokens of one row that a pass reads.

    Attributes:
        resident: under which adapter. seat: of the row. start: the first one's position.
        ids: the tokens. num_wanted: of how many of the last ones the logits are wanted.
    """

    resident: Resident
    seat: int
    start: int
    ids: Sequence[int]
    num_wanted: int = 1


class Lane:
    """A base with its seats: the shared one, or one that an adapter has for itself.

    Args:
        base: whose passes these are. num_seats, capacity: as of ``SeatCache``.
        cohort: an adapter's own, where the base is its own; else the sites are for all adapters.
    """

    def __init__(
        self, base: Base, num_seats: int, capacity: int, cohort: Cohort | None = None
    ) -> None:
        self.base = base
        self._cohort = cohort
        self._exit = ExitStack()
        self._enter()
        self.cache = SeatCache(
            num_seats, capacity, key_shapes(base), base.compute_dtype, base.device
        )
        self.free = list(range(num_seats - 1, -1, -1))

    def _enter(self) -> None:
        base = self.base
        if self._cohort is not None:
            self._exit.enter_context(self._cohort)
        else:
            names = [*base.linear_layers(), *base.norm_layers(), *base.expert_layers()]
            self._exit.enter_context(base.sites(names, 1))

    def close(self) -> None:
        """Gives the base back as it was."""
        self._exit.close()

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """The base as it was, inside: sites rename the parameters below them."""
        self._exit.close()
        try:
            yield
        finally:
            self._enter()

    @property
    def capacity(self) -> int:
        """Positions of a seat."""
        return self.cache.capacity

    @property
    def num_taken(self) -> int:
        """Seats in which a row sits."""
        return self.cache.num_seats - len(self.free)

    def take(self, resident: Resident) -> int:
        """A free seat, the lowest, for a row of this adapter."""
        seat = min(self.free)
        if resident.num_before:
            self.cache.put(seat, resident.before, resident.num_before)
        # Last, so that a seat that cannot be filled is not lost.
        self.free.remove(seat)
        return seat

    def leave(self, seat: int, *, clear: bool = False) -> None:
        """Frees a seat; ``clear`` where its content may be no numbers."""
        if clear:
            self.cache.clear(seat)
        self.free.append(seat)

    @torch.no_grad()
    def read(self, pieces: Sequence[Piece]) -> list[Tensor]:
        """One pass over pieces of any adapters of this lane.

        Returns:
            For each piece [num_wanted, V] float32 logits.
        """
        order = sorted(range(len(pieces)), key=lambda place: pieces[place].resident.number)
        rows = [pieces[place] for place in order]
        sizes, acting, wanted = [], [], []
        last: Resident | None = None
        for piece in rows:
            if piece.resident is not last:
                sizes.append(0)
                wanted.append(0)
                acting.append(piece.resident.acting)
                last = piece.resident
            sizes[-1] += 1
            wanted[-1] += piece.num_wanted
        base = self.base
        length = max(len(piece.ids) for piece in rows)
        padded = [[*piece.ids, *([0] * (length - len(piece.ids)))] for piece in rows]
        position_RT = self.cache.begin(
            [piece.seat for piece in rows],
            [piece.start for piece in rows],
            [len(piece.ids) for piece in rows],
        )
        grouped_rows = GroupedRows(base, sizes, acting)
        with grouped_rows.groups(), self._autocast():
            x_RTD = grouped_rows.embed(torch.tensor(padded, device=base.device))
            with decoding(self.cache):
                hidden_RTD = base.hidden_states(x_RTD, position_RT)
            places = [
                row * length + len(piece.ids) - piece.num_wanted + offset
                for row, piece in enumerate(rows)
                for offset in range(piece.num_wanted)
            ]
            if not places:
                return [torch.empty(0)] * len(pieces)
            flat = hidden_RTD.flatten(0, 1)
            if len(places) < len(flat):
                flat = flat.index_select(0, torch.tensor(places, device=base.device))
            chosen = [(n, a) for n, a in zip(wanted, acting, strict=True) if n]
            heads = GroupedRows(base, [n for n, _ in chosen], [a for _, a in chosen])
            logits_NV = heads.logits(flat)
        parts = logits_NV.split([piece.num_wanted for piece in rows])
        found: list[Tensor] = [logits_NV] * len(pieces)
        for place, part in zip(order, parts, strict=True):
            found[place] = part
        return found

    def _autocast(self) -> ExitStack:
        stack = ExitStack()
        if self._cohort is not None:
            stack.enter_context(self._cohort.autocast())
        return stack


@torch.no_grad()
def key_shapes(base: Base) -> Shapes:
    """The (heads, width) of each attention layer's keys and values, by a pass over one token."""
    device = base.device
    state = DecodingState(torch.zeros(1, dtype=torch.int64, device=device), 1)
    ids_11 = torch.zeros((1, 1), dtype=torch.int64, device=device)
    with base.untuned(), decoding(state):
        base.hidden_states(base.embedding(ids_11), ids_11)
    return {
        module: ((keys.shape[1], keys.shape[3]), (values.shape[1], values.shape[3]))
        for module, (keys, values) in state.layers_by_module().items()
    }


def seat_bytes(shapes: Shapes, capacity: int, dtype: torch.dtype) -> int:
    """Bytes that one seat takes."""
    numbers = sum(heads * width for parts in shapes.values() for heads, width in parts)
    return numbers * (capacity + 1) * dtype.itemsize


@dataclass
class OwnSeats:
    """What a base of its own gets: few seats, since each pass of it serves its rows alone."""

    num_seats: int = 4


@torch.no_grad()
def make_resident(
    number: int, lane: Lane, method: Method | None, tensors: Tensors, own: OwnSeats
) -> Resident:
    """Brings an adapter into memory.

    Args:
        number: of the new resident. lane: the shared base's.
        method: None is the untuned base. tensors: the candidate's.
        own: the seats of methods with a base of their own.
    """
    if method is None:
        return Resident(number, lane, StackHooks())
    cohort = Cohort(method.base, [method], 1)
    cohort.seat(0, method, tensors)
    num_values = sum(s.num_values + s.num_fixed for s in cohort.stacks.values())
    # In float32, and what is computed from it once in compute dtype.
    num_bytes = num_values * (4 + lane.base.compute_dtype.itemsize)
    if cohort.base is not method.base:
        private = Lane(cohort.base, own.num_seats, lane.capacity, cohort)
        num_bytes = cohort.base.num_bytes + private.cache.nbytes
        return Resident(number, private, StackHooks(), num_bytes=num_bytes, owns_lane=True)
    acting = cohort.acting(0, settled=True)
    before: Sequence[Layer] = ()
    num_before = 0
    if acting.prompt is not None:
        vectors_1PD, lengths_1 = acting.prompt()
        found = prefix_of_embeddings(lane.base, vectors_1PD[0, : int(lengths_1[0])])
        before, num_before = found.layers, found.num_positions
    elif acting.prefix is not None:
        prefix = acting.prefix().to(lane.base.compute_dtype)
        before, num_before = prefix.layers, int(prefix.lengths_K[0])
    num_bytes += sum(part.nbytes for layer in before for part in layer)
    return Resident(number, lane, acting, before, num_before, num_bytes)
