"""Scores by candidate, seed and row, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff.report.load import (
    is_folder_name,
    lines,
    predictions_file,
    row_scores,
)
from bakeoff.runs.places import baseline_folder, candidate_folder
from bakeoff.runs.records import MetricRecord, Results

if TYPE_CHECKING:
    import pandas as pd

_FIRST = ("method", "candidate", "seed", "set", "example", "answer")


def scores_table(
    folder: Path,
    results: Results,
    sets: Mapping[str, tuple[MetricRecord, ...]],
    *,
    baselines: bool,
) -> pd.DataFrame:
    """One row per test row, seed and method.

    Args:
        folder: the run's. results: its results. sets: by name, the metrics of each test set.
        baselines: adds those; they have no seed.

    Returns:
        See ``bakeoff.api.results.Results.scores``.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for name in sets:
        for method, record in results.methods.items():
            for candidate in record.candidates:
                seed = results.candidates[candidate].seed
                about = {"method": method, "candidate": candidate, "seed": seed, "set": name}
                rows += _rows(candidate_folder(folder, results, candidate), about)
        for baseline in results.baselines if baselines else ():
            about = {"method": baseline, "candidate": None, "seed": None, "set": name}
            rows += _rows(baseline_folder(folder, results, baseline), about)
    known = {key for row in rows for key in row}
    metrics = dict.fromkeys(metric.name for found in sets.values() for metric in found)
    scored = [name for name in metrics if name in known]
    tokens = ["tokens"] if "tokens" in known else []
    frame = pd.DataFrame(rows, columns=[*_FIRST, *scored, *tokens])
    return frame.astype(dict.fromkeys(("seed", "example", *tokens), "Int64"))


def all_sets(results: Results) -> dict[str, tuple[MetricRecord, ...]]:
    """The metrics of every test set by its name, the study's own first."""
    return {
        "test": results.task.metrics,
        **{name: found.metrics for name, found in results.also_test.items()},
    }


def _rows(place: Path, about: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    if not is_folder_name(place.name):
        return
    for row in lines(place / predictions_file(about["set"]), []):
        tokens = {"tokens": row["tokens"]} if "tokens" in row else {}
        yield {
            **about,
            "example": row["index"],
            "answer": str(row.get("prediction") or ""),
            **row_scores(row),
            **tokens,
        }
