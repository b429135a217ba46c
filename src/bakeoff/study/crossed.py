"""A study whose methods are crossed with bases and prompts, as one study and as its cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bakeoff.study.crossing import (
    BASES,
    TEMPLATES,
    Levels,
    Place,
    also_by_bytes,
    cells_of,
    first_of,
    given_keys,
)
from bakeoff.tasks.layouts import with_layout
from bakeoff.tasks.registry import read_task

if TYPE_CHECKING:
    from bakeoff.study.options import Study


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
        metrics: ``task.metrics`` as the study gives it.
        own: keys of the study that its first base has besides, such as ``quantization``.
    """

    levels: Levels
    cells: tuple[Cell, ...]
    metric: str | None
    metrics: Any
    own: Mapping[str, Any]

    def resolved(self, mapping: Mapping[str, Any], also_test: Mapping[str, Any]) -> dict[str, Any]:
        """The resolved study.

        Args:
            mapping: the same as if it were the first cell's. also_test: as the study gives it.
        """
        found = dict(mapping)
        task = {key: value for key, value in mapping["task"].items() if key != "metrics"}
        if self.levels.templates is not None:
            task.pop("template", None)
        if self.levels.bases is not None:
            for key in next(iter(self.levels.bases.values())).keys:
                del found[key]
        return {
            **found,
            **self.own,
            **self.levels.resolved,
            "task": {**task, "metrics": self.metrics},
            "decision": {**mapping["decision"], "metric": self.metric},
            # As given: what a set takes over from the task differs from layout to layout.
            "also_test": dict(also_test),
        }


def crossed(
    merged: Mapping[str, Any], levels: Levels, make: Callable[[Mapping[str, Any]], Study]
) -> Study:
    """A study with bases or templates: what its cells have in common, and all of them.

    Args:
        merged: the study, with its overrides. levels: of its factors.
        make: a study of a mapping without factors.

    Raises:
        ConfigError: for anything that breaks a rule, by its path in the study.
    """
    first = first_of(merged, levels)
    given = first.get("task")
    task = read_task(given)  # whose errors name the study's own keys
    assert isinstance(given, Mapping)
    if levels.templates is not None:
        for name, text in levels.templates.items():
            with_layout(given, text, f"{TEMPLATES}.{name}")
    own = tuple(metric.name for metric in task.metrics_before_rows)
    decision = first.get("decision")
    named = decision.get("metric") if isinstance(decision, Mapping) else None
    shared = {"deciding": named or own[0], "metrics": tuple(task.metric_names)}
    decision = {"metric": named or own[0], **given_keys(decision)}
    scored = also_by_bytes(given, tuple(task.metric_names))
    study = make({**first, "task": scored, "decision": decision})
    cells = tuple(
        Cell(place=place, study=make(mapping))
        for place, mapping in cells_of(merged, levels, **shared)
    )
    decided = [] if levels.bases is None else next(iter(levels.bases.values())).keys
    crossing = Crossing(
        levels=levels,
        cells=cells,
        metric=named,
        metrics=given.get("metrics"),
        own={key: merged[key] for key in decided if merged.get(key) is not None},
    )
    found = {key: levels.resolved.get(key) for key in (BASES, TEMPLATES)}
    return replace(study, options=replace(study.options, **found), crossing=crossing)
