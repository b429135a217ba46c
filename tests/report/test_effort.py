"""The figures of what each search reached for what it spent."""

from __future__ import annotations

from dataclasses import replace

from bakeoff.page.figure import Figure
from bakeoff.page.palette import looks
from bakeoff.report.figures.effort import effort_figures
from bakeoff.runs.records import CostRecord, Results
from bakeoff.types import RunState
from tests.golden_folders import golden, with_methods


def figures(results: Results) -> dict[str, Figure]:
    return {figure.name: figure for figure in effort_figures(results, looks(results.methods))}


def test_a_search_is_shown_by_its_trials_and_by_its_seconds() -> None:
    results = golden("searched")
    found = figures(results)
    assert list(found) == ["expected_best", "best_so_far"]
    for name, method in results.methods.items():
        assert method.search is not None
        number = len(method.search.curve)
        for figure in found.values():
            assert name in figure.alt
            assert f">{name}<" in figure.svg
        inline = found["expected_best"].inline[0]
        assert f"{name}, {number} tried:" in inline
        assert f"{name}, {number + 1} tried:" not in inline
        lowest = min(
            epoch.val_nll
            for point in method.search.curve
            for epoch in results.candidates[point.candidate].epochs
        )
        assert f"{name} {lowest:.3f}" in found["best_so_far"].alt


def test_without_a_search_or_its_costs_there_is_no_such_figure() -> None:
    assert figures(golden("four")) == {}
    results = golden("searched")
    untimed = with_methods(results, **{name: {"cost": CostRecord()} for name in results.methods})
    assert list(figures(untimed)) == ["expected_best"]


def test_trials_that_went_wrong_count_as_the_untuned_base() -> None:
    results = golden("searched")
    lost = replace(
        results,
        candidates={
            id: replace(candidate, state=RunState.DIVERGED)
            for id, candidate in results.candidates.items()
        },
    )
    untuned = results.baselines["zero_shot"].validation["nll"].mean
    found = figures(lost)["expected_best"]
    assert all(f"{name} {untuned:.3f}" in found.alt for name in results.methods)
