"""What a run knows so far; any part may still be missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.engine.candidate import Candidate
from bakeoff.metrics.rouge import ROUGE_KEYS
from bakeoff.runs.records import CandidateRecord, CostRecord, Outputs, Provenance
from bakeoff.search.schedule import StudySchedule
from bakeoff.types import RunState

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class TestScores:
    """What one candidate, or a baseline, reached on the test set.

    Attributes:
        rouge_N4: [examples, 4] F-measures in 0..1, in the order of ``ROUGE_KEYS``.
        nll_N: [examples] summed nats of each reference, or None for a baseline without a model.
        empty_N: [examples] outputs without a visible character.
        unfinished_N: [examples] outputs without an end within the tokens allowed, or None for a
            baseline that generates nothing.
    """

    __test__ = False  # not a test, whatever its name

    rouge_N4: Floats
    nll_N: Floats | None
    empty_N: NDArray[np.bool_]
    unfinished_N: NDArray[np.bool_] | None = None

    @property
    def outputs(self) -> Outputs:
        """The outputs, counted."""
        unfinished = None if self.unfinished_N is None else int(self.unfinished_N.sum())
        return Outputs(
            examples=len(self.empty_N), empty=int(self.empty_N.sum()), unfinished=unfinished
        )

    def bad_row(self) -> int | None:
        """The first row with a score that is not a finite number, or None."""
        bad_N = ~np.isfinite(self.rouge_N4).all(axis=1)
        if self.nll_N is not None:
            bad_N |= ~np.isfinite(self.nll_N)
        return int(bad_N.argmax()) if bad_N.any() else None

    def statistics(self, tokens_N: Floats) -> dict[str, NDArray[Any]]:
        """What each example adds to each metric, [examples, 2] a sum and its divisor, and outputs.

        Args:
            tokens_N: [examples] supervised tokens of each reference.
        """
        ones_N = np.ones(len(self.rouge_N4))
        found: dict[str, NDArray[Any]] = {
            key: np.stack([self.rouge_N4[:, column], ones_N], axis=1)
            for column, key in enumerate(ROUGE_KEYS)
        }
        if self.nll_N is not None:
            found["nll"] = np.stack([self.nll_N, tokens_N], axis=1)
        found["empty"] = self.empty_N
        if self.unfinished_N is not None:
            found["unfinished"] = self.unfinished_N
        return found

    @classmethod
    def of_statistics(cls, found: Mapping[str, NDArray[Any]]) -> TestScores:
        """The scores whose statistics these are.

        Raises:
            KeyError, IndexError, ValueError: where one is missing or of another shape.
        """
        return cls(
            rouge_N4=np.stack([found[key][:, 0] for key in ROUGE_KEYS], axis=1),
            nll_N=found["nll"][:, 0] if "nll" in found else None,
            empty_N=found["empty"],
            unfinished_N=found.get("unfinished"),
        )


@dataclass
class Findings:
    """Everything that is known so far; any part may still be missing.

    Attributes:
        records: of candidates that have ended, by id.
        test_scores: by candidate. baselines: by name. costs: by method.
    """

    schedule: StudySchedule
    records: dict[str, CandidateRecord] = field(default_factory=dict)
    test_scores: dict[str, TestScores] = field(default_factory=dict)
    baselines: dict[str, TestScores] = field(default_factory=dict)
    baselines_made_with: dict[str, Provenance] = field(default_factory=dict)
    failed_baselines: set[str] = field(default_factory=set)
    zero_shot_val_nll: float | None = None
    costs: dict[str, CostRecord] = field(default_factory=dict)
    adapter_bytes: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    wall_seconds: dict[str, float] = field(default_factory=dict)
    started: str = ""

    @property
    def candidates(self) -> list[Candidate]:
        """All that were named so far."""
        return self.schedule.candidates

    def finals(self, name: str) -> list[Candidate]:
        """The method's candidates that the test set is for, by seed; none before it is chosen."""
        return self.schedule.methods[name].finals

    @property
    def has_failed(self) -> bool:
        """Whether a failure leaves the study without a part of its answer."""
        return bool(self.failed_baselines) or any(
            c.state is RunState.FAILED
            for method in self.schedule.methods.values()
            for c in (method.finals or method.searched)
        )
