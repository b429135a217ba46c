"""What a run knows so far; any part may still be missing."""

from __future__ import annotations

from dataclasses import dataclass, field

from bakeoff.engine.candidate import Candidate
from bakeoff.execution.scores import SetScores
from bakeoff.runs.baseline_cost import BaselineCost
from bakeoff.runs.judged import JudgeRecord
from bakeoff.runs.records import CandidateRecord, CostRecord, Provenance
from bakeoff.search.schedule import StudySchedule
from bakeoff.types import RunState


@dataclass
class Findings:
    """Everything that is known so far; any part may still be missing.

    Attributes:
        records: of candidates that have ended, by id.
        test_scores, validation_scores: by candidate; on validation only where the task has
            metrics that training does not follow.
        baselines: test scores by name, one for each draw of what it is given. Of one without any
            draw there is one. baselines_validation: likewise.
        also_scores: by further test set, then by candidate. also_baselines: by further test set,
            then by baseline. failed_also: pairs of a set and what could not be tested on it.
        failed_entrants: ids of runs from elsewhere that could not be tested; their scores stand
            among the candidates'.
        baseline_shots: by name how many training rows were before each prompt.
        baseline_costs: by name what an answer costs, of those that ask the base.
        costs: by method. costs_of: by method, the label of the searched options that were
            measured, where it is known.
        judge: how the judge of the answers judged. failed_judge: whether it could not be asked to
            the end.
    """

    schedule: StudySchedule
    records: dict[str, CandidateRecord] = field(default_factory=dict)
    test_scores: dict[str, SetScores] = field(default_factory=dict)
    validation_scores: dict[str, SetScores] = field(default_factory=dict)
    baselines: dict[str, list[SetScores]] = field(default_factory=dict)
    baselines_validation: dict[str, list[SetScores]] = field(default_factory=dict)
    also_scores: dict[str, dict[str, SetScores]] = field(default_factory=dict)
    also_baselines: dict[str, dict[str, SetScores]] = field(default_factory=dict)
    failed_also: set[tuple[str, str]] = field(default_factory=set)
    baseline_shots: dict[str, int] = field(default_factory=dict)
    baseline_costs: dict[str, BaselineCost] = field(default_factory=dict)
    baselines_made_with: dict[str, Provenance] = field(default_factory=dict)
    failed_baselines: set[str] = field(default_factory=set)
    failed_entrants: set[str] = field(default_factory=set)
    costs: dict[str, CostRecord] = field(default_factory=dict)
    costs_of: dict[str, str] = field(default_factory=dict)
    adapter_bytes: dict[str, int] = field(default_factory=dict)
    judge: JudgeRecord | None = None
    failed_judge: bool = False
    notes: list[str] = field(default_factory=list)
    wall_seconds: dict[str, float] = field(default_factory=dict)
    started: str = ""

    @property
    def candidates(self) -> list[Candidate]:
        """All that were named so far."""
        return self.schedule.candidates

    def forget_scores(self, candidate: str) -> None:
        """Counts nothing of what a candidate reached on held-out sets."""
        for scores in (self.test_scores, self.validation_scores, *self.also_scores.values()):
            scores.pop(candidate, None)

    def finals(self, name: str) -> list[Candidate]:
        """The method's candidates that the test set is for, by seed; none before it is chosen."""
        return self.schedule.methods[name].finals

    @property
    def has_failed(self) -> bool:
        """Whether a failure leaves the study without a part of its answer."""
        failed = (
            self.failed_baselines or self.failed_also or self.failed_entrants or self.failed_judge
        )
        return bool(failed) or any(
            c.state is RunState.FAILED
            for method in self.schedule.methods.values()
            for c in (*(method.finals or method.searched), *method.curve)
        )
