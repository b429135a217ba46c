"""What a tracker is to a study."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

Cell = str | float | None


@dataclass(frozen=True, kw_only=True)
class TrackedStudy:
    """What a tracker is given at its start.

    Attributes:
        name: the study's. folder: the run's. options: the study as resolved.
    """

    name: str
    folder: Path
    options: Mapping[str, Any]


class Tracker(ABC):
    """Follows one study; made only once training is about to begin.

    Attributes:
        name: in the study's ``track``. module: what must be installed. extra: of the package,
            which installs it.
    """

    name: ClassVar[str]
    module: ClassVar[str]
    extra: ClassVar[str]

    @abstractmethod
    def __init__(self, study: TrackedStudy) -> None:
        """Opens whatever the program writes to; nothing may leave the machine unless asked."""

    @abstractmethod
    def epoch(self, candidate: str, epoch: int, values: Mapping[str, float]) -> None:
        """One candidate's epoch has been validated.

        Args:
            candidate: its id. epoch: from 1.
            values: ``train_nll`` and ``val_nll`` in nats per token, ``learning_rate`` of the
                epoch's last update, ``seconds``.
        """

    @abstractmethod
    def state(self, candidate: str, state: str, reason: str | None) -> None:
        """A candidate ended, and why."""

    @abstractmethod
    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """The study's outcome, a row per method."""

    @abstractmethod
    def close(self) -> None:
        """Writes what is still held back."""
