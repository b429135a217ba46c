"""The plan of a study with bases or templates: its cells', one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakeoff.measure.cards import Card
from bakeoff.measure.plan import Report, StudyPlan
from bakeoff.study.cells import check_cells, open_cells
from bakeoff.study.planning import plan_study
from bakeoff.study.study import Study


@dataclass(frozen=True, kw_only=True)
class CrossedPlan:
    """What all cells of a study cost, which are run one after the other.

    Attributes:
        cells: by label. wall_seconds: of all of them; None where one is not known.
        fits: whether each of them does; only one cell's base is held at a time.
    """

    study: str
    cells: Mapping[str, StudyPlan]
    wall_seconds: float | None
    fits: bool

    def as_mapping(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "study": self.study,
            "cells": {label: plan.as_mapping() for label, plan in self.cells.items()},
            "wall_seconds": self.wall_seconds,
            "fits": self.fits,
        }


def plan_crossed(
    study: Study,
    device: str,
    card: Card | None = None,
    report: Report = lambda text: None,
    *,
    like: Path | None = None,
) -> CrossedPlan:
    """Plans every cell of a study; see ``plan_study``."""
    crossing = study.crossing
    assert crossing is not None
    check_cells(study, open_cells(crossing, report))
    cells = {}
    for cell in crossing.cells:
        label = cell.place.label

        def of_cell(text: str, label: str = label) -> None:
            report(f"{label}: {text}")

        cells[label] = plan_study(cell.study, device, card, of_cell, like=like)
    known = [p.wall_seconds["total"] for p in cells.values() if p.wall_seconds is not None]
    return CrossedPlan(
        study=study.options.name,
        cells=cells,
        wall_seconds=sum(known) if len(known) == len(cells) else None,
        fits=all(plan.fits for plan in cells.values()),
    )
