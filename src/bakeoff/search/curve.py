"""Which candidates a learning curve has: those of a chosen setting, on fewer rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from bakeoff.engine.candidate import Candidate
from bakeoff.runs.records import CandidateSpec
from bakeoff.search.method_search import record_of, spec_of


def curve_specs(
    finals: Sequence[Candidate], sizes: Sequence[int], tested: Collection[str]
) -> list[CandidateSpec]:
    """What a method's curve trains, small subsets first.

    Args:
        finals: of the method. sizes: of the subsets.
        tested: ids of those that have results: each is the last point of a curve with its seed.
    """
    return [
        replace(spec_of(record_of(final)), rows=size)
        for size in sizes
        for final in finals
        if final.id in tested
    ]


def of_finals(curve: Sequence[Candidate], finals: Sequence[Candidate]) -> list[Candidate]:
    """Those of a curve whose setting and seed are those of one of the finals."""
    known = [spec_of(record_of(final)) for final in finals]
    return [one for one in curve if replace(spec_of(record_of(one)), rows=None) in known]
