"""The engine of a server: bases with their seats, and the running batch over them."""

from __future__ import annotations

from bakeoff.base.model import Base
from bakeoff.engine.serving.batcher import Batcher
from bakeoff.engine.serving.limits import Limits
from bakeoff.engine.serving.residents import Lane, key_shapes, seat_bytes
from bakeoff.errors import ConfigError
from bakeoff.formatting import shown_bytes
from bakeoff.serve.catalogue import Catalogue, open_catalogue
from bakeoff.serve.options import ServeOptions

_FOR_ADAPTERS = 0.25
"""Of what memory is left beside the bases."""


class Engine:
    """Loads everything; use ``close`` in the end.

    Args:
        options: see ``ServeOptions``.

    Attributes:
        catalogue: the models. batcher: takes rows. lanes: the shared bases' seats, by name.

    Raises:
        BakeoffError: something cannot be served, or not within the memory.
    """

    def __init__(self, options: ServeOptions) -> None:
        self.options = options
        self.catalogue: Catalogue = open_catalogue(options)
        bases = self.catalogue.bases
        room = _room(options, list(bases.values()))
        share = int(room * (1 - _FOR_ADAPTERS) / len(bases))
        self.lanes: dict[str, Lane] = {}
        try:
            for name, base in bases.items():
                self.lanes[name] = _lane(options, base, share)
        except BaseException:
            self._close_lanes()
            raise
        seats = sum(lane.cache.nbytes for lane in self.lanes.values())
        self.batcher = Batcher(
            self.lanes,
            Limits(
                max_queue=options.max_queue,
                queue_seconds=options.queue_seconds,
                prefill_tokens=options.prefill_tokens,
                max_adapter_bytes=max(1, room - seats),
            ),
        )
        self.batcher.start()

    @property
    def num_seats(self) -> int:
        """Of all shared bases."""
        return sum(lane.cache.num_seats for lane in self.lanes.values())

    def capacity(self, lane: str) -> int:
        """Positions of a seat."""
        return self.lanes[lane].capacity

    def close(self) -> None:
        """Lets running rows finish and ends the thread."""
        has_ended = self.batcher.stop(timeout=self.options.drain_seconds)
        if has_ended:  # under a pass that hangs nothing is taken away
            self._close_lanes()

    def _close_lanes(self) -> None:
        for lane in self.lanes.values():
            lane.close()


def _room(options: ServeOptions, bases: list[Base]) -> int:
    """Bytes for caches and adapters."""
    weights = sum(base.num_bytes for base in bases)
    if options.max_memory is not None:
        room = options.max_memory - weights
        if room <= 0:
            raise ConfigError(
                f"--max-memory {shown_bytes(options.max_memory)}: the weights alone take "
                f"{shown_bytes(weights)}; give more"
            )
        return room
    return _free_bytes(bases[0]) // 2


def _free_bytes(base: Base) -> int:
    if base.device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(base.device)[0])
    import psutil

    return int(psutil.virtual_memory().available)


def _lane(options: ServeOptions, base: Base, room: int) -> Lane:
    capacity = min(options.max_positions, base.max_positions or options.max_positions)
    each = seat_bytes(key_shapes(base), capacity, base.compute_dtype)
    seats = min(options.max_seats, room // each)
    if seats < 1:
        raise ConfigError(
            f"a seat of {capacity} positions takes {shown_bytes(each)}, and {shown_bytes(room)} "
            "are left for seats; raise --max-memory or lower --max-positions"
        )
    return Lane(base, seats, capacity)
