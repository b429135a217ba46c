"""All trackers of a study at once; one that fails is given up, and the study goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bakeoff.engine.candidate import Candidate
from bakeoff.engine.options import ProtocolOptions
from bakeoff.execution.trackers.contract import Cell, TrackedStudy, Tracker
from bakeoff.execution.trackers.registry import TRACKERS
from bakeoff.runs.records import Estimate, MethodRecord, Results

_COSTS = ("trainable_parameters", "peak_memory_bytes", "adapter_bytes")


class Following:
    """Passes on to each tracker of a study what happens.

    Args:
        names: of the trackers, in order.
        study: what they are given at their start.
        protocol: every candidate's, and num_steps: updates of an epoch, for the rate that it
            reached.
        note: called where a tracker failed.
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
        protocol = self._protocol.under(candidate.options)
        num_steps = self._num_steps
        if candidate.rows is not None:
            num_steps = -(-candidate.rows // protocol.rows_per_step)
        total = protocol.epochs * num_steps
        factor = protocol.rate_factor(record.epoch * num_steps - 1, total)
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

    def finish(self, results: Results) -> None:
        """The results are there, whole or in part; nothing follows."""
        metrics = [metric.name for metric in results.task.metrics]
        columns = (
            "method",
            "state",
            "learning_rate",
            "val_nll",
            *(f"test_{name}" for name in metrics),
            *_COSTS,
            "token_latency_seconds",
        )
        rows = [_row(name, method, metrics) for name, method in results.methods.items()]
        self._each(lambda tracker: tracker.table(columns, rows))
        self._each(lambda tracker: tracker.close())


def _row(name: str, method: MethodRecord, metrics: Sequence[str]) -> list[Cell]:
    def mean(estimate: Estimate | None) -> Cell:
        return None if estimate is None else estimate.mean

    costs = [getattr(method.cost, key) for key in _COSTS]
    return [
        name,
        method.state.value,
        method.learning_rate,
        mean(method.validation.get("nll")),
        *(mean(method.test.get(metric)) for metric in metrics),
        *(None if cost is None else float(cost) for cost in costs),
        mean(method.cost.token_latency_seconds),
    ]
