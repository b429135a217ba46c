"""How far a whole study has come, and how long it may still take.

Nothing is run for it: what is left of a stage is estimated from what the study itself has taken so
far. Before the first step of a stage that nothing is known of, there is no estimate.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bakeoff.engine.candidate import Candidate
from bakeoff.formatting import time_left
from bakeoff.types import RunState

TITLES: Final = {
    "load": "loading",
    "baselines": "baselines",
    "entrants": "external entrants",
    "training": "training",
    "test": "testing",
    "judge": "judging",
    "learning_curve": "learning curve",
    "also_test": "other test sets",
    "costs": "measuring costs",
}
COSTS_SHARE: Final = 1 / 3.5
"""Of what all else takes; see ``study/costs.py``."""


@dataclass(frozen=True, kw_only=True)
class StudyState:
    """Where a study is.

    Attributes:
        stage: the present one; empty before the first and after the last. place: its number, from
            1. stages: how many there are.
        epoch: the one that the candidates in training are in, from 1; 0 outside of training.
        epochs: of one candidate. seconds_left: of the whole study; None where it is not known.
    """

    stage: str
    place: int
    stages: int
    epoch: int = 0
    epochs: int = 0
    seconds_left: float | None = None

    @property
    def text(self) -> str:
        """In words: ``training (stage 2 of 4), epoch 3 of 10, about 12 minutes left``."""
        if not self.stage:
            return "starting"
        parts = [f"{TITLES.get(self.stage, self.stage)} (stage {self.place} of {self.stages})"]
        if self.epoch:
            parts.append(f"epoch {self.epoch} of {self.epochs}")
        if self.seconds_left is not None:
            parts.append(time_left(self.seconds_left))
        return ", ".join(parts)


class StudyClock:
    """Follows a study through its stages.

    Args:
        stages: their names in order, without ``load``.
        epochs: of one candidate. most_epochs: of all candidates together, at most.
        num_tested: runs whose answers are tested. clock: seconds, for tests.
    """

    def __init__(
        self,
        stages: Sequence[str],
        *,
        epochs: int,
        most_epochs: int,
        num_tested: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stages, self._epochs = tuple(stages), epochs
        self._left_to_train = float(most_epochs)
        self._num_tested = num_tested
        self._clock = clock
        self._stage = ""
        self._since = 0.0
        self._taken: dict[str, float] = {}
        self._trained = 0.0
        self._within: dict[str, float] = {}
        self._epoch = 0

    def enter(self, stage: str) -> None:
        """A stage begins."""
        self._stage, self._since = stage, self._clock()

    def leave(self, stage: str) -> None:
        """A stage ends; one may be entered several times."""
        self._taken[stage] = self._taken.get(stage, 0.0) + self._clock() - self._since
        self._stage, self._epoch = "", 0
        self._within = {}

    def take_up(self, candidate: Candidate) -> None:
        """What an earlier call has trained of a candidate is not left."""
        self._left_to_train = max(0.0, self._left_to_train - len(candidate.epochs))
        if candidate.state.is_final:
            self.end(candidate)

    def step(self, seated: Sequence[Candidate | None], step: int, num_steps: int) -> None:
        """Some updates of the candidates' present epoch are done."""
        present = [candidate for candidate in seated if candidate is not None]
        self._within = {candidate.id: step / max(1, num_steps) for candidate in present}
        self._epoch = max((len(c.epochs) + 1 for c in present), default=0)

    def step_beside(self, candidates: Sequence[str], epoch: int, share: float) -> None:
        """Some updates of an epoch are done by one of several who train.

        Args:
            candidates: ids of those in its pass. epoch: from 1. share: of the epoch, 0 to 1.
        """
        # A new mapping, see ``epoch``.
        self._within = {**self._within, **dict.fromkeys(candidates, share)}
        self._epoch = max(self._epoch, epoch)

    def epoch(self, candidate: Candidate) -> None:
        """A candidate's epoch is over."""
        # A new mapping, as a thread that draws may be reading the old one.
        self._within = {id: part for id, part in self._within.items() if id != candidate.id}
        self._trained += 1.0
        self._left_to_train = max(0.0, self._left_to_train - 1.0)

    def end(self, candidate: Candidate) -> None:
        """A candidate trains no more; what it was to train is not left."""
        if candidate.state is not RunState.COMPLETE:
            spared = max(0, self._epochs - len(candidate.epochs))
            self._left_to_train = max(0.0, self._left_to_train - spared)

    @property
    def state(self) -> StudyState:
        """Where the study is now."""
        stage = self._stage
        return StudyState(
            stage=stage,
            place=self._stages.index(stage) + 1 if stage in self._stages else 0,
            stages=len(self._stages),
            epoch=min(self._epoch, self._epochs) if stage in ("training", "learning_curve") else 0,
            epochs=self._epochs,
            seconds_left=self._seconds_left(),
        )

    def _seconds_left(self) -> float | None:
        if self._stage not in self._stages:
            return None
        here = self._clock() - self._since
        place = self._stages.index(self._stage)
        left, known = 0.0, dict(self._taken)
        for stage in self._stages[place:]:
            spent = here if stage == self._stage else 0.0
            found = self._whole(stage, known, spent)
            if found is None:
                return None
            known[stage] = max(found, spent + self._taken.get(stage, 0.0))
            left += max(0.0, found - spent - self._taken.get(stage, 0.0))
        return left

    def _whole(self, stage: str, known: dict[str, float], spent: float) -> float | None:
        """What a stage takes in all; None where nothing is known yet."""
        if stage == "baselines":
            return known.get(stage)
        if stage == "training":
            within = sum(self._within.values())
            done, left = self._trained + within, self._left_to_train - within
            if left > 0.0 and not done:
                return None
            return (self._taken.get(stage, 0.0) + spent) * (1.0 + max(0.0, left) / max(done, 1e-9))
        if stage == "test":
            # The untuned base has answered the same rows.
            asked = known.get("baselines")
            return None if asked is None else asked * self._num_tested
        if stage == "costs":
            return COSTS_SHARE * sum(value for name, value in known.items() if name != "costs")
        # Of the others nothing is known beforehand.
        return self._taken.get(stage, 0.0) + spent
