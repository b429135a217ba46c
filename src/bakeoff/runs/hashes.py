"""Whether files are as they were written.

Three ways, by what a file is:

- What a record names in its ``files`` (adapters, scores, predictions) has size and SHA-256 there.
- A record that is read back before the study is complete (``record.json``, ``costs.json``, a line
  of ``events.jsonl``) ends with a ``checksum`` of its own other keys.
- All else that a complete run promises is in ``hashes.json``, which is written last.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from bakeoff.errors import StoreError
from bakeoff.files import sha256_of
from bakeoff.runs.candidates import FileRecord
from bakeoff.runs.checksums import checked, with_checksum
from bakeoff.runs.reading import EXAMPLES_FILE, RESULTS_FILE, from_json, to_json

HASHES_FILE: Final = "hashes.json"
PROMISED: Final = (
    *(RESULTS_FILE, EXAMPLES_FILE, "inputs.json", "costs.json", "notes.json", "events.jsonl"),
    *("candidates/*/record.json", "candidates/*/metrics.jsonl", "baselines/*/record.json"),
    *("judge/calls.jsonl", "groups.json"),
)
"""What a complete run holds besides the files that records name."""


def file_records(folder: Path, patterns: Iterable[str]) -> dict[str, FileRecord]:
    """Size and hash of the files below a folder that match, by their path in it."""
    found = sorted({file for pattern in patterns for file in folder.glob(pattern)})
    return {
        file.relative_to(folder).as_posix(): FileRecord(
            bytes=file.stat().st_size, sha256=sha256_of(file)
        )
        for file in found
        if file.is_file()
    }


def damaged(folder: Path, files: Mapping[str, FileRecord]) -> str | None:
    """The first file that is not as its record says, in words, or None."""
    for name, record in files.items():
        path = folder / name
        try:
            size, digest = path.stat().st_size, sha256_of(path)
        except OSError:
            return f"{path}: is missing or cannot be read"
        if size != record.bytes:
            return f"{path}: has {size:,} bytes, but was written with {record.bytes:,}"
        if digest != record.sha256:
            return f"{path}: its content changed since it was written"
    return None


def hashes_content(folder: Path) -> dict[str, Any]:
    """What ``hashes.json`` is to hold of a run's folder as it is now."""
    found = file_records(folder, PROMISED)
    return with_checksum({"files": {name: to_json(record) for name, record in found.items()}})


def changed_file(folder: Path, only: Collection[str] | None = None) -> str | None:
    """The first file that is not as it was when the run was complete, in words.

    Args:
        folder: the run's. only: looks at no others, of those in ``PROMISED``.

    Returns:
        None where all are whole, and of a folder that has no ``hashes.json``: one that is not
        complete, or that an older version wrote.
    """
    path = folder / HASHES_FILE
    try:
        content = checked(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        content = None
    files = content.get("files") if isinstance(content, dict) else None
    if not isinstance(files, dict):
        return f"{path}: is torn or changed"
    try:
        records = {name: from_json(FileRecord, one, where=str(path)) for name, one in files.items()}
    except StoreError as error:
        return str(error)
    return damaged(folder, {n: r for n, r in records.items() if only is None or n in only})
