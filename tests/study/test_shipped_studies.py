"""Every study of the folder ``studies/``: each method is built on a base of the shape it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakeoff.base.model import Base
from bakeoff.study.loading import load_study
from bakeoff.study.opening import load_base
from bakeoff.study.study import Study

FOLDER = Path(__file__).parents[2] / "studies"
FILES = sorted(str(file.relative_to(FOLDER)) for file in FOLDER.rglob("*.yaml"))
# Random weights: those of the base itself may not be on this machine.
SHAPES = {"smollm2-135m": "scratch:smollm2-135m", "EleutherAI/gpt-neo-125m": "scratch:gpt-neo-125m"}


@pytest.fixture(scope="module")
def bases() -> dict[str, Base]:
    """Those that a study has needed, by their references."""
    return {}


def on_random_weights(file: Path) -> list[Study]:
    """The study, or those that a crossed one consists of."""
    study = load_study(file)
    if study.crossing:
        return [cell.study for cell in study.crossing.cells]
    base = study.options.base
    return [load_study(file, [f"base={SHAPES.get(base, base)}"])]


@pytest.mark.parametrize("name", FILES)
def test_each_method_can_be_trained_on_its_base(name: str, bases: dict[str, Base]) -> None:
    for study in on_random_weights(FOLDER / name):
        reference = study.options.base
        if reference not in bases:
            bases[reference] = load_base(study, "cpu")
        for entry in study.entries:
            for method in entry.build(bases[reference]).values():
                assert method.shapes
