"""Whether what the report reads is what the run wrote."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from bakeoff.errors import StoreError
from bakeoff.runs.candidates import FileRecord
from bakeoff.runs.hashes import changed_file, damaged
from bakeoff.runs.reading import EXAMPLES_FILE, RESULTS_FILE, from_json, read_json
from bakeoff.runs.records import Results

_log = logging.getLogger(__name__)
_MOST_NAMED: Final = 3
_REMEDY: Final = "the same `bakeoff run` makes it again"


def changed_files(folder: Path, results: Results) -> list[str]:
    """What the report must say of files that changed since the run wrote them; all are logged.

    A file that is gone is left out of the report, as it may be of a run that was handed on.

    Args:
        folder: the run's. results: its own.
    """
    found = [changed_file(folder, [name]) for name in (RESULTS_FILE, EXAMPLES_FILE)]
    for place, files in _answers(folder, results):
        there = {name: record for name, record in files.items() if (place / name).is_file()}
        found.append(damaged(place, there))
    notes = [f"{fault}; {_REMEDY}" for fault in found if fault is not None]
    for note in notes:
        _log.warning("%s", note)
    if len(notes) > _MOST_NAMED:
        further = len(notes) - _MOST_NAMED
        notes[_MOST_NAMED:] = [f"{further} more such files, which `bakeoff report` names"]
    return notes


def _answers(folder: Path, results: Results) -> Iterator[tuple[Path, dict[str, FileRecord]]]:
    """Folders of candidates and baselines with their files of answers."""
    for name, record in results.candidates.items():
        yield folder / "candidates" / name, _of_answers(record.files)
    for name in results.baselines:
        place = folder / "baselines" / name
        content = read_json(place / "record.json")
        files: Any = content.get("files") if isinstance(content, dict) else None
        try:
            kept = {
                path: from_json(FileRecord, file, where=str(place))
                for path, file in (files if isinstance(files, dict) else {}).items()
            }
        except StoreError:
            continue  # which the next run says
        yield place, _of_answers(kept)


def _of_answers(files: Mapping[str, FileRecord]) -> dict[str, FileRecord]:
    return {
        name: record
        for name, record in files.items()
        if name.startswith("predictions") and name.endswith(".jsonl")
    }
