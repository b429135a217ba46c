"""Which candidates share a cohort: a pure function, to which candidates are only ever added.

What a pass computes is rounded by who is in it. So a cohort that exists keeps its candidates,
whoever comes or goes, and the others form cohorts of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """The candidates of one pass.

    Attributes:
        id: unique in the run. candidates: ids, in the order of slots.
    """

    id: str
    candidates: tuple[str, ...]


def pack(
    candidates: Sequence[str], slots: int, existing: Sequence[Cohort], *, prefix: str
) -> list[Cohort]:
    """The cohorts of those candidates that are in none yet.

    Args:
        candidates: ids, in the study's order. slots: the most in one cohort.
        existing: all cohorts so far, whose ids begin with ``prefix`` and count from 0.
        prefix: of the new ones' ids.
    """
    seated = {name for cohort in existing for name in cohort.candidates}
    coming = [name for name in candidates if name not in seated]
    groups = [coming[start : start + slots] for start in range(0, len(coming), slots)]
    return [
        Cohort(id=f"{prefix}{number}", candidates=tuple(group))
        for number, group in enumerate(groups, start=len(existing))
    ]
