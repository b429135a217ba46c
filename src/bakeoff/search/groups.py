"""Which candidates may share a pass at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bakeoff.engine.candidate import Candidate
from bakeoff.engine.options import SEARCHED_OF_PROTOCOL
from bakeoff.methods.contract import ExecutionPath


@dataclass(frozen=True, kw_only=True)
class PassGroup:
    """Candidates that may share a pass: of one execution path, trained by one protocol.

    Attributes:
        overrides: searched settings of the protocol, by name.
    """

    execution_path: ExecutionPath
    overrides: tuple[tuple[str, Any], ...] = ()

    @property
    def key(self) -> str:
        """Its name in what is saved."""
        return ",".join([self.execution_path.value, *(f"{k}={v}" for k, v in self.overrides)])

    def holds(self, candidate: Candidate) -> bool:
        """Whether a candidate is one of the group."""
        return group_of(candidate) == self


def group_of(candidate: Candidate) -> PassGroup:
    """The group that a candidate trains in."""
    overrides = {k: v for k, v in candidate.options.items() if k in SEARCHED_OF_PROTOCOL}
    return PassGroup(
        execution_path=candidate.method.execution_path,
        overrides=tuple(sorted(overrides.items())),
    )
