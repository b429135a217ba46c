"""Where the files of candidates and baselines are; those of a crossed study are in its cells."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from bakeoff.runs.records import BaselineRecord, MethodRecord, Results

CANDIDATES, BASELINES = "candidates", "baselines"
CELLS = "cells"
"""Of a crossed study: a folder for each cell."""
_AWAY = ("", ".", "..")


def is_folder_name(name: str) -> bool:
    """Whether an id names a folder of the run, and never a path that leads out of it."""
    return Path(name).name == name and name not in _AWAY and "\\" not in name


def cell_folder(folder: Path, results: Results, label: str | None) -> Path:
    """The folder of one cell of a crossed study; the run's own without a label."""
    if label is None or results.factors is None or label not in results.factors.cells:
        return folder
    parts = PurePosixPath(results.factors.cells[label].folder).parts
    # A record is data: it names folders below the run's and no others.
    return folder.joinpath(*parts) if all(map(is_folder_name, parts)) else folder


def candidate_folder(folder: Path, results: Results, candidate: str) -> Path:
    """The folder of a candidate of a run."""
    record = results.candidates.get(candidate)
    method: MethodRecord | None = None if record is None else results.methods.get(record.method)
    label = None if method is None else method.cell
    return cell_folder(folder, results, label) / CANDIDATES / candidate


def baseline_folder(folder: Path, results: Results, name: str) -> Path:
    """The folder of a baseline of a run."""
    record: BaselineRecord | None = results.baselines.get(name)
    if record is None or record.cell is None:
        return folder / BASELINES / name
    return cell_folder(folder, results, record.cell) / BASELINES / (record.plain_name or name)
