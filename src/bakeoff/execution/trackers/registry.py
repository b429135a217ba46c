"""The only place that maps a tracker's name to code."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Final

from bakeoff.errors import ConfigError
from bakeoff.execution.trackers.contract import Tracker
from bakeoff.execution.trackers.tensorboard import TensorBoard
from bakeoff.execution.trackers.trackio import Trackio
from bakeoff.execution.trackers.wandb import WandB

TRACKERS: Final[dict[str, type[Tracker]]] = {
    tracker.name: tracker for tracker in (TensorBoard, Trackio, WandB)
}


def require_installed(names: Sequence[str]) -> None:
    """Refuses trackers that cannot be imported.

    Raises:
        ConfigError: naming the command that installs the first of them.
    """
    for name in names:
        tracker = TRACKERS[name]
        if find_spec(tracker.module) is None:
            raise ConfigError(
                f"track: {name} is asked for, but {tracker.module} is not installed; "
                f"pip install 'bakeoff[{tracker.extra}]', or leave it out"
            )
