"""What who runs a job says meanwhile; nothing of it is accepted before the job is over."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console

from bakeoff.engine.candidate import Candidate
from bakeoff.execution.progress import ProgressView


@dataclass(frozen=True, kw_only=True)
class News:
    """One thing that happened.

    Attributes:
        kind: ``step``, ``epoch``, ``end``, ``say``, ``note``, ``count`` or ``saved``.
        content: plain values; of an epoch its record and the candidate.
    """

    kind: str
    content: dict[str, Any]


Tell = Callable[[News], None]


class NewsView(ProgressView):
    """Tells instead of showing.

    Args:
        tell: called with whatever happens.
    """

    def __init__(self, tell: Tell) -> None:
        super().__init__(Console(file=io.StringIO(), quiet=True))
        self._tell = tell

    def _say(self, kind: str, **content: Any) -> None:
        self._tell(News(kind=kind, content=content))

    def say(self, text: str) -> None:
        """See ``ProgressView``."""
        self._say("say", text=text)

    def count(self, what: str, done: int, total: int) -> None:
        """See ``ProgressView``."""
        self._say("count", what=what, done=done, total=total)

    def on_step(
        self,
        seated: Sequence[Candidate | None],
        step: int,
        num_steps: int,
        train_nll: Sequence[float],
        rates: Sequence[float],
    ) -> None:
        """See ``ProgressView``."""
        epochs = [len(candidate.epochs) + 1 for candidate in seated if candidate is not None]
        self._say("step", step=step, num_steps=num_steps, epoch=max(epochs, default=0))

    def on_epoch(self, candidate: Candidate) -> None:
        """See ``ProgressView``."""
        self._say(
            "epoch",
            candidate=candidate.id,
            best_epoch=candidate.best_epoch,
            epochs=[asdict(epoch) for epoch in candidate.epochs],
        )

    def on_end(self, candidate: Candidate) -> None:
        """The driver says so once it has taken the outcome."""
        self._say("end", candidate=candidate.id, state=candidate.state.value)

    def on_note(self, note: str) -> None:
        """The driver says so once it has taken the outcome."""
        self._say("note", text=note)
