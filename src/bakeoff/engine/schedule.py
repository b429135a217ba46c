"""What the training loop asks of others: who trains next, and when to keep what is there.

The loop knows neither a search nor a disk. A ``Schedule`` hands it candidates, and what becomes of
them is decided once none is left; a ``Saver`` is asked after each step whether to save or to stop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from bakeoff.engine.candidate import Candidate
from bakeoff.methods.contract import Tensors


@dataclass(frozen=True, kw_only=True)
class Position:
    """A moment of training between two steps, from which the same updates follow.

    On a CPU in float32 they are the same to the bit.

    Attributes:
        seated: the candidates in their slots, in order.
        step: steps of the present epoch that are done; zero between epochs.
        snapshots: of each of them, in the same order.
        train_nll: summed nats of the epoch so far. train_tokens: supervised tokens likewise.
        seconds: of the epoch so far.
        micro_batch_size: rows of one pass, as far as memory has halved them.
    """

    seated: list[Candidate]
    step: int
    snapshots: list[Tensors]
    train_nll: list[float]
    train_tokens: list[float]
    seconds: float
    micro_batch_size: int


class Schedule(Protocol):
    """Who trains, and in which order."""

    def next(self) -> Candidate | None:
        """The candidate for the next free slot; None while there is none."""

    def pauses(self, candidate: Candidate) -> bool:
        """Whether a candidate leaves its slot after its last epoch, to be resumed or pruned."""


class Saver(Protocol):
    """Who saves training, and says when it stops."""

    def between_steps(self, position: Callable[[], Position]) -> None:
        """Between two steps, or two candidates' validations; may save, and may raise to stop."""

    def between_epochs(self, position: Callable[[], Position]) -> None:
        """Before an epoch begins; may save, and may raise to stop."""

    def cuts_epoch(self, seconds: float) -> bool:
        """Whether the epoch must end now, so that what is trained is still validated.

        Asked only in the first epoch of a pass, which is the only one that would leave nothing.

        Args:
            seconds: that the validation, and a further step before it, take.
        """

    def ends_training(self, epoch_seconds: float) -> str | None:
        """Why all seated candidates end with the epoch that is over; None where they go on.

        Args:
            epoch_seconds: that it took, validation included; would have taken, if it was cut.
        """


@dataclass
class InTurn:
    """The schedule of a plain list: each trains to its end."""

    candidates: Iterable[Candidate]
    _waiting: deque[Candidate] = field(init=False)

    def __post_init__(self) -> None:
        self._waiting = deque(self.candidates)

    def next(self) -> Candidate | None:
        """See ``Schedule``."""
        return self._waiting.popleft() if self._waiting else None

    def pauses(self, candidate: Candidate) -> bool:
        """See ``Schedule``."""
        return False


class SaveNothing:
    """Saves nothing and never stops."""

    def between_steps(self, position: Callable[[], Position]) -> None:
        """See ``Saver``."""

    def between_epochs(self, position: Callable[[], Position]) -> None:
        """See ``Saver``."""

    def cuts_epoch(self, seconds: float) -> bool:
        """See ``Saver``."""
        return False

    def ends_training(self, epoch_seconds: float) -> str | None:
        """See ``Saver``."""
        return None
