"""One method with one learning rate and one seed, and how far it has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from bakeoff.methods.contract import Method, Tensors
from bakeoff.runs.records import EpochRecord
from bakeoff.types import RunState


@dataclass(kw_only=True, eq=False)
class Candidate:
    """A run to be made and its outcome.

    Attributes:
        id: unique in the study and fit for a folder's name.
        method_name: the study's name of the method.
        best_epoch: the epoch (from 1) with the lowest validation NLL so far.
        tensors: the tensors of that epoch, or None once they are stored elsewhere.
        variant: which of its method's searched options it has; empty where there is one.
        options: those options, as plain values; some may be the protocol's.
        rows: of its learning curve, the training rows that it learns from; None for all.
        snapshot: where the training of a paused candidate goes on, or of one that has completed
            could; None once it is stored elsewhere.
        reason: why it ended, in words, where it did not simply complete.
        cohort: the id of the cohort that it was last a part of.
        validation: by metric, where the choice of a setting asked for it; None where it failed.
    """

    id: str
    method_name: str
    method: Method
    learning_rate: float
    seed: int
    state: RunState = RunState.WAITING
    epochs: list[EpochRecord] = field(default_factory=list)
    best_epoch: int | None = None
    tensors: Tensors | None = None
    reason: str | None = None
    variant: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    rows: int | None = None
    snapshot: Tensors | None = None
    cohort: str | None = None
    validation: dict[str, float | None] = field(default_factory=dict)

    def start_again(self) -> None:
        """Forgets all training."""
        self.state, self.reason, self.epochs = RunState.WAITING, None, []
        self.validation = {}
        self.best_epoch = self.tensors = self.snapshot = None

    @property
    def best_val_nll(self) -> float | None:
        """The lowest validation NLL so far."""
        return None if self.best_epoch is None else self.epochs[self.best_epoch - 1].val_nll


class Observer(Protocol):
    """What wants to know how training goes: the terminal, the store."""

    def on_step(
        self,
        seated: Sequence[Candidate | None],
        step: int,
        num_steps: int,
        train_nll: Sequence[float],
        rates: Sequence[float],
    ) -> None:
        """Some updates of the present epoch are done; lists go by slot."""

    def on_epoch(self, candidate: Candidate) -> None:
        """A candidate's epoch has been validated: its last record."""

    def on_pause(self, candidate: Candidate) -> None:
        """A candidate left its slot for a while: its snapshot is there."""

    def on_end(self, candidate: Candidate) -> None:
        """A candidate reached a final state; its best tensors are there if it has any."""

    def on_note(self, note: str) -> None:
        """Something happened that the report must mention."""
