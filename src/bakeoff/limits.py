"""Time and memory that programs of others may take: regular expressions, templates, schemas."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Final

from bakeoff.errors import BakeoffError
from bakeoff.signals import may_raise

SECONDS: Final = 5.0
"""Of the processor, for one use of an expression or a template; usual ones take milliseconds."""
_MEMORY: Final = 1 << 30
_PAGES: Final = Path("/proc/self/statm")
_PAGE: Final = 4096


class OverLimitError(BakeoffError, TimeoutError):
    """A program of others that took more time than it may."""


@contextlib.contextmanager
def limited(
    what: str, *, seconds: float | None = None, memory: int | None = None
) -> Iterator[None]:
    """Ends what runs inside when it has taken too much.

    Time is the processor's, so that a busy machine changes nothing, and is looked at by a signal:
    Python's regular expressions, too, stop for one. It is limited in the main thread of systems
    that have such a clock, and memory on Linux: elsewhere the block runs as it is. Blocks are not
    nested.

    Args:
        what: whose it is, for the error. seconds: at most; None for ``SECONDS``.
        memory: bytes that the process may ask for beyond what it has; None for a gibibyte.

    Raises:
        OverLimitError: it took too long. MemoryError: it asked for too much.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(
        signal, "setitimer"
    ):
        yield
        return
    most = SECONDS if seconds is None else seconds
    is_over = False

    def end(number: int, frame: FrameType | None) -> None:
        if is_over or not may_raise(frame):
            return  # there is a next signal, unless it is over
        raise OverLimitError(
            f"{what}: took more than {most:g} seconds of the processor, which is the limit"
        )

    before = signal.getsignal(signal.SIGVTALRM)
    # Inside, as another signal may raise at any line.
    try:
        signal.signal(signal.SIGVTALRM, end)
        # Again and again: what is raised inside a callback of the collector, or a `__del__`, is
        # lost.
        signal.setitimer(signal.ITIMER_VIRTUAL, most, most)
        with _memory(_MEMORY if memory is None else memory):
            yield
    finally:
        is_over = True
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before)


@contextlib.contextmanager
def _memory(more: int) -> Iterator[None]:
    """Lets the process ask for so many bytes more, where the system counts them."""
    if sys.platform != "linux":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = int(_PAGES.read_text(encoding="ascii").split()[0]) * _PAGE + more
    if soft != resource.RLIM_INFINITY:
        most = min(most, soft)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
