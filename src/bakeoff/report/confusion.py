"""Right labels by chosen ones, as tables."""

from __future__ import annotations

from dataclasses import dataclass

from bakeoff.report.table import baseline_label
from bakeoff.runs.records import Confusion, Results

_CORNER = "right \u2193, chosen \u2192"
_NO_LABEL = "none of these"


@dataclass(frozen=True, kw_only=True)
class ConfusionTable:
    """The answers of one method or baseline, counted.

    Attributes:
        title: whose. heads: what columns are called. body: a line for each right label.
    """

    title: str
    heads: list[str]
    body: list[list[str]]


def confusion_tables(results: Results) -> list[ConfusionTable]:
    """A table for each method that was tested, then for each baseline that chose more than once."""
    labels = list(results.task.labels)
    found = [(name, record.confusion) for name, record in results.methods.items()]
    found += [
        (baseline_label(name, record), record.confusion)
        for name, record in results.baselines.items()
        if record.confusion is not None and _chooses(record.confusion)
    ]
    return [
        ConfusionTable(
            title=title,
            heads=[_CORNER, *labels, *[_NO_LABEL][: len(lines[0]) - len(labels)]],
            body=[[label, *map(str, counts)] for label, counts in zip(labels, lines, strict=True)],
        )
        for title, lines in found
        if lines is not None and len(lines) == len(labels)
    ]


def _chooses(lines: Confusion) -> bool:
    """Whether more than one label was chosen."""
    return sum(any(column) for column in zip(*lines, strict=True)) > 1
