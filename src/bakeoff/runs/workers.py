"""What the driver of a run says of its workers while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from bakeoff.runs.reading import read_json

WORKERS_FILE: Final = "workers.json"


def workers_of(folder: Path) -> dict[str, Any] | None:
    """What was last written of a run's workers; None where it has none."""
    found = read_json(folder / WORKERS_FILE)
    return found if isinstance(found, dict) and isinstance(found.get("workers"), list) else None
