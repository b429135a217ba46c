"""Scores of a crossed study's cells on the rows that all of them have.

Axis letters: N rows of one cell's set, M rows that all cells share, C columns of statistics.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import StoreError
from bakeoff.execution.archive import RECORD_FILE, SCORE_FILES, also_files, score_file
from bakeoff.metrics.judge import NAME as JUDGE
from bakeoff.runs.arrays import read_arrays
from bakeoff.runs.places import BASELINES, CANDIDATES, CELLS
from bakeoff.runs.reading import RESULTS_FILE, read_json, read_results
from bakeoff.runs.records import Results
from bakeoff.study.cells import TEST, OpenedCell, SetRows
from bakeoff.study.study import Study

_COUNTED: Final = frozenset({"empty", "unfinished", "invalid"})
_NOT_HERE: Final = _COUNTED | {JUDGE}
"""A cell that someone had judged alone was judged against an answer of its own."""
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class CellScores:
    """What one cell's runs reached on one set, row by row of the cell.

    Attributes:
        methods: by name, by seed, then by metric. baselines: by plain name, by draw.
        external: those of the methods whose answers were made elsewhere.
    """

    methods: Mapping[str, Sequence[Arrays]]
    baselines: Mapping[str, Sequence[Arrays]]
    external: frozenset[str] = frozenset()


def folder_of(place: Path, label: str) -> Path:
    """A cell's folder below its study's."""
    return place / CELLS / label


def read_cells(place: Path, labels: Iterable[str]) -> dict[str, Results]:
    """By label the results of the cells that have any.

    Args:
        place: the study's folder. labels: of all cells.
    """
    found: dict[str, Results] = {}
    for label in labels:
        folder = folder_of(place, label)
        if (folder / RESULTS_FILE).is_file():
            try:
                found[label] = read_results(folder)
            except StoreError:
                continue  # torn; its run writes it again
    return found


def baseline_names(
    study: Study, cells: Mapping[str, Results], opened: Mapping[str, OpenedCell]
) -> dict[tuple[str, str], str]:
    """By (label, plain name) what a baseline is called in the study.

    One that asks no model says the same in every cell, and is named once.
    """
    without = {one.name for one in study.baselines if one.outputs is not None}
    found: dict[tuple[str, str], str] = {}
    for label, results in cells.items():
        place = opened[label].cell.place
        for plain in results.baselines:
            if plain not in without:
                found[label, plain] = place.variant(plain)
            elif plain not in found.values():
                found[label, plain] = plain
    return found


def read_scores(folder: Path, results: Results, rows: SetRows, name: str) -> CellScores:
    """The scores of a cell's tested runs on a set.

    Args:
        folder: the cell's. results: its own. rows: the set's. name: of the set.
    """
    size = len(rows.numbers)
    file = SCORE_FILES[TEST] if name == TEST else also_files(name)[0]
    methods = {}
    for method, record in results.methods.items():
        eligible = [c for c in record.candidates if results.candidates[c].state.is_eligible]
        found = [_read(folder / CANDIDATES / one / file, size) for one in eligible]
        if known := [one for one in found if one is not None]:
            methods[method] = known
    baselines = {}
    for baseline in results.baselines:
        place = folder / BASELINES / baseline
        kept = read_json(place / RECORD_FILE)
        draws = kept.get("draws", 1) if isinstance(kept, dict) and name == TEST else 1
        files = [file, *(score_file(TEST, draw) for draw in range(1, int(draws)))]
        found = [_read(place / one, size) for one in files]
        if found and all(one is not None for one in found):
            baselines[baseline] = [one for one in found if one is not None]
    external = frozenset(n for n, one in results.methods.items() if one.external is not None)
    return CellScores(methods=methods, baselines=baselines, external=external)


def _read(path: Path, size: int) -> Arrays | None:
    """The statistics by metric; None where the file is missing, torn, or of other rows."""
    found = read_arrays(path)
    if found is None or any(len(array) != size for array in found.values()):
        return None
    return {key: array for key, array in found.items() if key not in _NOT_HERE and array.ndim == 2}


def shared_rows(opened: Mapping[str, OpenedCell], name: str) -> NDArray[np.int64]:
    """[M] numbers in the source of the rows that every cell has in a set."""
    first, *others = (cell.rows[name].numbers for cell in opened.values())
    shared = np.unique(first)
    for numbers in others:
        shared = np.intersect1d(shared, numbers)
    return shared


def single_rows(
    opened: Mapping[str, OpenedCell], name: str, shared: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Those of the shared rows that became several in no cell, ascending."""
    found = shared
    for cell in opened.values():
        numbers, counts = np.unique(cell.rows[name].numbers, return_counts=True)
        found = np.intersect1d(found, numbers[counts == 1])
    return found


def on_rows(statistics: NDArray[Any], rows: SetRows, shared: NDArray[np.int64]) -> NDArray[Any]:
    """[M, C] statistics of the shared rows; those of a row that became several are added up.

    Args:
        statistics: [N, C]. rows: where they stand. shared: [M] numbers, ascending.
    """
    place = np.searchsorted(shared, rows.numbers)
    inside = np.isin(rows.numbers, shared)
    found = np.zeros((len(shared), statistics.shape[1]), dtype=np.float64)
    np.add.at(found, place[inside], statistics[inside])
    return found


def groups_of(rows: SetRows, shared: NDArray[np.int64]) -> list[str] | None:
    """[M] which of the shared rows hang together."""
    if rows.groups is None:
        return None
    of = dict(zip(rows.numbers.tolist(), rows.groups, strict=True))
    return [of[number] for number in shared.tolist()]
