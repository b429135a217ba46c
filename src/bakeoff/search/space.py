"""What may be tried of one method, and by which rule; plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bakeoff.methods.entries import MethodEntry
from bakeoff.runs.records import CandidateSpec
from bakeoff.search.options import SearchOptions


@dataclass(frozen=True, kw_only=True)
class MethodSpace:
    """What may be tried of one method.

    Attributes:
        method: the study's name of it.
        variants: its searched options by label; one empty label where there are none.
        rates: the study's own list, or None for the common rule.
        centre: the published rate, which the common rule is centred on.
        seed: of every candidate of the search.
        search: how is searched. rungs: epochs after which candidates are compared.
    """

    method: str
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"": {}})
    rates: tuple[float, ...] | None = None
    centre: float
    seed: int
    search: SearchOptions
    rungs: tuple[int, ...] = ()

    def spec(self, variant: str, learning_rate: float, seed: int | None = None) -> CandidateSpec:
        """A candidate of the method, by default with the search's seed."""
        return CandidateSpec(
            method=self.method,
            variant=variant,
            options=dict(self.variants[variant]),
            learning_rate=learning_rate,
            seed=self.seed if seed is None else seed,
        )


def space_of(
    entry: MethodEntry, search: SearchOptions, *, seed: int, rungs: tuple[int, ...]
) -> MethodSpace:
    """The space of one method of a study.

    Args:
        entry: the method. search: how is searched.
        seed: of the search's candidates. rungs: epochs after which they are compared.
    """
    return MethodSpace(
        method=entry.name,
        variants={variant.label: variant.searched for variant in entry.variants},
        rates=entry.rates,
        centre=entry.spec.default_learning_rate,
        seed=seed,
        search=search,
        rungs=rungs,
    )
