"""The scores of single test rows, over all seeds of a method."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bakeoff.decide.judged import few_label_rows
from bakeoff.errors import BakeoffError
from bakeoff.metrics.base import is_mean, ratio, with_ones
from bakeoff.metrics.contract import Metric
from bakeoff.metrics.registry import MAIN_OPTIONS, metric_of, named_options
from bakeoff.report.load import (
    PREDICTIONS_FILE,
    Run,
    candidates_in_order,
    examples_of,
    lines,
    shown_by,
)
from bakeoff.runs.arrays import read_arrays
from bakeoff.runs.places import candidate_folder
from bakeoff.runs.records import Results
from bakeoff.runs.settings import setting

Floats = NDArray[np.float64]
Value = Callable[[NDArray[Any]], Floats]
NLL: Final = "nll"
BITS_PER_BYTE: Final = "bits_per_byte"
_SCORES_FILE: Final = "scores/test.npz"


def _ratio(sums: NDArray[Any]) -> Floats:
    return ratio(sums[..., 0], sums[..., 1])


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One method's scores by one metric. Axis letters: S seeds, N test rows by index, C columns.

    Attributes:
        statistics_SNC: [S, N, C] what each row adds: of a mean such as ROUGE-1 in 0..1 and ones, or
            nats and tokens.
        value: the metric's function of sums over rows, [..., C] to [...].
        is_ratio: whether that is column 0 over column 1.
        withheld: why nothing may be said by the metric, as ``few_label_rows`` says it.
    """

    statistics_SNC: Floats
    value: Value = _ratio
    is_ratio: bool = True
    withheld: str | None = None

    @property
    def mean(self) -> float:
        """The metric over all rows, seeds averaged after it."""
        return float(np.mean(self.value(self.statistics_SNC.sum(axis=1))))


def all_scores(run: Run, method: str, metric: str) -> Scores | None:
    """The scores of every seed of a method that has all rows; None where none has.

    A metric need not be the mean of its rows, as corpus chrF is not: then its own function of what
    was kept of each row counts, and where either is missing, nothing does.

    Args:
        run: the study's. method: the study's name of it.
        metric: of the study, ``nll``, or ``bits_per_byte``, whose bytes are those of the reference
            in UTF-8.
    """
    indices = sorted(example.index for example in run.examples)
    size = {e.index: len(e.reference.encode("utf-8", "surrogatepass")) for e in run.examples}

    def own(row: Mapping[str, Any], _: int) -> tuple[object, object]:
        return row.get(metric), 1.0

    of_row = _READERS.get(metric, own)
    found: list[Scores] = []
    index_of = examples_of(run.folder, run.results, run.results.methods[method].cell)
    for candidate in candidates_in_order(run.results, method):
        folder = candidate_folder(run.folder, run.results, candidate)
        rows = {row["index"]: row for row in lines(folder / PREDICTIONS_FILE, [])}
        shown = shown_by(index_of, rows)
        pairs = [of_row(shown.get(index, {}), size[index]) for index in indices]
        values, weights = (_column([pair[side] for pair in pairs]) for side in (0, 1))
        scores = None
        if metric not in _READERS:
            kept = (read_arrays(folder / _SCORES_FILE) or {}).get(metric)
            by_index = {} if kept is None else shown_by(index_of, dict(enumerate(kept)))
            whole = all(index in by_index for index in indices)
            kept_NC = np.array([by_index[i] for i in indices], np.float64) if whole else None
            scores = _as_the_metric_has_it(run.results, metric, values, kept_NC)
        elif values is not None and weights is not None and weights.sum() > 0.0:
            scores = Scores(statistics_SNC=np.stack([values, weights], axis=1)[None])
        if scores is not None:
            found.append(scores)
    if not found:
        return None
    return replace(
        found[0],
        statistics_SNC=np.concatenate([one.statistics_SNC for one in found]),
        withheld=_withheld(run, metric),
    )


def _withheld(run: Run, name: str) -> str | None:
    """Why nothing may be said by a metric, as the study itself says it; None if it is not known."""
    metric, labels = _installed(run.results, name), run.results.task.labels
    rows = Counter(example.reference for example in run.examples)
    if metric is None or not labels or not rows.keys() <= set(labels):
        return None
    return few_label_rows({label: rows[label] for label in labels}, metric)


def _as_the_metric_has_it(
    results: Results, name: str, values_N: Floats | None, kept_NC: Floats | None
) -> Scores | None:
    """The scores of one run so that their value is the metric's; None where that is not known.

    Args:
        results: the study's. name: the metric's. values_N: [N] its value of each row; None where a
            row has none. kept_NC: [N, C] what was kept of each row; None where nothing was.
    """
    if kept_NC is not None and _gives(kept_NC, values_N):
        return Scores(statistics_SNC=kept_NC[None])
    metric = _installed(results, name)
    if metric is None:
        return None
    if values_N is not None and is_mean(metric):
        return Scores(statistics_SNC=with_ones(values_N)[None])
    if kept_NC is None:
        return None
    return Scores(statistics_SNC=kept_NC[None], value=metric.value, is_ratio=is_mean(metric))


def _gives(kept_NC: Floats, values_N: Floats | None) -> bool:
    """Whether the ratio of what was kept of each row is its value."""
    if values_N is None or kept_NC.shape[1:] != (2,):
        return False
    return bool(np.allclose(_ratio(kept_NC), values_N))


def _installed(results: Results, name: str) -> Metric | None:
    """A study's metric; None where it is not installed, or is Python of the study's own, which no
    report runs."""
    if name in MAIN_OPTIONS:
        return None
    try:
        given = map(named_options, setting(results.study, "task.metrics") or ())
        options = next((options for one, options in given if one == name), {})
        return metric_of(name, labels=results.task.labels, options=options)
    except BakeoffError:
        return None


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
