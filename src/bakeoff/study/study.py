"""A study that is checked and ready to run, whole and in its cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bakeoff.config import to_mapping
from bakeoff.methods.entries import MethodEntry
from bakeoff.methods.external import ExternalEntry
from bakeoff.metrics.judge import JudgeOptions
from bakeoff.search.options import without_password
from bakeoff.study.also import AlsoTest
from bakeoff.study.crossing import BASES, TEMPLATES, Levels, Place
from bakeoff.study.judge_options import with_judge_options, without_judge_options
from bakeoff.study.options import StudyOptions
from bakeoff.tasks.contract import Baseline, Task
from bakeoff.tasks.layouts import OF_LAYOUT
from bakeoff.tasks.registry import read_task


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study ready to run.

    Attributes:
        options: as checked. task: what is learnt. entries: its methods, in order.
        root: the folder that relative paths start from.
        baselines: what takes part without training. also: further test sets, by name.
        externals: entrants that were made elsewhere.
        crossing: of a study with ``bases`` or ``templates`` its parts; all else is then of the
            first one, and its methods have their plain names.
    """

    options: StudyOptions
    task: Task
    entries: tuple[MethodEntry, ...]
    root: Path
    baselines: tuple[Baseline, ...]
    also: Mapping[str, AlsoTest] = field(default_factory=dict)
    externals: tuple[ExternalEntry, ...] = ()
    crossing: Crossing | None = None

    def with_source(self, source: str) -> Study:
        """The study with its task's rows in another place."""
        task = {**self.options.task, "source": source}
        crossing = self.crossing
        if crossing is not None:
            moved = [replace(c, study=c.study.with_source(source)) for c in crossing.cells]
            crossing = replace(crossing, cells=tuple(moved))
        return replace(
            self,
            options=replace(self.options, task=task),
            task=task_of(task, self.options.judge),
            crossing=crossing,
        )

    @property
    def resolved(self) -> dict[str, Any]:
        """The whole study as a plain mapping with every default written out, but no password."""
        mapping = to_mapping(self.options)
        mapping["task"] = without_judge_options(to_mapping(self.task.options))
        mapping["also_test"] = {name: found.resolved for name, found in self.also.items()}
        for key in (BASES, TEMPLATES):
            if mapping[key] is None:
                del mapping[key]
        if self.crossing is not None:
            mapping = self.crossing.resolved(mapping, self.options.also_test)
        found = {entry.name: _resolved(entry) for entry in self.entries}
        found |= {entry.name: entry.resolved for entry in self.externals}
        mapping["methods"] = {name: found[name] for name in self.options.methods if name in found}
        search = self.options.search
        if search is not None:
            del mapping["search"]["seeds"]  # they are the protocol's
            if search.storage is not None:
                mapping["search"]["storage"] = without_password(search.storage)
        return mapping


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One base with one layout: a study of its own, with methods such as ``lora@tiny@short``."""

    place: Place
    study: Study


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """A study whose methods are crossed with bases, with layouts, or with both.

    Attributes:
        levels: of the factors. cells: all combinations, in order.
        metric: the one that decides, as the study names it; None takes the task's own.
        task: keys of its ``task`` section that a cell has in another form, as they are given.
        own: keys of the study that its first base has besides, such as ``quantization``.
    """

    levels: Levels
    cells: tuple[Cell, ...]
    metric: str | None
    task: Mapping[str, Any]
    own: Mapping[str, Any]

    def resolved(self, mapping: Mapping[str, Any], also_test: Mapping[str, Any]) -> dict[str, Any]:
        """The resolved study.

        Args:
            mapping: the same as if it were the first cell's. also_test: as the study gives it.
        """
        found = dict(mapping)
        hidden = {"metrics"}
        if self.levels.templates is not None:
            hidden |= {"template", *OF_LAYOUT}
        task = {key: value for key, value in mapping["task"].items() if key not in hidden}
        task |= {"metrics": None, **self.task}
        if self.levels.bases is not None:
            for key in next(iter(self.levels.bases.values())).keys:
                del found[key]
        return {
            **found,
            **self.own,
            **self.levels.resolved,
            "task": task,
            "decision": {**mapping["decision"], "metric": self.metric},
            # As given: what a set takes over from the task differs from layout to layout.
            "also_test": dict(also_test),
        }


def task_of(given: Mapping[str, Any], judge: JudgeOptions | None) -> Task:
    """The study's task; its metric ``judge`` knows who judges."""
    return read_task(with_judge_options(given, judge))


def _resolved(entry: MethodEntry) -> dict[str, Any]:
    first = {key: values[0] for key, values in entry.listed.items()}
    options = to_mapping(entry.spec.read_options({**entry.given, **first}))
    rate = entry.learning_rate if entry.rates is None else list(entry.rates)
    held = {} if entry.quantization is None else {"quantization": entry.quantization}
    return {"kind": entry.kind, "learning_rate": rate, **held, **options, **entry.listed}
