"""One process per run's folder.

The lock is the operating system's (``flock`` where there is one), so that it goes with its process
however that ends. A file beside it names the holder, for the message.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psutil
from filelock import FileLock, Timeout

from bakeoff.errors import StoreError
from bakeoff.files import held

LOCK_FILE: Final = ".lock"
HOLDER_FILE: Final = ".lock-holder.json"


@contextmanager
def locked(folder: Path, *, keeps: str) -> Iterator[None]:
    """Holds the folder for this process; makes it where it is missing.

    Args:
        folder: a run's folder. keeps: the file by which a folder is known to be one.

    Raises:
        StoreError: if another process holds it, naming that, or if it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK_FILE)
        lock.acquire(timeout=0)
    except Timeout:
        raise StoreError(
            f"{folder}: {_holder(folder)} is running a study there; wait for it, stop it, or give "
            "another folder with --out"
        ) from None
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot be written ({error.strerror}): give a folder that can be written "
            "with --out"
        ) from error
    try:
        holder = {
            "pid": os.getpid(),
            "host": platform.node(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with contextlib.suppress(OSError):  # a full disk takes the holder's name, not the lock
            (folder / HOLDER_FILE).write_text(json.dumps(holder) + "\n", encoding="utf-8")
        with held(folder):
            yield
    finally:
        (folder / HOLDER_FILE).unlink(missing_ok=True)
        if not (folder / keeps).exists():
            # What was refused leaves nothing behind. In a run's folder the file stays: one that
            # is removed and made again would be two locks for a process that comes in between.
            (folder / LOCK_FILE).unlink(missing_ok=True)
        lock.release()


def is_running(folder: Path) -> bool:
    """Whether another process of this machine runs a study in a folder, by what the lock says.

    The lock itself is not tried: a study that starts at that moment would be refused.
    """
    try:
        holder = json.loads((folder / HOLDER_FILE).read_text(encoding="utf-8"))
        pid, host = holder["pid"], holder["host"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if type(pid) is not int or host != platform.node() or pid == os.getpid():
        return False
    return bool(psutil.pid_exists(pid))


def _holder(folder: Path) -> str:
    try:
        holder = json.loads((folder / HOLDER_FILE).read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']}, since {holder['since']},"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
