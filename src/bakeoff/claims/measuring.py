"""What measurement claims are given, and a finished study's adapters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from bakeoff.claims.contract import BaseFacts, Size
from bakeoff.config import load_yaml
from bakeoff.runs.folder import STUDY_FILE
from bakeoff.runs.reading import read_results

if TYPE_CHECKING:
    from bakeoff.base.model import Base
    from bakeoff.data.batches import BatchPlan
    from bakeoff.methods.contract import Method, Tensors


@dataclass(frozen=True, kw_only=True)
class Context:
    """Where a measurement claim measures.

    Attributes:
        facts: of the base. device: ``auto``, ``cpu`` or ``cuda``. size: of the design.
        place: the folder of the study that trained its entrants; None where it trains nothing.
        methods: by entrant, what that study calls it.
    """

    facts: BaseFacts
    device: str
    size: Size
    place: Path | None = None
    methods: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def trained(self) -> Trained:
        """The study's adapters."""
        assert self.place is not None, "a claim that reads adapters has a design that trains them"
        return Trained(self.place, self.device)


class Trained:
    """A finished study's candidates, with their base."""

    def __init__(self, place: Path, device: str) -> None:
        from bakeoff.study.loading import recorded
        from bakeoff.study.opening import load_base

        text = (place / STUDY_FILE).read_text(encoding="utf-8")
        self.study = recorded(load_yaml(text, where=str(place / STUDY_FILE)), folder=place)
        self.place, self.results = place, read_results(place)
        self.base: Base = load_base(self.study, device)

    @cached_property
    def _validation(self) -> BatchPlan:
        from bakeoff.engine.workbench import plan_of
        from bakeoff.study.opening import prepare_data
        from bakeoff.tasks.preparation.prepare import with_found

        data = prepare_data(self.study, self.base, {})
        task = with_found(self.study.task, data.found)
        rows, protocol = data.splits["validation"], self.study.options.protocol
        return plan_of(rows, task.max_length, task, self.base, protocol)

    def loss_of(self, method: Method, tensors: Tensors) -> float:
        """The loss on the study's validation rows, in nats per token."""
        from bakeoff.engine.batch_source import TokenSource
        from bakeoff.engine.cohort import Cohort
        from bakeoff.engine.score import example_nlls, mean_nll

        with Cohort(self.base, [method], 1) as cohort:
            cohort.seat(0, method, tensors)
            source = TokenSource(cohort.base.device)
            return mean_nll(example_nlls(cohort, 0, source, self._validation), self._validation)

    def of(self, name: str) -> Iterator[tuple[Method, Tensors]]:
        """Each tested run of a method: the method as built, and its tensors."""
        entry = next(entry for entry in self.study.entries if entry.name == name)
        built, record = entry.build(self.base), self.results.methods[name]
        for run in record.candidates:
            found = self.results.candidates[run]
            if found.seed in record.seeds:
                method = built[found.variant]
                yield method, method.load(self.place / "candidates" / run / "adapter")
