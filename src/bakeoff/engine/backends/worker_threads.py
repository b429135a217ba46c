"""Independent passes side by side on the cores of a CPU.

A product of a narrow model is over sooner than a sleeping thread wakes up, so that many cores on
one product help little. Here each core takes rows of its own through the whole pass instead, in a
thread that computes alone. On a GPU, on one core and for wide models there is one worker, which is
the calling thread.

What comes out depends on the number of workers and on nothing else: passes are cut by that number,
and their gradients are added in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import islice
from typing import TypeVar

import torch

from bakeoff.base.devices import kind_of
from bakeoff.base.model import Base

WIDEST = 384
"""Width of a base above which its products keep all cores busy (``docs/experiments.md``)."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class WorkerThreads:
    """Threads that each compute on one core.

    Attributes:
        num: how many there are.
    """

    def __init__(self, num: int) -> None:
        self.num = num
        self._pool: ThreadPoolExecutor | None = None

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Works on the items, as many at a time as there are workers.

        Args:
            work: called in a thread of its own; modes such as ``no_grad`` do not reach it.
            items: taken in waves, so that no more is in memory than the workers work on.

        Yields:
            The results in the items' order. An error of one item is raised once its wave is over.
        """
        if self.num == 1:
            yield from map(work, items)
            return
        waiting = iter(items)
        while wave := list(islice(waiting, self.num)):
            yield from self._together(work, wave)

    def _together(self, work: Callable[[Item], Result], wave: list[Item]) -> list[Result]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(
                self.num,
                thread_name_prefix="worker",
                initializer=torch.set_num_threads,
                initargs=(1,),
            )
        # The number of a library's threads holds for the process, so it is set for the wave.
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            pending = [self._pool.submit(work, item) for item in wave]
            errors = [future.exception() for future in pending]
        finally:
            torch.set_num_threads(threads)
        for error in errors:
            if error is not None:
                raise error
        return [future.result() for future in pending]


@cache
def _shared(num: int) -> WorkerThreads:
    return WorkerThreads(num)


ONE_WORKER = _shared(1)


def worker_threads_of(base: Base) -> WorkerThreads:
    """The workers of a base: on a CPU one for each of PyTorch's threads, if the base is narrow."""
    # Processes meet in each layer of a sharded base, in one order.
    is_plain = not base.is_compiled and not base.is_sharded
    if kind_of(base.device) != "cpu" or base.width > WIDEST or not is_plain:
        return ONE_WORKER
    return _shared(torch.get_num_threads())
