"""No candidate ends early."""

from __future__ import annotations

from collections.abc import Sequence

from bakeoff.runs.records import CandidateRecord
from bakeoff.search.contract import Verdicts
from bakeoff.search.space import MethodSpace
from bakeoff.types import RunState


def rungs(epochs: int, reduction_factor: int) -> tuple[int, ...]:
    """See ``contract.Rungs``: none."""
    return ()


def judge(space: MethodSpace, records: Sequence[CandidateRecord], round: int) -> Verdicts:
    """See ``contract.Judge``: whatever paused goes on."""
    paused = (r.id for r in records if r.state is RunState.PAUSED)
    return Verdicts(continuations=tuple(paused))
