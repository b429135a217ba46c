"""Whether a complete run's folder still holds what its results rest on, and what it promises."""

from __future__ import annotations

from pathlib import Path

from bakeoff.errors import StoreError
from bakeoff.execution.archive import RECORD_FILE
from bakeoff.runs.hashes import changed_file, damaged
from bakeoff.runs.reading import from_json, read_json
from bakeoff.runs.records import FileRecord, Results

_FIRST_EDITION = ("candidate.json", "baseline.json")
"""Records of the first edition, which knew no hashes."""


def damaged_part(folder: Path, results: Results) -> str | None:
    """The first file of a complete run that is missing or not as it was written, in words.

    Args:
        folder: the run's. results: its own, complete.

    Returns:
        None where all files are whole. Of a folder of the first edition nothing is known.
    """
    changed = changed_file(folder)
    if changed is not None:
        return changed
    finals = {name for method in results.methods.values() for name in method.candidates}
    for name, candidate in results.candidates.items():
        place = folder / "candidates" / name
        is_wanted = name in finals or candidate.rows is not None
        if not candidate.files and is_wanted and candidate.state.is_eligible:
            if not _is_first_edition(place):
                return f"{place}: no record of its files was kept"
            continue
        fault = damaged(place, candidate.files)
        if fault is not None:
            return fault
    for name in results.baselines:
        fault = _damaged_baseline(folder / "baselines" / name)
        if fault is not None:
            return fault
    return None


def _damaged_baseline(place: Path) -> str | None:
    if _is_first_edition(place):
        return None
    content, where = read_json(place / RECORD_FILE), str(place / RECORD_FILE)
    files = content.get("files") if isinstance(content, dict) else None
    if not isinstance(files, dict) or not files:
        return f"{where}: is missing or torn"
    try:
        records = {path: from_json(FileRecord, file, where=where) for path, file in files.items()}
    except StoreError as error:
        return str(error)
    return damaged(place, records)


def _is_first_edition(place: Path) -> bool:
    return any((place / name).exists() for name in _FIRST_EDITION)
