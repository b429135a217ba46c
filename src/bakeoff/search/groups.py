"""Which candidates may share a pass at all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from bakeoff.base.choice import THE_BASE, BaseChoice
from bakeoff.base.devices import kind_of
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.options import SEARCHED_OF_PROTOCOL
from bakeoff.methods.contract import ExecutionPath, Method


@dataclass(frozen=True, kw_only=True)
class PassGroup:
    """Candidates that may share a pass: of one execution path, trained by one protocol; on a CPU
    of one kind of method.

    A pass runs through one held base. Slots go through epochs in step, so those on subsets of one
    size are a group of their own.

    Attributes:
        kind: of method, where kinds have passes of their own; see ``kind_apart``.
        overrides: searched settings of the protocol, by name.
        rows: of the subset of the training rows; None for all of them.
        choice: of the held base that they train on.
    """

    execution_path: ExecutionPath
    kind: str = ""
    overrides: tuple[tuple[str, Any], ...] = ()
    rows: int | None = None
    choice: BaseChoice = THE_BASE

    @property
    def key(self) -> str:
        """Its name in what is saved."""
        rows = [] if self.rows is None else [("rows", self.rows)]
        named = [f"{key}={value}" for key, value in (*self.overrides, *rows)]
        base = [self.choice.label] if self.choice.label else []
        kind = [self.kind] if self.kind else []
        return ",".join([self.execution_path.value, *kind, *base, *named])

    @property
    def as_tested(self) -> PassGroup:
        """Those that are tested with it: how they were trained does not matter."""
        return PassGroup(execution_path=self.execution_path, kind=self.kind, choice=self.choice)

    @property
    def on_all_rows(self) -> PassGroup:
        """The group of those that are trained alike on all rows."""
        return replace(self, rows=None)

    def holds(self, candidate: Candidate) -> bool:
        """Whether a candidate is one of the group."""
        return group_of(candidate) == self


def kind_apart(method: Method) -> str:
    """The kind of a method where it shares passes with its own kind alone; else nothing.

    Of methods that run through the whole base: the other paths have one kind in a pass anyway.
    So on a CPU: a pass of several kinds there saves at most a twentieth of their time one after the
    other, and on larger bases costs more; a soft prompt's vectors even lengthen the rows of all who
    share its pass. See ``docs/experiments.md``. On a GPU, whose passes are made for all, it is not
    measured.
    """
    is_shared = method.execution_path is ExecutionPath.BASE
    return method.kind if is_shared and kind_of(method.base.device) == "cpu" else ""


def group_of(candidate: Candidate) -> PassGroup:
    """The group that a candidate trains in."""
    overrides = {k: v for k, v in candidate.options.items() if k in SEARCHED_OF_PROTOCOL}
    return PassGroup(
        execution_path=candidate.method.execution_path,
        kind=kind_apart(candidate.method),
        overrides=tuple(sorted(overrides.items())),
        rows=candidate.rows,
        choice=candidate.method.base.choice,
    )


def tested_together(candidates: Iterable[Candidate]) -> dict[PassGroup, list[Candidate]]:
    """Candidates that may be asked in one pass, by group: by execution path, then in their
    order."""
    found: dict[PassGroup, list[Candidate]] = {}
    for candidate in candidates:
        found.setdefault(group_of(candidate).as_tested, []).append(candidate)
    order = list(ExecutionPath)
    return {g: found[g] for g in sorted(found, key=lambda g: order.index(g.execution_path))}
