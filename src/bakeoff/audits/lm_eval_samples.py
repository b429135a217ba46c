"""Scores of single rows from the harness's ``samples_TASK_DATE.jsonl``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bakeoff.audits.fields import Field, parse_json, read_text
from bakeoff.audits.published import RowScores
from bakeoff.errors import DataError

_NO_FILTER = "none"


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The rows of one task, by filter: each answer is scored once for each filter.

    Attributes:
        file: it was read from. rows: for each filter, the entry of each row by its label.
    """

    file: Path
    rows: dict[str, dict[str, dict[str, Any]]]

    def check_rows(self, expected: int) -> None:
        """Raises: DataError: another number of rows than the results file names."""
        for kept, rows in self.rows.items():
            if len(rows) != expected:
                raise DataError(
                    f"{self.file}: holds {len(rows)} rows for the filter {kept!r} where the "
                    f"results file counts {expected}; get the whole file, or leave it out"
                )

    def scores(self, metric: str, kept: str) -> RowScores | None:
        """The scores of every row; None where one of them has no number."""
        rows = self.rows.get(kept)
        if rows is None:
            return None
        values = [entry.get(metric) for entry in rows.values()]
        if not all(isinstance(value, int | float) for value in values):
            return None
        scores = np.array(values, dtype=np.float64)
        if not np.isfinite(scores).all():
            return None
        return RowScores(labels=tuple(rows), values=scores)


def read_samples(file: Path, remedy: str) -> Samples:
    """Reads a file of samples.

    Raises:
        DataError: a line that is not JSON, lacks its ``doc_id``, or occurs twice.
    """
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        if not line.strip():
            continue
        entry = Field(
            file=file, key=f"line {number}", value=parse_json(line, file, number), remedy=remedy
        )
        kept = entry.get("filter")
        label = str(entry["doc_id"].whole())
        digest = entry.get("doc_hash")
        if digest is not None:
            label += f" {digest.text()}"
        own = rows.setdefault(_NO_FILTER if kept is None else kept.text(), {})
        if label in own:
            raise DataError(
                f"{file}: line {number}: doc_id {label.split()[0]} is there twice for one filter; "
                "two evaluations may have been written into one file: keep one of them"
            )
        own[label] = entry.mapping()
    if not rows:
        raise DataError(f"{file}: holds no rows; get the file again, or leave it out")
    return Samples(file=file, rows=rows)
