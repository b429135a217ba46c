"""A study whose methods are crossed with bases and prompts becomes one study and its cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bakeoff.study.crossing import (
    BASES,
    TEMPLATES,
    Levels,
    also_by_bytes,
    cells_of,
    first_of,
    given_keys,
)
from bakeoff.study.judge_options import check_against
from bakeoff.study.study import Cell, Crossing, Study
from bakeoff.tasks.layouts import OF_LAYOUT, with_layout
from bakeoff.tasks.registry import present_keys, read_task


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
    _check_against(study, cells)
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


def _check_against(study: Study, cells: Sequence[Cell]) -> None:
    """Holds what a judge compares with against what the cells have."""
    crossed = {
        cell.place.variant(one.name): None
        for cell in cells
        for one in cell.study.baselines
        if one.outputs is None
    }
    check_against(
        study.options.judge,
        [*(one.name for one in study.baselines if one.outputs is not None), *crossed],
        also=[one.name for one in study.baselines],  # a plain name is the first cell's
        then=", and all answers of all bases and prompts are compared with it",
    )


def _as_given(task: Mapping[str, Any]) -> dict[str, Any]:
    """Names of columns, what names parts of a layout, and the metrics."""
    return {
        key: value
        for key, value in present_keys(task).items()
        if key in ("metrics", *OF_LAYOUT) or (isinstance(value, str) and key != "source")
    }
