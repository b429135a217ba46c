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
from bakeoff.tasks.layouts import OF_LAYOUT, with_layout
from bakeoff.tasks.registry import present_keys, read_task

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
    if not isinstance(given, Mapping) or levels.templates is None:
        task, laid = read_task(given), given
    else:
        layouts = [
            with_layout(given, text, f"{TEMPLATES}.{name}")
            for name, text in levels.templates.items()
        ]
        task, laid = read_task(layouts[0]), layouts[0]
    assert isinstance(given, Mapping) and isinstance(laid, Mapping)
    own = tuple(metric.name for metric in task.metrics_before_rows)
    decision = first.get("decision")
    named = decision.get("metric") if isinstance(decision, Mapping) else None
    deciding = str(named or own[0])
    decision = {"metric": deciding, **given_keys(decision)}
    scored = also_by_bytes(laid, tuple(task.metric_names))
    study = make({**first, "task": scored, "decision": decision})
    cells = tuple(
        Cell(place=place, study=make(mapping))
        for place, mapping in cells_of(
            merged, levels, deciding=deciding, metrics=tuple(task.metric_names)
        )
    )
    decided = [] if levels.bases is None else next(iter(levels.bases.values())).keys
    crossing = Crossing(
        levels=levels,
        cells=cells,
        metric=named,
        task=_as_given(given),
        own={key: merged[key] for key in decided if merged.get(key) is not None},
    )
    found: dict[str, Any] = {key: levels.resolved.get(key) for key in (BASES, TEMPLATES)}
    return replace(study, options=replace(study.options, **found), crossing=crossing)


def _as_given(task: Mapping[str, Any]) -> dict[str, Any]:
    """Names of columns, what names parts of a layout, and the metrics."""
    return {
        key: value
        for key, value in present_keys(task).items()
        if key in ("metrics", *OF_LAYOUT) or (isinstance(value, str) and key != "source")
    }
