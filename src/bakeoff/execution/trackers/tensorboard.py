"""TensorBoard: event files in the run's folder, a curve a candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bakeoff.execution.trackers.contract import Cell, TrackedStudy, Tracker

FOLDER = "tensorboard"
_STUDY = "study"


class TensorBoard(Tracker):
    """Writes to ``RUN/tensorboard``; ``tensorboard --logdir RUN/tensorboard`` shows it."""

    name = "tensorboard"
    module = "tensorboard"
    extra = "tensorboard"

    def __init__(self, study: TrackedStudy) -> None:
        self._folder = study.folder / FOLDER
        self._writers: dict[str, Any] = {}

    def _writer(self, run: str) -> Any:
        # The writer draws every curve of one folder as one run.
        from torch.utils.tensorboard import SummaryWriter

        if run not in self._writers:
            self._writers[run] = SummaryWriter(str(self._folder / run))
        return self._writers[run]

    def epoch(self, candidate: str, epoch: int, values: Mapping[str, float]) -> None:
        """See ``Tracker``."""
        writer = self._writer(candidate)
        for key, value in values.items():
            writer.add_scalar(key, value, epoch)
        writer.flush()

    def state(self, candidate: str, state: str, reason: str | None) -> None:
        """See ``Tracker``."""
        self._writer(candidate).add_text("state", f"{state}: {reason}" if reason else state)
        self._writers.pop(candidate).close()

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """See ``Tracker``."""
        lines = [columns, ["---"] * len(columns), *(map(_shown, row) for row in rows)]
        text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        self._writer(_STUDY).add_text("results", text)

    def close(self) -> None:
        """See ``Tracker``."""
        for writer in self._writers.values():
            writer.close()


def _shown(cell: Cell) -> str:
    if cell is None:
        return "–"
    return cell.replace("|", "\\|") if isinstance(cell, str) else f"{cell:.6g}"
