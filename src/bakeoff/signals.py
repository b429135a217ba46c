"""Where a handler of signals may raise, and where it must wait."""

from __future__ import annotations

from types import FrameType


def may_raise(frame: FrameType | None) -> bool:
    """Whether what a handler of signals raises leaves no lock held behind it.

    ``logging`` takes its lock without a ``finally`` where a level is set, and around each fork.
    What is raised there leaves it to this thread for good: every other one that comes to log, or
    begins a server's loop, waits for ever.

    Args:
        frame: what the signal interrupted, as a handler is given it.
    """
    while frame is not None:
        if frame.f_globals.get("__name__") == "logging":
            return False
        frame = frame.f_back
    return True
