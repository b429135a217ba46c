"""One method's candidates, what became of its search, and candidates as records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bakeoff.engine.candidate import Candidate
from bakeoff.methods.contract import Method
from bakeoff.runs.records import CandidateRecord, CandidateSpec
from bakeoff.search.space import MethodSpace
from bakeoff.search.standing import best_of, edge_of


@dataclass(kw_only=True)
class MethodSearch:
    """One method's candidates and what became of its search.

    Attributes:
        name: the study's name of the method.
        variants: its methods by label. settings: its searched options by label.
        space: what is tried, or None where nothing is searched.
        rates: of the finals where nothing is searched; else those that the search began with.
        searched: candidates of the search, in the order in which they were named.
        num_first: how many of them the search began with.
        chosen: the one of them whose rate and variant was chosen, once the search is over.
        finals: candidates of the chosen setting, a seed each, none of which took part in the
            search; of the one setting there is where nothing is searched.
        curve: candidates of that setting on subsets of the training rows, small ones first.
        num_rounds: rounds of the search that are over.
    """

    name: str
    variants: Mapping[str, Method]
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    space: MethodSpace | None = None
    rates: tuple[float, ...] = ()
    searched: list[Candidate] = field(default_factory=list)
    num_first: int = 0
    chosen: Candidate | None = None
    finals: list[Candidate] = field(default_factory=list)
    curve: list[Candidate] = field(default_factory=list)
    num_rounds: int = 0

    @property
    def candidates(self) -> list[Candidate]:
        """All: the search's first, then the chosen setting's, those on fewer rows last."""
        return [*self.searched, *self.finals, *self.curve]

    @property
    def records(self) -> list[CandidateRecord]:
        """Of the search's candidates, sorted by id."""
        return sorted((record_of(c) for c in self.searched), key=lambda record: record.id)

    @property
    def num_grown(self) -> int:
        """Settings that were tried beyond those that the search began with."""
        return len(self.searched) - self.num_first

    def best(self) -> Candidate | None:
        """The searched candidate with the lowest validation NLL so far; none that went wrong."""
        found = best_of(self.records)
        if found is None:
            return None
        return next(c for c in self.searched if c.id == found.id)

    def is_at_edge(self) -> bool:
        """Whether the best rate is at the edge of its grid."""
        has_grid = self.space is not None and self.space.search.strategy == "grid"
        return has_grid and bool(self.searched) and edge_of(self.records) is not None


def record_of(candidate: Candidate) -> CandidateRecord:
    """A candidate as the search's functions see it."""
    return CandidateRecord(
        method=candidate.method_name,
        variant=candidate.variant,
        options=dict(candidate.options),
        learning_rate=candidate.learning_rate,
        seed=candidate.seed,
        rows=candidate.rows,
        state=candidate.state,
        best_epoch=candidate.best_epoch,
        epochs=tuple(candidate.epochs),
        cohort=candidate.cohort,
        reason=candidate.reason,
        validation=dict(candidate.validation),
    )


def further_specs(finals: Sequence[CandidateRecord], num_seeds: int) -> list[CandidateSpec]:
    """The specs with which a setting comes to so many seeds, counted from 0 on.

    Args:
        finals: records of the setting's runs, one at least.
    """
    known = {record.seed for record in finals}
    setting = spec_of(finals[0])
    return [replace(setting, seed=seed) for seed in range(num_seeds) if seed not in known]


def spec_of(record: CandidateRecord) -> CandidateSpec:
    """What the candidate of a record was to train."""
    return CandidateSpec(
        method=record.method,
        variant=record.variant,
        options=record.options,
        learning_rate=record.rate,
        seed=record.seed,
        rows=record.rows,
    )
