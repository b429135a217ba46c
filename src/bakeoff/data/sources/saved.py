"""Folders that Datasets' ``save_to_disk`` wrote: a data set, or one for each split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from bakeoff.errors import DataError

_DICT: Final = "dataset_dict.json"
_STATE: Final = "state.json"
_INFO: Final = "dataset_info.json"


def saved_splits(folder: Path) -> list[str] | None:
    """The names of the splits of a saved ``DatasetDict``; None for other folders."""
    if not (folder / _DICT).is_file():
        return None
    splits = _object(folder / _DICT).get("splits")
    if not isinstance(splits, list) or not splits or not all(map(_is_name, splits)):
        raise _torn(folder / _DICT, "its splits are no list of names")
    return splits


def saved_files(folder: Path) -> tuple[Path, ...] | None:
    """The Arrow files of a saved ``Dataset`` in their order; None for other folders.

    Raises:
        DataError: what Datasets wrote about them is torn, or one of them is not there.
    """
    if not ((folder / _STATE).is_file() and (folder / _INFO).is_file()):
        return None
    entries = _object(folder / _STATE).get("_data_files")
    names = [
        entry.get("filename") if isinstance(entry, dict) else None
        for entry in (entries if isinstance(entries, list) else [None])
    ]
    if not names or not all(map(_is_name, names)):
        raise _torn(folder / _STATE, "its _data_files are no list of files of this folder")
    files = tuple(folder / str(name) for name in names)
    for file in files:
        if not file.is_file():
            raise _torn(folder / _STATE, f"it names {file.name}, which is not there")
    return files


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _torn(path, str(error)) from error
    if not isinstance(found, dict):
        raise _torn(path, "it is no object")
    return found


def _is_name(value: object) -> bool:
    """Whether a value names something in its folder, and nothing outside."""
    return isinstance(value, str) and value not in ("", ".", "..") and not set(value) & set("/\\\0")


def _torn(path: Path, why: str) -> DataError:
    return DataError(
        f"task.source: {path} cannot be used: {why}. Save the data set again with save_to_disk, "
        "or as .parquet or .jsonl files."
    )
