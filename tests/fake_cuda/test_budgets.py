"""No change makes an update or a token dearer unseen: ``budgets.json`` says what they may cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.fake_cuda.budgets import COSTLY, FIGURES, FILE, PROBE, versions

if TYPE_CHECKING:
    from tests.fake_cuda.conftest import Children

pytestmark = pytest.mark.fake_cuda
AGAIN = "python -m tests.fake_cuda.budgets"


def over(found: dict[str, int], budget: dict[str, int]) -> list[str]:
    """What costs more than it may, in words; less is welcome."""
    return [
        f"{figure}: {found[figure]} is more than {budget[figure]}"
        for figure in FIGURES
        if found[figure] > budget[figure]
    ]


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return read


@pytest.fixture(scope="module")
def figures(children: Children, content: dict[str, Any]) -> Callable[[str], dict[str, int]]:
    """What an entry costs now; all are measured in one process."""
    if content["versions"] != versions():
        pytest.skip(
            f"budgets.json counts operators of {content['versions']}, here are {versions()}; "
            f"measure again by {AGAIN}"
        )
    names = {name: f"{PROBE}{name}" for name in COSTLY}
    children.start(names.values())
    return lambda name: children.found(names[name])


@pytest.mark.parametrize("name", COSTLY)
def test_nothing_costs_more_than_it_may(
    name: str, figures: Callable[[str], dict[str, int]], content: dict[str, Any]
) -> None:
    excess = over(figures(name), content["budgets"][name])
    assert not excess, f"{name}: {'; '.join(excess)}. If it must, measure again by {AGAIN}"


def test_every_entry_has_a_budget_and_no_other(content: dict[str, Any]) -> None:
    assert content["budgets"].keys() == COSTLY.keys()
    assert all(set(budget) == set(FIGURES) for budget in content["budgets"].values())
    assert all(value > 0 for budget in content["budgets"].values() for value in budget.values())


def test_more_of_anything_is_over_and_less_is_not() -> None:
    budget = {"peak_bytes": 100, "operations": 10, "moved_bytes": 1000, "captures": 1}
    assert over(budget, budget) == []
    assert over({figure: value - 1 for figure, value in budget.items()}, budget) == []
    for figure in FIGURES:
        assert len(over(budget | {figure: budget[figure] + 1}, budget)) == 1
