"""All trackers of a study at once; one that fails is given up, and the study goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bakeoff.engine.candidate import Candidate
from bakeoff.engine.options import ProtocolOptions
from bakeoff.execution.trackers.contract import Cell, TrackedStudy, Tracker
from bakeoff.execution.trackers.registry import TRACKERS

_FIGURES = (
    "state",
    "learning_rate",
    "val_nll",
    "test_nll",
    "rouge1",
    "rouge2",
    "rougeL",
    "rougeLsum",
    "trainable_parameters",
    "peak_memory_bytes",
    "adapter_bytes",
    "token_latency_seconds",
)


class Following:
    """Tells each tracker of a study what happens.

    Args:
        names: of the trackers, in order.
        study: what they are told at their start.
        protocol: every candidate's, and num_steps: updates of an epoch, for the rate that it
            reached.
        note: is told of a tracker that failed.
    """

    def __init__(
        self,
        names: Sequence[str],
        study: TrackedStudy,
        protocol: ProtocolOptions,
        num_steps: int,
        note: Callable[[str], None],
    ) -> None:
        self._names = list(names)
        self._study = study
        self._protocol, self._num_steps = protocol, num_steps
        self._note = note
        self._trackers: dict[str, Tracker] = {}

    def _each(self, work: Callable[[Tracker], None]) -> None:
        for name in list(self._names):
            try:
                if name not in self._trackers:  # opened late: a complete study opens nothing
                    self._trackers[name] = TRACKERS[name](self._study)
                work(self._trackers[name])
            except Exception as error:  # whatever it is, it is not worth the study
                self._names.remove(name)
                self._note(
                    f"tracking with {name} failed and was given up "
                    f"({type(error).__name__}: {error})"
                )

    def epoch(self, candidate: Candidate) -> None:
        """A candidate's epoch has been validated."""
        record = candidate.epochs[-1]
        total = self._protocol.epochs * self._num_steps
        factor = self._protocol.rate_factor(record.epoch * self._num_steps - 1, total)
        values = {
            "train_nll": record.train_nll,
            "val_nll": record.val_nll,
            "learning_rate": candidate.learning_rate * factor,
            "seconds": record.seconds,
        }
        self._each(lambda tracker: tracker.epoch(candidate.id, record.epoch, values))

    def end(self, candidate: Candidate) -> None:
        """A candidate reached a final state."""
        self._each(
            lambda tracker: tracker.state(candidate.id, candidate.state.value, candidate.reason)
        )

    def finish(self, results: Mapping[str, Any]) -> None:
        """The results are there, whole or in part; nothing follows."""
        rows = [[name, *map(_cell, map(row.get, _FIGURES))] for name, row in _methods(results)]
        self._each(lambda tracker: tracker.table(("method", *_FIGURES), rows))
        self._each(lambda tracker: tracker.close())


def _methods(results: Mapping[str, Any]) -> Sequence[tuple[str, Mapping[str, Any]]]:
    return list(results["methods"].items())


def _cell(value: Any) -> Cell:
    """Intervals by their mean; text and numbers as they are."""
    found = value.get("mean") if isinstance(value, Mapping) else value
    return found if found is None or isinstance(found, str) else float(found)
