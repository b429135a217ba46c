"""A study as calls on one folder are compared by; see ``runs/growth.py``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bakeoff.config import to_mapping
from bakeoff.errors import ConfigError
from bakeoff.metrics.contract import Ask
from bakeoff.runs.growth import Outline
from bakeoff.search.rounds import first_specs
from bakeoff.search.space import space_of
from bakeoff.study.loading import recorded
from bakeoff.study.study import Study
from bakeoff.study.without_code import TRUSTS, without_code
from bakeoff.tasks.contract import Task


def outline_of(mapping: Mapping[str, Any]) -> Outline:
    """A study's outline.

    Args:
        mapping: resolved, by this version or an earlier one. One that this version cannot read is
            compared key by key, so that its unknown keys are shown as differences.
    """
    try:
        # A folder's former study is compared before anyone decides to go on with it.
        study = recorded(without_code(mapping), folder=Path.cwd())
    except ConfigError:
        return Outline.plain(mapping)
    return Outline(
        resolved={**study.resolved, TRUSTS: mapping.get(TRUSTS, False)},
        settings=_settings(study),
        searched=tuple(_searched(study)),
        deciding=study.options.decision.metric or study.task.metrics_before_rows[0].name,
        writes=any(Ask.TEXT in one.asks for one in _tasks(study)),
    )


def _tasks(study: Study) -> Iterator[Task]:
    """The study's own, and those of its further test sets."""
    yield study.task
    for found in study.also.values():
        yield found.task


def _settings(study: Study) -> dict[str, dict[str, dict[str, Any]]]:
    if study.crossing is not None:
        # A layout's name stands for its text: with another one its candidates are others.
        templates = study.crossing.levels.templates or {}
        return {
            name: {
                label: {**options, "template": templates.get(cell.place.template or "")}
                for label, options in labels.items()
            }
            for cell in study.crossing.cells
            for name, labels in _settings(cell.study).items()
        }
    return {
        entry.name: {
            variant.label: {
                "kind": entry.kind,
                **to_mapping(variant.options),
                **variant.searched,
            }
            for variant in entry.variants
        }
        for entry in study.entries
    }


def _searched(study: Study) -> list[str]:
    search = study.options.search
    if search is None:
        return []
    seed = study.options.protocol.search_seed
    spaces = [space_of(entry, search, seed=seed) for entry in study.entries]
    return [spec.id for space in spaces for spec in first_specs(space)]
