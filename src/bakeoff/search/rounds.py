"""What follows when a round of a method's search is over; a pure function of its records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bakeoff.runs.records import CandidateRecord, CandidateSpec
from bakeoff.search.contract import Verdicts
from bakeoff.search.pruners.registry import PRUNERS
from bakeoff.search.selection import Selection, chosen_of, unscored
from bakeoff.search.space import MethodSpace
from bakeoff.search.standing import best_of, loss_of
from bakeoff.search.strategies.registry import STRATEGIES
from bakeoff.types import RunState

_UNDER_WAY = (RunState.WAITING, RunState.RUNNING)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What follows from a round; nothing of it where no setting ended well.

    Attributes:
        new: candidates that are tried besides. verdicts: what becomes of paused ones.
        unscored: ids of candidates whose value by the selection's metric the choice needs.
        chosen: the id of the candidate whose setting won; the search is over.
        text: the decision in words, or empty.
    """

    new: tuple[CandidateSpec, ...] = ()
    verdicts: Verdicts = field(default_factory=Verdicts)
    unscored: tuple[str, ...] = ()
    chosen: str | None = None
    text: str = ""

    @property
    def is_final(self) -> bool:
        """Whether no candidate of the search is to be trained any further."""
        return not (self.new or self.verdicts.stops or self.verdicts.continuations)


def first_specs(space: MethodSpace) -> list[CandidateSpec]:
    """The candidates that a search begins with."""
    return STRATEGIES[space.search.strategy](space, (), 0)


def is_over(records: Sequence[CandidateRecord]) -> bool:
    """Whether a round is over: each candidate has paused or ended."""
    return all(record.state not in _UNDER_WAY for record in records)


def decide(space: MethodSpace, records: Sequence[CandidateRecord], round: int) -> Decision:
    """What follows from a round that is over.

    Args:
        space: what may be tried. records: of the search, sorted by id.
        round: how many rounds are over, this one included.
    """
    assert round > 0 and is_over(records), "a search is judged between its rounds"
    new = STRATEGIES[space.search.strategy](space, records, round)
    if new:
        return Decision(new=tuple(new), text=_growth_text(space, records, new))
    verdicts = PRUNERS[space.search.pruner].judge(space, records, round)
    if verdicts.stops or verdicts.continuations:
        return Decision(verdicts=verdicts)
    selection = space.selection
    if missing := unscored(records, selection):
        return Decision(unscored=tuple(record.id for record in missing))
    chosen = chosen_of(records, selection)
    if chosen is None:
        return Decision()
    described = _described(chosen, selection)
    return Decision(chosen=chosen.id, text=f"{space.method}: chosen is {described}")


def _growth_text(
    space: MethodSpace, records: Sequence[CandidateRecord], new: Sequence[CandidateSpec]
) -> str:
    best = best_of(records)
    what = (
        "no rate ended well so far"
        if best is None
        else f"the best rate so far, {best.learning_rate:g}, is at the edge of its grid"
    )
    rates = ", ".join(f"{spec.learning_rate:g}" for spec in new)
    return f"{space.method}: {what}; {rates} is tried as well"


def _described(record: CandidateRecord, selection: Selection | None) -> str:
    options = f"{record.variant}, " if record.variant else ""
    value = None if selection is None else record.validation.get(selection.metric)
    by = "" if selection is None or value is None else f"{selection.metric} {value:.4f}, "
    return (
        f"{options}learning rate {record.learning_rate:g}, validation {by}NLL {loss_of(record):.4f}"
    )
