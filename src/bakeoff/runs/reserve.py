"""Room on the disk that a run keeps, so that one that fills still takes results and report."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

RESERVE_FILE: Final = ".reserve"
RESERVED_BYTES: Final = 8 * 2**20
"""Results and report of an ordinary study take less than one million."""


class Reserve:
    """A file of no content, which is there while the run is.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / RESERVE_FILE

    def take(self) -> None:
        """Allocates it; a disk that has no room for it, or cannot allocate, is left as it is."""
        if not hasattr(os, "posix_fallocate"):
            return
        try:
            with self._path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVED_BYTES)
        except OSError:
            self.give()

    def give(self) -> None:
        """Gives the room back."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
