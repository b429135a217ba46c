"""What may be tried of one method, and by which rule; plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bakeoff.engine.options import SEARCHED_OF_PROTOCOL
from bakeoff.methods.entries import MethodEntry
from bakeoff.methods.variants import labels_of
from bakeoff.runs.records import CandidateSpec
from bakeoff.search.options import Range, SearchOptions
from bakeoff.search.selection import Selection

LEARNING_RATE: Final = "learning_rate"
Values = tuple[Any, ...] | Range


@dataclass(frozen=True, kw_only=True)
class MethodSpace:
    """What may be tried of one method.

    Attributes:
        method: the study's name of it.
        domain: the values of each searched option besides the learning rate.
        rates: the study's own learning rates, or None for the common rule.
        centre: the study's one rate, or the default, which the common rule is centred on.
        seed: of every candidate of the search.
        search: how is searched. rungs: epochs after which candidates are compared.
        selection: by what the setting is chosen, None for the validation NLL.
    """

    method: str
    domain: Mapping[str, Values] = field(default_factory=dict)
    rates: Values | None = None
    centre: float
    seed: int
    search: SearchOptions
    rungs: tuple[int, ...] = ()
    selection: Selection | None = None

    @property
    def trials(self) -> int:
        """Settings that are tried at first."""
        return self.search.trials or self.search.learning_rates

    def spec(
        self, options: Mapping[str, Any], learning_rate: float, seed: int | None = None
    ) -> CandidateSpec:
        """A candidate of the method, by default with the search's seed."""
        return CandidateSpec(
            method=self.method,
            variant=self.label(options),
            options=dict(options),
            learning_rate=learning_rate,
            seed=self.seed if seed is None else seed,
        )

    def label(self, options: Mapping[str, Any]) -> str:
        """What distinguishes these options from others of the domain in ids."""
        return "-".join(self._label(key, options[key]) for key in self.domain)

    def _label(self, key: str, value: Any) -> str:
        values = self.domain[key]
        if isinstance(values, Range):
            return f"{key}{value:g}"
        return labels_of(key, values)[list(map(repr, values)).index(repr(value))]


def space_of(
    entry: MethodEntry,
    search: SearchOptions,
    *,
    seed: int,
    rungs: tuple[int, ...] = (),
    selection: Selection | None = None,
) -> MethodSpace:
    """The space of one method of a study.

    Args:
        entry: the method. search: how is searched.
        seed: of the search's candidates. rungs: epochs after which they are compared.
        selection: by what the setting is chosen.
    """
    names = option_names(entry)
    domain: dict[str, Values] = {key: tuple(values) for key, values in entry.listed.items()}
    for key, values in search.space.items():
        if key not in domain and (key in names or key in SEARCHED_OF_PROTOCOL):
            domain[key] = values
    rates = search.space.get(LEARNING_RATE) if entry.rates is None else entry.rates
    if isinstance(rates, tuple):
        rates = tuple(map(float, rates))
    return MethodSpace(
        method=entry.name,
        domain=domain,
        rates=rates,
        centre=entry.learning_rate,
        seed=seed,
        search=search,
        rungs=rungs,
        selection=selection,
    )


def option_names(entry: MethodEntry) -> set[str]:
    """The options that a method has, besides its learning rate."""
    return {option.name for option in dataclasses.fields(entry.variants[0].options)}
