"""What was published, in one form whatever the file's: one run of one method on one metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Words in a metric's name by which less of it is better; all else is taken as better when higher.
_LOWER = frozenset({
    "nll", "loss", "perplexity", "ppl", "wer", "cer", "ter", "mae", "mse", "rmse", "error",
    "errors", "bpb", "brier", "drift", "fid", "lpips", "latency", "seconds", "time", "memory",
    "bytes",
})  # fmt: skip
# Of these, those that are shares of rows or words, as accuracy is; the rest are amounts.
_SHARES = frozenset({"wer", "cer", "ter", "error", "errors", "brier"})
_AMOUNTS = (_LOWER - _SHARES) | {
    "nats", "bits", "byte", "ms", "speed", "tokens", "absolute", "squared",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RowScores:
    """Scores of single test rows.

    Attributes:
        labels: [N] by which the same row is found in another run. values: [N] in the same order.
    """

    labels: tuple[str, ...]
    values: Floats


@dataclass(frozen=True, kw_only=True)
class Run:
    """One published run.

    Attributes:
        group: what was published together, as a folder; the same method in another group is a
            repeat. method: what was run. seed: which of its runs in the group.
        metric: its name. value: over all test rows, in the metric's unit.
        higher_is_better: None where the file does not say.
        place: where it was read, for messages.
        is_share: whether the value is a share of the rows, as accuracy is.
        num_rows: of the test set, None where not published.
        error: the published standard error over rows.
        scores: of each test row, None where not published.
        settings: how it was trained and tested, of which all runs of a ranking should agree.
        circumstances: versions and revisions that it was made with.
        training_loss: at the end of training, in nats.
        made: when, in ISO 8601; empty where not published.
    """

    group: str
    method: str
    seed: str
    metric: str
    value: float
    place: str
    higher_is_better: bool | None = None
    is_share: bool = False
    num_rows: int | None = None
    error: float | None = None
    scores: RowScores | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    circumstances: Mapping[str, str] = field(default_factory=dict)
    training_loss: float | None = None
    made: str = ""


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A file, or a run of it, that says nothing about a ranking."""

    place: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Published:
    """All that was read.

    Attributes:
        runs: of every file. left_out: what was found and not used, each with its reason.
        files: how many were read. notes: what a reader should know of the reading.
    """

    runs: tuple[Run, ...]
    left_out: tuple[LeftOut, ...] = ()
    files: int = 0
    notes: tuple[str, ...] = ()


def lower_is_better(metric: str) -> bool:
    """Whether a metric's name says that less of it is better."""
    return any(word in _LOWER for word in _words_of_name(metric))


def is_amount(metric: str) -> bool:
    """Whether a metric's name says that it is no share, whatever its values."""
    return any(word in _AMOUNTS for word in _words_of_name(metric))


def _words_of_name(metric: str) -> list[str]:
    return metric.lower().replace("_", " ").replace("-", " ").replace(",", " ").split()
