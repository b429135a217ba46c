"""The contracts of a search: pure functions of records, called when a round is over.

A round of a method is over when each of its candidates has paused or ended. Records are those of
the method's search, sorted by id. What follows depends on them alone and not on when they came, so
that a search that is resumed, one over many workers and one that is looked at afterwards are the
same search. (Song et al. 2022, "Open Source Vizier", arXiv:2207.13676: policies without state.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bakeoff.runs.records import CandidateRecord, CandidateSpec
from bakeoff.search.space import MethodSpace


@dataclass(frozen=True, kw_only=True)
class Stop:
    """A candidate that is pruned, by its id, and why."""

    id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """What becomes of paused candidates; one that is in neither stays paused.

    Attributes:
        stops: those that are pruned. continuations: ids of those that go on.
    """

    stops: tuple[Stop, ...] = ()
    continuations: tuple[str, ...] = ()


class Suggest(Protocol):
    """A strategy: which settings are tried."""

    def __call__(
        self, space: MethodSpace, records: Sequence[CandidateRecord], round: int
    ) -> list[CandidateSpec]:
        """The candidates that the next round begins with, besides those that go on.

        Args:
            space: what may be tried. records: of the search so far, sorted by id.
            round: how many rounds are over; 0 asks for the first candidates.
        """


class Judge(Protocol):
    """A pruner's rule: which paused candidates go on."""

    def __call__(
        self, space: MethodSpace, records: Sequence[CandidateRecord], round: int
    ) -> Verdicts:
        """Judges candidates that have paused at a rung; arguments as of ``Suggest``."""


class Rungs(Protocol):
    """A pruner's rungs."""

    def __call__(self, epochs: int, reduction_factor: int) -> tuple[int, ...]:
        """Epochs, below ``epochs``, after which candidates of one method pause."""


@dataclass(frozen=True, kw_only=True)
class Pruner:
    """A rule that ends weak candidates early."""

    rungs: Rungs
    judge: Judge
