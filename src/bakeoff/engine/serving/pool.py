"""Which adapters are in memory: loaded when a row asks, the least recently used ones leave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from bakeoff.engine.backends.memory import release_memory
from bakeoff.engine.serving.residents import Lane, OwnSeats, Resident, make_resident
from bakeoff.engine.serving.rows import Source
from bakeoff.errors import BakeoffError
from bakeoff.formatting import shown_bytes


class AdapterTooLargeError(BakeoffError, MemoryError):
    """An adapter is larger than all that adapters may take."""


class AdapterPool:
    """Residents of all lanes within a bound of bytes.

    Args:
        lanes: the shared bases, by name.
        max_bytes: of all residents together; None is no bound.
        own: seats of an adapter with a base of its own.
    """

    def __init__(self, lanes: Mapping[str, Lane], max_bytes: int | None, own: OwnSeats) -> None:
        self._lanes = lanes
        self._max_bytes = max_bytes
        self._own = own
        self._residents: dict[str, Resident] = {}
        self._known_bytes: dict[str, int] = {}  # of those that were in memory before
        self._count = 0
        self.num_loaded = self.num_evicted = 0

    @property
    def num_bytes(self) -> int:
        """Bytes of the residents."""
        return sum(resident.num_bytes for resident in list(self._residents.values()))

    @property
    def names(self) -> list[str]:
        """Those in memory."""
        return list(self._residents)

    @property
    def lanes(self) -> list[Lane]:
        """Those of the shared bases, and those that residents have for themselves."""
        own = [r.lane for r in self._residents.values() if r.owns_lane]
        return [*self._lanes.values(), *own]

    def has_seat(self, source: Source) -> bool:
        """Whether a row of this adapter could sit down now, if the adapter were in memory."""
        return self._seats(source)[1] > 0

    def num_seatless(self, sources: Iterable[Source], *, if_idle: bool = False) -> int:
        """How many rows, one of each of these adapters, would find no seat.

        Args:
            sources: the adapters. if_idle: counts all seats, not those that are free now.
        """
        seats = self._all_seats if if_idle else self._seats
        free = dict(found := [seats(source) for source in sources])
        wanted = Counter(key for key, _ in found)
        return sum(max(0, count - free[key]) for key, count in wanted.items())

    def _all_seats(self, source: Source) -> tuple[tuple[str, str], int]:
        """(what names the lane of an adapter's rows, how many seats it has)"""
        if not source.has_own_base:
            return ("shared", source.lane), self._lanes[source.lane].cache.num_seats
        return ("own", source.name), self._own.num_seats

    def _seats(self, source: Source) -> tuple[tuple[str, str], int]:
        """(what names the lane of an adapter's rows, how many of its seats are free)"""
        if not source.has_own_base:
            return ("shared", source.lane), len(self._lanes[source.lane].free)
        resident = self._residents.get(source.name)
        free = self._own.num_seats if resident is None else len(resident.lane.free)
        return ("own", source.name), free

    def get(self, source: Source) -> Resident | None:
        """The adapter, loaded if it must be; None while others that are in use take its room.

        Raises:
            AdapterTooLargeError: it would not even fit alone.
            BakeoffError: its files are missing or torn.
        """
        self._count += 1
        resident = self._residents.get(source.name)
        if resident is None:
            expected = self._known_bytes.get(source.name, source.least_bytes)
            self._check(source, expected)
            if not self._make_room(expected):
                return None
            lane = self._lanes[source.lane]
            with lane.untouched():
                method, tensors = source.load()
                resident = make_resident(self._count, lane, method, tensors, self._own)
            self.num_loaded += 1
            self._known_bytes[source.name] = resident.num_bytes
            try:
                self._check(source, resident.num_bytes)
                has_room = self._make_room(resident.num_bytes)
            except AdapterTooLargeError:
                close(resident)
                raise
            if not has_room:
                close(resident)
                return None
            self._residents[source.name] = resident
        resident.used = self._count
        return resident

    def _check(self, source: Source, num_bytes: int) -> None:
        if self._max_bytes is not None and num_bytes > self._max_bytes:
            raise AdapterTooLargeError(
                f"{source.name!r} takes {shown_bytes(num_bytes)}, and adapters may take "
                f"{shown_bytes(self._max_bytes)}; start the server with more memory"
            )

    def _make_room(self, num_bytes: int) -> bool:
        if self._max_bytes is None:
            return True
        free = self._max_bytes - self.num_bytes
        return free >= num_bytes or self._evict(free=num_bytes - free)

    def _evict(self, free: int) -> bool:
        """Lets idle adapters go, the least recently used first, until so many bytes are free.

        Returns:
            Whether they are; none goes where all would not be enough.
        """
        idle = sorted(
            (r.used, name) for name, r in self._residents.items() if not r.num_rows and r.num_bytes
        )
        chosen, freed = [], 0
        for _, name in idle:
            if freed >= free:
                break
            chosen.append(name)
            freed += self._residents[name].num_bytes
        if freed < free:
            return False  # all stay: they would be loaded again for nothing
        for name in chosen:
            close(self._residents.pop(name))
            self.num_evicted += 1
        release_memory()
        return True

    def drop(self, name: str) -> None:
        """Forgets an idle adapter, so that its files are read again when it is next asked for."""
        resident = self._residents.get(name)
        if resident is not None and not resident.num_rows:
            close(self._residents.pop(name))


def close(resident: Resident) -> None:
    """Gives back a base of its own."""
    if resident.owns_lane:
        resident.lane.close()
