"""What is said of a pair, whichever way round it was compared."""

from __future__ import annotations

from dataclasses import replace

from bakeoff.decide.verdicts import comparison, turned, untuned_of, verdict_of
from bakeoff.runs.decisions import Comparison, Spread
from tests.decide.made import study_of

METHODS = {"lora": 3.0, "head": 3.5}
FOUND = Comparison(
    a="lora",
    b="head",
    set="test",
    metric="nll",
    difference=-0.5,
    low=-0.75,
    high=-0.25,
    p_value=0.01,
    margin=0.05,
    level=0.95,
    seeds=(5, 1),
    examples=100,
    verdict="better",
    error=0.1,
    freedom=4.0,
    fixed=(False, True),
    differing=90,
    spread=Spread(rows=0.3, seeds=(0.1, 0.0), scores=(0.2, 0.4)),
    equivalent_from=0.75,
)
TURNED = replace(
    FOUND,
    a="head",
    b="lora",
    difference=0.5,
    low=0.25,
    high=0.75,
    seeds=(1, 5),
    verdict="worse",
    fixed=(True, False),
    spread=Spread(rows=0.3, seeds=(0.0, 0.1), scores=(0.4, 0.2)),
)


def test_a_comparison_is_turned_with_all_that_belongs_to_one_side() -> None:
    assert turned(FOUND) == TURNED
    assert turned(TURNED) == FOUND
    tie = turned(replace(FOUND, difference=0.0, low=0.0, high=0.0))
    assert "-" not in f"{tie.difference} {tie.low} {tie.high}"
    alike = replace(FOUND, low=None, high=None, verdict="undecided", spread=None)
    found = turned(alike)
    assert (found.low, found.high, found.spread, found.verdict) == (None, None, None, "undecided")


def test_either_side_may_be_asked_for() -> None:
    results = replace(study_of(METHODS), comparisons=(FOUND,))
    assert comparison(results, "lora", "head") == FOUND
    assert comparison(results, "head", "lora") == TURNED
    assert verdict_of(results, "head", "lora") == "worse"
    assert comparison(results, "head", "lora", "rouge1") is None
    assert comparison(results, "head", "lora", set="more") is None
    assert verdict_of(results, "head", "zero_shot") is None


def test_of_a_crossed_study_a_method_s_untuned_base_is_its_cell_s() -> None:
    results = study_of(METHODS, {"zero_shot": 9.0, "lead": 8.0})
    zero_shot, lead = results.baselines.values()
    results = replace(
        results,
        methods={"lora@b": replace(results.methods["lora"], cell="b")},
        baselines={
            "zero_shot@a": replace(zero_shot, cell="a", plain_name="zero_shot"),
            "lead@b": replace(lead, cell="b", plain_name="lead"),
            "zero_shot@b": replace(zero_shot, cell="b", plain_name="zero_shot"),
        },
    )
    for name in ("lora@b", "lead@b", "zero_shot@b"):
        assert untuned_of(results, name) == "zero_shot@b"
    assert untuned_of(results, "zero_shot@a") == "zero_shot@a"
    assert untuned_of(study_of(METHODS), "lora") == "zero_shot"
