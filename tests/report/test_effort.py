"""The figures of what each search reached for what it spent."""

from __future__ import annotations

from dataclasses import replace

from bakeoff.decide.effort import leaders
from bakeoff.decide.prices import PriceOptions
from bakeoff.page.figure import Figure
from bakeoff.page.palette import looks
from bakeoff.report.figures.effort import _changes, effort_figures
from bakeoff.runs.factors import CellRecord, FactorsRecord
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
    four = golden("four")
    assert list(figures(four)) == ["best_so_far"]  # of single trainings, the mean over seeds
    untimed = with_methods(four, **{name: {"cost": CostRecord()} for name in four.methods})
    assert figures(untimed) == {}
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


def test_prices_draw_it_in_money() -> None:
    results = golden("four")
    priced = replace(results, study={**results.study, "prices": {"device_hour": 3.6}})
    found = figures(priced)
    assert list(found) == ["best_so_far", "best_so_far_money"]
    assert "an hour of the device at $3.60" in found["best_so_far_money"].caption
    first = results.methods["full"]
    assert first.cost.epoch_seconds is not None
    price = PriceOptions(device_hour=3.6)
    amount = price.of_seconds(first.cost.epoch_seconds.mean)
    assert amount is not None
    assert f"full, {price.shown(amount)}:" in found["best_so_far_money"].inline[0]


def crossed(results: Results, bits: float | None) -> Results:
    """As if full and lora were over bases of two tokenizers."""
    cells = {
        name: CellRecord(base=name, template=None, folder=name, status="complete", bits=one)
        for name, one in (("a", 1.0), ("b", bits))
    }
    record = FactorsRecord(
        levels={"base": ("a", "b")},
        cells=cells,
        metric="bits_per_byte",
        level=0.95,
        rows=4,
        one_tokenizer=False,
    )
    methods = {
        name: replace(results.methods[name], cell=cell)
        for name, cell in (("full", "a"), ("lora", "b"))
    }
    study = {**results.study, "prices": {"device_hour": 3.6}}
    return replace(results, methods=methods, factors=record, study=study)


def test_bases_of_different_tokenizers_are_drawn_in_bits_per_byte() -> None:
    results = golden("four")
    plain = figures(results)["best_so_far"].alt
    found = figures(crossed(results, 0.5))
    assert list(found) == ["best_so_far", "best_so_far_money"]
    loss = float(plain.partition("lora ")[2].partition(",")[0])
    for figure in found.values():
        assert "NLL" not in figure.alt + figure.caption and "bits per byte so far" in figure.alt
        assert f"lora {loss / 2:.2f}" in figure.alt or f"lora {loss / 2:.3f}" in figure.alt
    assert "leads" in found["best_so_far"].caption
    # Where the factor is not known no method leads, and both captions say why.
    for figure in figures(crossed(results, None)).values():
        assert "never between two" in figure.caption and "lead" not in figure.caption


def test_the_caption_says_where_the_leader_changes() -> None:
    curves = {"quick": [(1.0, 3.0), (2.0, 2.9)], "slow": [(4.0, 2.95), (8.0, 2.0)]}
    assert leaders(curves) == [(1.0, "quick"), (8.0, "slow")]
    assert _changes(curves) == "quick leads up to 8.0 s, then slow."
    assert _changes({"quick": curves["quick"]}) == ""
    assert _changes({"quick": curves["quick"], "late": [(9.0, 3.0)]}) == "quick leads throughout."
