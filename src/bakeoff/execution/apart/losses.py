"""Jobs that were lost, and when enough is enough."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bakeoff.execution.apart.places import attempts
from bakeoff.execution.states import COHORTS, SUFFIX, read_state
from bakeoff.runs.events import CohortJob

MOST_LOSSES: Final = 3


@dataclass
class Losses:
    """What was lost in this call.

    A loss counts where the job has not come on since the one before, be it within an epoch: with
    preempted nodes losses are the ordinary case, and a job that loses its worker in every epoch
    still comes to its end.

    Attributes:
        run: the run's folder. total: all losses, those that do not count included.
    """

    run: Path
    total: int = 0
    _known: dict[str, tuple[float, int]] = field(default_factory=dict)

    def add(self, job: CohortJob, *, counts: bool = True) -> bool:
        """Counts a loss; returns whether the job is given up.

        Args:
            job: whose worker was lost. counts: against the job; not where its node was taken back.
        """
        self.total += 1
        if not counts:
            return False
        reached = epochs_saved(self.run, job.cohort)
        before, count = self._known.get(job.cohort, (-1, 0))
        count = count + 1 if reached <= before else 1
        self._known[job.cohort] = (reached, count)
        return count >= MOST_LOSSES


def epochs_saved(run: Path, cohort: str) -> float:
    """Epochs of all of a job's candidates that its newest whole checkpoint holds.

    What it holds of the epoch under way is less than one more, and grows with each step.
    """
    for place in reversed(attempts(run, cohort)):
        files = sorted((place / COHORTS).glob(f"*/??????-*{SUFFIX}"), key=lambda f: f.name)
        for file in reversed(files):
            found = read_state(file)
            if found is not None:
                step = (found[0].get("position") or {}).get("step", 0)
                epochs = sum(len(one["epochs"]) for one in found[0]["candidates"])
                return float(epochs + step / (step + 1))
    return 0.0
