"""An earlier run put aside for a new one in its folder, and put back where none was begun."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from bakeoff.errors import StoreError
from bakeoff.runs.lock import HOLDER_FILE


def put_aside(path: Path) -> Path:
    """Renames a run's folder by the time, and returns where it is now.

    Args:
        path: the folder, by its own name: ``.`` has none to put aside.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    (path / HOLDER_FILE).unlink(missing_ok=True)
    aside = path.with_name(f"{path.name}.before-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.before-{stamp}-{number}")
    path.rename(aside)
    return aside


def bring_back(aside: Path, path: Path) -> None:
    """Puts an earlier run back, in the place of what a study that was not begun has written.

    Raises:
        StoreError: where it cannot be put back.
    """
    try:
        if path.exists():
            shutil.rmtree(path)
        aside.rename(path)
    except OSError as error:
        raise StoreError(
            f"{aside}: is the earlier run, and cannot be put back ({error}); rename it to {path}"
        ) from error
