"""Which candidates may share a pass at all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from bakeoff.engine.candidate import Candidate
from bakeoff.engine.options import SEARCHED_OF_PROTOCOL
from bakeoff.methods.contract import ExecutionPath


@dataclass(frozen=True, kw_only=True)
class PassGroup:
    """Candidates that may share a pass: of one execution path, trained by one protocol.

    Slots go through epochs in step, so those on subsets of one size are a group of their own.

    Attributes:
        overrides: searched settings of the protocol, by name.
        rows: of the subset of the training rows; None for all of them.
    """

    execution_path: ExecutionPath
    overrides: tuple[tuple[str, Any], ...] = ()
    rows: int | None = None

    @property
    def key(self) -> str:
        """Its name in what is saved."""
        rows = [] if self.rows is None else [("rows", self.rows)]
        named = [f"{key}={value}" for key, value in (*self.overrides, *rows)]
        return ",".join([self.execution_path.value, *named])

    @property
    def on_all_rows(self) -> PassGroup:
        """The group of those that are trained alike on all rows."""
        return replace(self, rows=None)

    def holds(self, candidate: Candidate) -> bool:
        """Whether a candidate is one of the group."""
        return group_of(candidate) == self


def group_of(candidate: Candidate) -> PassGroup:
    """The group that a candidate trains in."""
    overrides = {k: v for k, v in candidate.options.items() if k in SEARCHED_OF_PROTOCOL}
    return PassGroup(
        execution_path=candidate.method.execution_path,
        overrides=tuple(sorted(overrides.items())),
        rows=candidate.rows,
    )
