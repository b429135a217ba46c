"""What a searched study finds again after its last word was lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bakeoff.engine.train import Trainer
from tests.studies import without_times

Run = Callable[..., Any]
Results = Callable[[], dict[str, Any]]
pytestmark = pytest.mark.usefixtures("quick")

SEARCHED: dict[str, Any] = {
    "methods": {"head": {}, "lora": {"rank": [1, 2]}},
    "search": {"learning_rates": 2, "seeds": 2, "growth": 1, "grid_factor": 10.0},
    "protocol": {"epochs": 2},
}


@pytest.mark.parametrize("seeds", [pytest.param(1, marks=pytest.mark.soak), 2])
def test_without_its_results_a_complete_search_neither_trains_nor_tests_again(
    run_small: Run,
    place: Path,
    trained: list[str],
    tested: list[str],
    results: Results,
    seeds: int,
) -> None:
    changes = {**SEARCHED, "search": {**SEARCHED["search"], "seeds": seeds}}
    assert run_small(**changes).code == 0
    before = without_times(results())
    # Only the chosen rate's seeds were tested.
    finals = [c for m in results()["methods"].values() for c in m["candidates"]]
    assert sorted(tested) == sorted(finals)
    assert len(finals) == 2 * seeds
    (place / "out/results.json").unlink()
    trained.clear()
    tested.clear()
    assert run_small(**changes).code == 0
    assert trained == []
    assert tested == []
    assert without_times(results()) == before


@pytest.mark.parametrize("seeds", [pytest.param(1, marks=pytest.mark.soak), 2])
def test_a_fault_after_the_tests_repeats_none_of_them(
    run_small: Run,
    monkeypatch: pytest.MonkeyPatch,
    trained: list[str],
    tested: list[str],
    results: Results,
    seeds: int,
) -> None:
    changes = {**SEARCHED, "search": {**SEARCHED["search"], "seeds": seeds}}

    def broken(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("bakeoff.study.costs.measure_costs", broken)
        assert run_small(**changes).code == 130
    trained.clear()
    tested.clear()
    assert run_small(**changes).code == 0
    assert trained == []
    assert tested == []
    assert results()["status"] == "complete"
    assert all(m["cost"]["adapter_bytes"] for m in results()["methods"].values())


def test_a_rate_that_failed_is_reported_and_the_study_goes_on(
    run_small: Run, monkeypatch: pytest.MonkeyPatch, results: Results
) -> None:
    sit_down = Trainer._sit_down

    def broken(self: Trainer, slot: int, candidate: Any, snapshot: Any) -> None:
        if candidate.id == "head-lr0.001581-s1000":
            raise RuntimeError("boom")
        sit_down(self, slot, candidate, snapshot)

    monkeypatch.setattr(Trainer, "_sit_down", broken)
    assert run_small(**{**SEARCHED, "methods": {"head": {}}}).code == 0
    assert results()["candidates"]["head-lr0.001581-s1000"]["state"] == "FAILED"
    assert any("rates failed and took no part" in note for note in results()["notes"])
    assert results()["methods"]["head"]["test"]["nll"]["mean"] > 0


def test_the_order_of_the_methods_is_free(run_small: Run, trained: list[str]) -> None:
    methods = {"head": {"learning_rate": 1e-3}, "lora": {"learning_rate": 1e-3}}
    assert run_small(methods=methods).code == 0
    trained.clear()
    outcome = run_small(methods=dict(reversed(methods.items())))
    assert outcome.code == 0 and trained == []


def test_a_rate_that_a_search_does_not_use_is_reported(run_small: Run, results: Results) -> None:
    outcome = run_small(
        methods={"head": {"learning_rate": 0.5}},
        search={"trials": 1, "seeds": 1, "space": {"learning_rate": [0.01]}},
    )
    assert outcome.code == 0
    reported = "methods.head.learning_rate: 0.5 is not used"
    assert any(reported in note for note in results()["notes"])
    assert reported in " ".join(outcome.out.split())
