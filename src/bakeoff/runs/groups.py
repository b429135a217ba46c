"""Which test rows of a run hang together: rows of one group, or pieces of one text.

What leaves rows out to see what they decide leaves out whole groups. A run keeps them only where
there are some.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bakeoff.runs.reading import read_json
from bakeoff.runs.storage import Storage

GROUPS_FILE: Final = "groups.json"


def keep_groups(storage: Storage, groups: Mapping[str, Sequence[str] | None]) -> None:
    """Writes the groups of a run's test rows.

    Args:
        groups: by set, as its scores' files are called (``test``, ``also-NAME``), [rows] the group
            of each; None where every row stands alone.
    """
    known = {name: _numbered(found) for name, found in groups.items() if found is not None}
    if known:
        storage.write_json(GROUPS_FILE, known, checksum=True)


def groups_of(folder: Path) -> dict[str, NDArray[np.int64]]:
    """By set, [rows] the number of each row's group; sets whose rows stand alone are not there."""
    found = read_json(folder / GROUPS_FILE)
    if not isinstance(found, dict):
        return {}
    return {name: np.array(numbers, dtype=np.int64) for name, numbers in found.items()}


def _numbered(groups: Sequence[str]) -> list[int]:
    """Groups by number, in the order in which they first come."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(group, len(numbers)) for group in groups]
