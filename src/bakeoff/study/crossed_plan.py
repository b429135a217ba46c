"""The plan of a study with bases or templates: its cells', one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bakeoff.measure.cards import Card
from bakeoff.measure.plan import Report, StudyPlan
from bakeoff.measure.power import plan_power
from bakeoff.metrics.contract import Ask
from bakeoff.study.cells import OpenedCell, check_cells, deciding_metric, open_cells
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
    opened = open_cells(crossing, report)
    check_cells(study, opened)
    cells: dict[str, StudyPlan] = {}
    for cell in crossing.cells:
        label = cell.place.label

        def of_cell(text: str, label: str = label) -> None:
            report(f"{label}: {text}")

        cells[label] = plan_study(cell.study, device, card, of_cell, like=like)
    cells = _as_one_family(study, opened, cells)
    known = [p.wall_seconds["total"] for p in cells.values() if p.wall_seconds is not None]
    return CrossedPlan(
        study=study.options.name,
        cells=cells,
        wall_seconds=sum(known) if len(known) == len(cells) else None,
        fits=all(plan.fits for plan in cells.values()),
    )


def _as_one_family(
    study: Study, opened: Mapping[str, OpenedCell], cells: Mapping[str, StudyPlan]
) -> dict[str, StudyPlan]:
    """The cells' plans with what the whole study can say: it judges all cells in one family, by
    what compares between them, on the rows that they share."""
    deciding = deciding_metric(study, opened)
    known = [plan.power for plan in cells.values() if plan.power is not None]
    if len(known) < len(cells):
        return dict(cells)
    metrics = next(iter(opened.values())).task.metrics
    has_texts = all(m.asks is not Ask.LIKELIHOOD for m in metrics if m.name == deciding)
    # What asks no model says the same in every cell, and is judged once; it has no likelihoods.
    once = sum(one.outputs is not None for one in study.baselines) if has_texts else 0
    methods = sum(power.methods for power in known) - once * (len(known) - 1)
    rows = min(power.rows for power in known)
    found = {}
    for label, plan in cells.items():
        power = plan.power
        assert power is not None
        if power.metric != deciding:
            note = (
                f"cells are compared by {deciding}, of which it is not known how it varies: so "
                "which differences this design finds is not known"
            )
            found[label] = replace(plan, power=None, notes=(*plan.notes, note))
            continue
        found[label] = replace(
            plan,
            power=plan_power(
                power.spread,
                metric=power.metric,
                unit=power.unit,
                margin=power.margin,
                level=power.level,
                methods=methods,
                seeds=power.seeds,
                rows=rows,
            ),
        )
    return found
