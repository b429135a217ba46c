"""The scores of single test rows, over all seeds of a method."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bakeoff.report.load import (
    PREDICTIONS_FILE,
    Run,
    candidates_in_order,
    examples_of,
    lines,
    shown_by,
)
from bakeoff.runs.places import candidate_folder

Floats = NDArray[np.float64]
NLL: Final = "nll"
BITS_PER_BYTE: Final = "bits_per_byte"


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One method's scores by one metric. Axis letters: S seeds, N test rows by index.

    The metric of a set of rows is the sum of their values over the sum of their weights.

    Attributes:
        values_SN, weights_SN: [S, N] such as ROUGE-1 in 0..1 and ones, or nats and tokens.
    """

    values_SN: Floats
    weights_SN: Floats

    @property
    def mean(self) -> float:
        """The metric over all rows, seeds averaged after it."""
        return float(np.mean(self.values_SN.sum(axis=1) / self.weights_SN.sum(axis=1)))

    @property
    def columns(self) -> list[Floats]:
        """For each seed [N, 2] values and weights."""
        pairs = zip(self.values_SN, self.weights_SN, strict=True)
        return [np.stack(pair, axis=1) for pair in pairs]


def all_scores(run: Run, method: str, metric: str) -> Scores | None:
    """The scores of every seed of a method that has all rows; None where none has.

    Args:
        run: the study's. method: the study's name of it.
        metric: one that has a score for each row, ``nll``, or ``bits_per_byte``, whose bytes are
            those of the reference in UTF-8.
    """
    indices = sorted(example.index for example in run.examples)
    size = {e.index: len(e.reference.encode("utf-8", "surrogatepass")) for e in run.examples}

    def own(row: Mapping[str, Any], _: int) -> tuple[object, object]:
        return row.get(metric), 1.0

    of_row = _READERS.get(metric, own)
    found: list[tuple[Floats, Floats]] = []
    index_of = examples_of(run.folder, run.results, run.results.methods[method].cell)
    for candidate in candidates_in_order(run.results, method):
        path = candidate_folder(run.folder, run.results, candidate) / PREDICTIONS_FILE
        rows = shown_by(index_of, {row["index"]: row for row in lines(path, [])})
        pairs = [of_row(rows.get(index, {}), size[index]) for index in indices]
        columns = [_column([pair[side] for pair in pairs]) for side in (0, 1)]
        if columns[0] is not None and columns[1] is not None and columns[1].sum() > 0.0:
            found.append((columns[0], columns[1]))
    if not found:
        return None
    values, weights = zip(*found, strict=True)
    return Scores(values_SN=np.stack(values), weights_SN=np.stack(weights))


def _nll(row: Mapping[str, Any], _: int) -> tuple[object, object]:
    return row.get("nll"), row.get("tokens")


def _bits(row: Mapping[str, Any], size: int) -> tuple[object, object]:
    nats = row.get("nll")
    return (nats / math.log(2) if isinstance(nats, int | float) else None), float(size)


_READERS: Final[dict[str, Callable[[Mapping[str, Any], int], tuple[object, object]]]] = {
    NLL: _nll,
    BITS_PER_BYTE: _bits,
}


def _column(values: list[object]) -> Floats | None:
    """[N] the values, None where one of them is not a finite number."""
    if not values or not all(type(value) in (int, float) for value in values):
        return None
    column = np.array(values, dtype=np.float64)
    return column if np.isfinite(column).all() else None
