"""By what a setting is chosen among the candidates of a search that ended well.

Training and pruning follow the validation NLL, which costs nothing. Where the study is decided by
something else, the choice is too: by what the model chooses among given answers, which is as cheap,
for every candidate; by a score of written text, which is not, for the best few by NLL.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bakeoff.runs.records import CandidateRecord
from bakeoff.search.standing import loss_of

BEST_BY_NLL: Final = 3
"""Settings among which a score of written text chooses."""
ROWS_OF_TEXT: Final = 200
"""Validation rows that it is taken on."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A validation metric that settings are chosen by.

    Attributes:
        metric: its name. higher_is_better: its direction.
        among: how many of the best by NLL are scored by it; None scores all.
        rows: of the validation set that they are scored on, the first ones.
    """

    metric: str
    higher_is_better: bool
    among: int | None = None
    rows: int

    def value(self, record: CandidateRecord) -> float:
        """The record's value, higher is better; minus infinity where it has none."""
        found = record.validation.get(self.metric)
        if found is None or not math.isfinite(found):
            return -math.inf
        return found if self.higher_is_better else -found


def shortlist(
    records: Sequence[CandidateRecord], selection: Selection | None
) -> list[CandidateRecord]:
    """Of the candidates that ended well those that the choice is among, the best by NLL first."""
    eligible = sorted((r for r in records if r.state.is_eligible), key=loss_of)
    return eligible if selection is None else eligible[: selection.among]


def unscored(
    records: Sequence[CandidateRecord], selection: Selection | None
) -> list[CandidateRecord]:
    """Those of the shortlist whose value is not known yet."""
    if selection is None:
        return []
    return [r for r in shortlist(records, selection) if selection.metric not in r.validation]


def chosen_of(
    records: Sequence[CandidateRecord], selection: Selection | None = None
) -> CandidateRecord | None:
    """The one whose setting is chosen once all have ended; the lower NLL among equals."""
    found = shortlist(records, selection)
    if selection is None:
        return found[0] if found else None
    # Sorted by NLL, and the first of equals is taken.
    return max(found, key=selection.value, default=None)


def rank_correlation(records: Sequence[CandidateRecord], selection: Selection) -> float | None:
    """Spearman's, of validation NLL and the selection's metric; 1 where both agree.

    None where fewer than three candidates have both, or one of the two never varies.
    """
    known = [r for r in records if r.state.is_eligible and math.isfinite(selection.value(r))]
    known = [r for r in known if math.isfinite(loss_of(r))]
    if len(known) < 3:
        return None
    ranks = [_ranks([-loss_of(r) for r in known]), _ranks([selection.value(r) for r in known])]
    middle = (len(known) + 1) / 2
    first, second = ([rank - middle for rank in line] for line in ranks)
    size = math.sqrt(sum(a * a for a in first) * sum(b * b for b in second))
    if size == 0.0:
        return None
    return sum(a * b for a, b in zip(first, second, strict=True)) / size


def _ranks(values: Sequence[float]) -> list[float]:
    """From 1; equal ones share the mean of theirs."""
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2
        for value in values
    ]
