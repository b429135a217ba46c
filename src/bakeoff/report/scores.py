"""The scores of single test rows, over all seeds of a method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bakeoff.report.load import CANDIDATES, PREDICTIONS_FILE, Run, candidates_in_order, lines

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One method's scores over all test rows. Axis letters: S seeds, N test rows by index.

    Attributes:
        written_SN: [S, N] the run's ``row_metric``, such as ROUGE-1 in 0..1.
        nll_SN, tokens_SN: [S, N] summed nats and tokens of each reference, or None.
    """

    written_SN: Floats
    nll_SN: Floats | None
    tokens_SN: Floats | None


def all_scores(run: Run, method: str) -> Scores | None:
    """The scores of every seed of a method that has all rows; None where none has."""
    indices = sorted(example.index for example in run.examples)
    written, nlls, tokens = [], [], []
    for candidate in candidates_in_order(run.results, method):
        path = run.folder / CANDIDATES / candidate / PREDICTIONS_FILE
        rows = {row["index"]: row for row in lines(path, [])}
        found = [
            _column([rows.get(i, {}).get(key) for i in indices])
            for key in (run.row_metric.name, "nll", "tokens")
        ]
        if found[0] is None:
            continue
        written.append(found[0])
        if found[1] is not None and found[2] is not None:
            nlls.append(found[1])
            tokens.append(found[2])
    if not written:
        return None
    has_nll = len(nlls) == len(written)
    return Scores(
        written_SN=np.stack(written),
        nll_SN=np.stack(nlls) if has_nll else None,
        tokens_SN=np.stack(tokens) if has_nll else None,
    )


def _column(values: list[object]) -> Floats | None:
    """[N] the values, None where one of them is not a finite number."""
    if not values or not all(type(value) in (int, float) for value in values):
        return None
    column = np.array(values, dtype=np.float64)
    return column if np.isfinite(column).all() else None
