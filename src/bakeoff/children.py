"""Processes that end with the one that started them, however that ends.

Run as a script it is what stands in between: it asks Linux to be killed with its parent, then
becomes the command that follows. As ``preexec_fn`` of ``Popen`` the same could hang a process of
several threads. It imports nothing of the package, so that this takes milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def dying_with_parent(command: Sequence[str]) -> list[str]:
    """A command that starts the same program, which Linux kills when this process is gone.

    More exactly when the thread is gone that starts it, which must therefore outlive it. On other
    systems the command stays as it is.

    Args:
        command: the program and its arguments.
    """
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def die_with_parent(parent: int) -> None:
    """Asks Linux to kill this process when its parent is gone; a fork does not inherit that.

    Args:
        parent: its number. If it is gone already, this process ends here.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before this was asked for
        os._exit(1)


def _become(parent: int, command: list[str]) -> None:
    die_with_parent(parent)
    os.execvp(command[0], command)


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
