"""All training of a study: grounds, their feeds, and failures kept apart."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from bakeoff.base.model import Base
from bakeoff.data.batches import BatchPlan
from bakeoff.engine.backends.memory import free_bytes, is_out_of_memory, release_memory
from bakeoff.engine.batch_source import Feed, HiddenFeed, TokenFeed, keep_hidden_states
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.schedule import Position
from bakeoff.engine.score import EVALUATION_ROWS
from bakeoff.engine.train import Trainer
from bakeoff.errors import StoreError
from bakeoff.execution.archive import Archive
from bakeoff.execution.checkpoints import Checkpoints, Progress
from bakeoff.execution.progress import ProgressView
from bakeoff.execution.saving import RunKeeper
from bakeoff.execution.stopping import StopSignals
from bakeoff.methods.contract import Ground
from bakeoff.search.schedule import StudySchedule
from bakeoff.study.workbench import Workbench
from bakeoff.types import RunState

_MEMORY_SHARE = 0.25
"""Hidden states larger than this share of the free memory go to a file."""


class Follower(Protocol):
    """Who is told how candidates come on; what it does may cost no training."""

    def epoch(self, candidate: Candidate) -> None:
        """A candidate's epoch has been validated: its last record."""

    def end(self, candidate: Candidate) -> None:
        """A candidate reached a final state."""


class RunObserver:
    """Keeps what ends, and tells the person.

    Attributes:
        kept: ids of the candidates that have ended and are written.
    """

    def __init__(
        self,
        archive: Archive,
        view: ProgressView,
        schedule: StudySchedule,
        checkpoints: Checkpoints,
        followers: Sequence[Follower] = (),
    ) -> None:
        self.kept: set[str] = set()
        self.archive = archive
        self.view = view
        self.schedule = schedule
        self.checkpoints = checkpoints
        self.followers = followers
        self.on_step = view.on_step

    def on_epoch(self, candidate: Candidate) -> None:
        """Writes the epoch into the search, then says so."""
        self.schedule.note(candidate)
        self.view.on_epoch(candidate)
        for follower in self.followers:
            follower.epoch(candidate)

    def on_pause(self, candidate: Candidate) -> None:
        """Moves the candidate's state to the disk."""
        self.checkpoints.pause(candidate)

    def on_end(self, candidate: Candidate) -> None:
        """Writes the candidate, then says so."""
        self.archive.keep_candidate(candidate)
        self.schedule.note(candidate)
        self.kept.add(candidate.id)
        self.view.on_end(candidate)
        for follower in self.followers:
            follower.end(candidate)

    def on_note(self, note: str) -> None:
        """Keeps the note for the report."""
        self.archive.keep_note(note)
        self.view.on_note(note)


@dataclass
class TrainingStage:
    """All training of a study: one ground after the other, until nobody waits.

    Attributes:
        slots: candidates in one pass, by ground; decided once, as the rounding hangs on it.
        followers: who else is told of epochs and ends.
    """

    bench: Workbench
    schedule: StudySchedule
    archive: Archive
    view: ProgressView
    checkpoints: Checkpoints
    stop: StopSignals
    slots: dict[str, int]
    followers: Sequence[Follower] = ()

    def run(self, start: Progress | None) -> None:
        """Trains all candidates.

        Args:
            start: where an earlier call stopped.

        Raises:
            Stopped: if the run was asked to; all is saved by then.
            StoreError: if the disk takes no more.
        """
        position = start.position if start else None
        ground = Ground(start.ground) if start and position else None
        observer = RunObserver(
            self.archive, self.view, self.schedule, self.checkpoints, self.followers
        )
        self.schedule.on_pruned = observer.on_end
        while True:
            if position is None:
                ground = next((g for g in Ground if self.schedule.of(g).waiting()), None)
            if ground is None:
                # Says that training is over, whatever is lost of the stages that follow.
                self.checkpoints.save(self.schedule, Progress(slots=self.slots))
                return
            self._train_ground(ground, position, observer)
            position = None

    def _train_ground(
        self, ground: Ground, position: Position | None, observer: RunObserver
    ) -> None:
        """Trains what waits on one ground; a candidate that fails takes no other with it.

        When a cohort of several fails, all candidates of the ground go alone from then on.
        """
        part = self.schedule.of(ground)
        if ground.value not in self.slots:
            self.slots[ground.value] = self.bench.num_slots(part.waiting())
        slots = self.slots[ground.value]
        present: Sequence[Candidate] = position.seated if position else []
        trainer: Trainer | None = None
        try:
            with ExitStack() as stack:
                plans = self.bench.plans
                feed = open_feed(
                    self.bench.base, ground, [plans["train"], plans["validation"]], stack
                )
                keeper = RunKeeper(
                    self.checkpoints,
                    self.schedule,
                    self.stop,
                    Progress(slots=self.slots, ground=ground.value),
                    self.bench.study.options.checkpoint_minutes,
                )
                trainer = Trainer(
                    self.bench.base,
                    feed,
                    plans["train"],
                    plans["validation"],
                    self.bench.study.options.protocol,
                    observer,
                    slots,
                    keeper,
                    self.bench.study.options.engine,
                )
                stack.enter_context(self.stop.deferred())
                trainer.run(part, position)
            return
        except StoreError:
            raise
        except Exception as error:  # whatever it is, the others go on
            # The error itself would keep the cohort alive, and its memory with it.
            reason, is_short = f"{type(error).__name__}: {error}", is_out_of_memory(error)
        self.view.clear()
        present = (trainer.present if trainer else present) or part.waiting()[:1]
        trainer = None
        release_memory()
        unfinished = [c for c in present if c.id not in observer.kept]
        for candidate in unfinished:
            candidate.start_anew()
            if slots == 1:
                candidate.state, candidate.reason = RunState.FAILED, reason
                observer.on_end(candidate)
        if slots > 1 and is_short:
            observer.on_note(
                f"memory is too small for {slots} candidates in one pass; each goes alone"
            )
        self.slots[ground.value] = 1
        self.schedule.settle()


def open_feed(base: Base, ground: Ground, plans: Sequence[BatchPlan], stack: ExitStack) -> Feed:
    """The feed of a ground; hidden states of ``plans`` are computed here, once.

    Args:
        base: the base. ground: what the candidates train on.
        plans: the splits that will be fed.
        stack: closes what was opened, such as a temporary folder.
    """
    if ground is not Ground.HIDDEN_STATES:
        return TokenFeed(base.device)
    kept: dict[BatchPlan, Tensor] = {}
    folder: Path | None = None
    with Cohort(base, [], 1) as empty:
        for plan in plans:
            num_bytes = int(plan.completions.offsets[-1]) * base.width * base.compute_dtype.itemsize
            path = None
            if num_bytes > _MEMORY_SHARE * free_bytes(base.device):
                if folder is None:
                    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                path = str(folder / f"hidden{len(kept)}.bin")
            kept[plan] = keep_hidden_states(empty, plan, rows=EVALUATION_ROWS, path=path)
    return HiddenFeed(kept, base.device)
