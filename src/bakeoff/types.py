"""Words that every floor uses."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal

Precision = Literal["auto", "float32", "bfloat16", "float16"]
"""Which number format the frozen base computes in."""
Quantization = Literal["none", "int8", "nf4"]
"""In what the frozen base's linear layers are held: in ``Precision``, or packed."""
OptimizerStates = Literal["32bit", "8bit"]
"""In what the optimizer's moments are held."""
Split = Literal["train", "validation", "test"]
SPLITS: Final[tuple[Split, ...]] = ("train", "validation", "test")


class RunState(StrEnum):
    """The state of a candidate. Only COMPLETE and STOPPED ones may be chosen."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"  # its state is kept until the others of its rung are there
    COMPLETE = "COMPLETE"  # ran all its epochs
    STOPPED = "STOPPED"  # its own patience ended it; the best epoch counts
    PRUNED = "PRUNED"  # weaker than others under the same rule
    DIVERGED = "DIVERGED"  # left the finite numbers
    FAILED = "FAILED"  # an error, kept as its reason

    @property
    def is_final(self) -> bool:
        """Whether nothing more will be trained for this candidate."""
        return self not in (RunState.WAITING, RunState.RUNNING, RunState.PAUSED)

    @property
    def is_eligible(self) -> bool:
        """Whether its best epoch may be compared with others."""
        return self in (RunState.COMPLETE, RunState.STOPPED)
