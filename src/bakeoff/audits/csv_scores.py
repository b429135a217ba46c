"""Scores of single rows from a CSV file: ``method, seed, row``, and a column for each metric."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np

from bakeoff.audits.published import RowScores, Run
from bakeoff.errors import DataError

KEYS = ("method", "seed", "row")

Cells = dict[tuple[str, str], dict[str, tuple[int, list[float]]]]
"""For each method and seed, by the row's label, its line and its scores."""


def is_scores(file: Path, text: str) -> bool:
    """Whether a file is a table of scores, by its name and head."""
    return file.suffix.lower() == ".csv" and set(KEYS) <= set(_head(text))


def read_csv(file: Path, text: str, group: str) -> list[Run]:
    """The runs of one file, one for each method, seed and metric.

    Args:
        file: for messages. text: its content. group: what it was published with.

    Raises:
        DataError: a column that is missing, a cell that is no number, a row that occurs
            twice, or a run without a row that another has. Each names its line.
    """
    head = _head(text)
    metrics = [name for name in head if name not in KEYS]
    _check_head(file, head, metrics)
    cells = _cells(file, text, head, metrics)
    if not cells:
        raise DataError(f"{file}: line 1: there are no scores below the head; add a line for each")
    first = next(iter(cells))
    labels = tuple(cells[first])
    for (method, seed), rows in cells.items():
        _same_rows(file, first, cells[first], (method, seed), rows)
    runs = []
    for (method, seed), rows in cells.items():
        for at, metric in enumerate(metrics):
            values = np.array([rows[label][1][at] for label in labels])
            runs.append(
                Run(
                    group=group,
                    method=method,
                    seed=seed,
                    metric=metric,
                    value=float(values.mean()),
                    place=str(file),
                    num_rows=len(labels),
                    scores=RowScores(labels=labels, values=values),
                )
            )
    return runs


def _head(text: str) -> list[str]:
    line = text.partition("\n")[0].strip("\r")
    return [name.strip() for name in next(csv.reader([line]), [])]


def _check_head(file: Path, head: list[str], metrics: list[str]) -> None:
    shown = ", ".join(map(repr, head))
    twice = [name for name in head if head.count(name) > 1]
    if twice:
        raise DataError(f"{file}: line 1: the column {twice[0]!r} is there twice; rename one")
    if "" in head:
        raise DataError(f"{file}: line 1: a column has no name ({shown}); name every column")
    if not metrics:
        raise DataError(
            f"{file}: line 1: the columns are {shown}, with no metric beside them; add a column "
            "for each metric"
        )


def _cells(file: Path, text: str, head: list[str], metrics: list[str]) -> Cells:
    cells: Cells = {}
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    places = [head.index(name) for name in KEYS], [head.index(name) for name in metrics]
    try:
        next(reader)
        for line in reader:
            if not line:
                continue
            number = reader.line_num
            if len(line) != len(head):
                raise DataError(
                    f"{file}: line {number}: has {len(line)} cells where the head has {len(head)}; "
                    "give each column a cell"
                )
            method, seed, row = (_text(file, number, head[at], line[at]) for at in places[0])
            scores = [_score(file, number, head[at], line[at]) for at in places[1]]
            own = cells.setdefault((method, seed), {})
            if row in own:
                raise DataError(
                    f"{file}: line {number}: method {method!r}, seed {seed!r}, row {row!r} is on "
                    f"line {own[row][0]} already; keep one of them"
                )
            own[row] = number, scores
    except csv.Error as error:
        raise DataError(
            f"{file}: line {reader.line_num}: is not CSV ({error}); put text with commas or line "
            "breaks between double quotes"
        ) from None
    return cells


def _text(file: Path, number: int, column: str, cell: str) -> str:
    if not cell.strip():
        raise DataError(f"{file}: line {number}: {column} is empty; every line needs one")
    return cell.strip()


def _score(file: Path, number: int, column: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(
            f"{file}: line {number}: {column} is {cell!r}, expected a finite number; leave that "
            "row out for all methods, or that seed out"
        )
    return value


def _same_rows(
    file: Path,
    first: tuple[str, str],
    expected: dict[str, tuple[int, list[float]]],
    run: tuple[str, str],
    rows: dict[str, tuple[int, list[float]]],
) -> None:
    """Raises: DataError: where the two runs have not the same rows."""
    for one, other, mine, theirs in ((first, run, expected, rows), (run, first, rows, expected)):
        missing = next((label for label in mine if label not in theirs), None)
        if missing is not None:
            raise DataError(
                f"{file}: line {mine[missing][0]}: row {missing!r} of method {one[0]!r}, seed "
                f"{one[1]!r} is missing for method {other[0]!r}, seed {other[1]!r}; every run "
                "needs the same rows"
            )
