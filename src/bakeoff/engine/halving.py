"""Work on parts of an order, in halves where memory does not hold a part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from bakeoff.engine.backends.memory import may_try_smaller
from bakeoff.errors import OutOfMemoryError

Result = TypeVar("Result")


class Halving(Generic[Result]):
    """Calls ``work(start, stop)``, and where that runs out of memory its halves.

    Later parts need not find out again: none is larger than what has been too large. Worker threads
    may share one.

    Args:
        work: on places of an order, at least one.
        largest: places of the largest part to try.
        release: gives back what a failed call held.
        message: of the error where not even one place fits.
    """

    def __init__(
        self,
        work: Callable[[int, int], Result],
        *,
        largest: int,
        release: Callable[[], None],
        message: str,
    ) -> None:
        self._work = work
        self._largest = largest
        self._release = release
        self._message = message

    def run(self, start: int, stop: int) -> list[tuple[int, int, Result]]:
        """What the work gives, with the places that each result is of, in their order.

        Raises:
            OutOfMemoryError: if one place is too much.
        """
        size = stop - start
        if size <= self._largest:
            try:
                return [(start, stop, self._work(start, stop))]
            except (RuntimeError, MemoryError) as error:
                if not may_try_smaller(error):
                    raise
                if size == 1:
                    raise OutOfMemoryError(self._message) from error
            # Only here is the error gone, and with it what its frames held.
            self._release()
            self._largest = min(self._largest, size // 2)
        middle = start + (size + 1) // 2
        return [*self.run(start, middle), *self.run(middle, stop)]
