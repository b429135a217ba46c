"""Which adapters are in memory: loaded when a row asks, the least recently used ones leave."""

from __future__ import annotations

from collections.abc import Mapping

from bakeoff.engine.backends.memory import release_memory
from bakeoff.engine.serving.residents import Lane, OwnSeats, Resident, make_resident
from bakeoff.engine.serving.rows import Source


class AdapterPool:
    """Residents of all lanes within a bound of bytes.

    Args:
        lanes: the shared bases, by name.
        max_bytes: of all residents together; None is no bound. One that is alone may be larger.
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

    def get(self, source: Source) -> Resident | None:
        """The adapter, loaded if it must be; None while others that are in use take its room.

        Raises:
            BakeoffError: its files are missing or torn.
        """
        self._count += 1
        resident = self._residents.get(source.name)
        if resident is None:
            if self._is_over() and not self._evict(free=1):
                return None
            if not self._make_room(self._known_bytes.get(source.name, 0)):
                return None
            lane = self._lanes[source.lane]
            with lane.untouched():
                method, tensors = source.load()
                resident = make_resident(self._count, lane, method, tensors, self._own)
            self.num_loaded += 1
            self._known_bytes[source.name] = resident.num_bytes
            if not self._make_room(resident.num_bytes):
                close(resident)
                return None
            self._residents[source.name] = resident
        resident.used = self._count
        return resident

    def _is_over(self) -> bool:
        return self._max_bytes is not None and self.num_bytes >= self._max_bytes

    def _make_room(self, num_bytes: int) -> bool:
        if self._max_bytes is None or not self._residents:
            return True
        free = self._max_bytes - self.num_bytes
        return free >= num_bytes or self._evict(free=num_bytes - free) or not self._residents

    def _evict(self, free: int) -> bool:
        """Lets idle adapters go, the least recently used first, until so many bytes are free."""
        idle = sorted(
            (r.used, name) for name, r in self._residents.items() if not r.num_rows and r.num_bytes
        )
        chosen, freed = [], 0
        for _, name in idle:
            if freed >= free:
                break
            chosen.append(name)
            freed += self._residents[name].num_bytes
        for name in chosen:
            close(self._residents.pop(name))
            self.num_evicted += 1
        if chosen:
            release_memory()
        return freed >= free

    def drop(self, name: str) -> None:
        """Forgets an idle adapter, so that its files are read again when it is next asked for."""
        resident = self._residents.get(name)
        if resident is not None and not resident.num_rows:
            close(self._residents.pop(name))


def close(resident: Resident) -> None:
    """Gives back a base of its own."""
    if resident.owns_lane:
        resident.lane.close()
