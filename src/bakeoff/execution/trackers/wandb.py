"""Weights & Biases: a run per study, offline, a group of curves per candidate."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

from bakeoff.execution.trackers.contract import Cell, TrackedStudy, Tracker

PROJECT = "bakeoff"


class WandB(Tracker):
    """Writes to ``RUN/wandb``; offline unless ``WANDB_MODE`` says otherwise."""

    name = "wandb"
    module = "wandb"
    extra = "wandb"

    def __init__(self, study: TrackedStudy) -> None:
        os.environ.setdefault("WANDB_MODE", "offline")
        os.environ.setdefault("WANDB_SILENT", "true")
        self._wandb: Any = importlib.import_module(self.module)
        self._run = self._wandb.init(
            project=PROJECT, name=study.name, dir=str(study.folder), config=dict(study.options)
        )
        # Candidates reach their epochs at different times, so that each has its own axis.
        self._run.define_metric("*", step_metric="epoch")

    def epoch(self, candidate: str, epoch: int, values: Mapping[str, float]) -> None:
        """See ``Tracker``."""
        named = {f"{candidate}/{key}": value for key, value in values.items()}
        self._run.log({**named, "epoch": epoch})

    def state(self, candidate: str, state: str, reason: str | None) -> None:
        """See ``Tracker``."""
        self._run.summary[f"{candidate}/state"] = f"{state}: {reason}" if reason else state

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """See ``Tracker``."""
        data = [list(row) for row in rows]
        self._run.log({"results": self._wandb.Table(columns=list(columns), data=data)})

    def close(self) -> None:
        """See ``Tracker``."""
        self._run.finish()
