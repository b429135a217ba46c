"""A recommendation from the records alone is the one from the scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from bakeoff.decide.evidence import evidence_from
from bakeoff.decide.referee.advice import method_among, recommendation
from bakeoff.decide.referee.components import components_of, raised_variances
from bakeoff.decide.referee.evidence import Evidence
from bakeoff.decide.referee.influence import of_means
from bakeoff.decide.referee.judging import judge_pairs
from bakeoff.decide.referee.question import Question
from bakeoff.runs.decisions import Comparison, Recommendation
from bakeoff.runs.reading import from_json, to_json
from tests.decide.referee.test_compare import study

SHIFTS = {"a": 0.0, "b": 0.01, "c": -0.2, "base": -1.0}


def asked(**changes: Any) -> Question:
    return Question(
        **{
            "higher_is_better": True,
            "margin": 0.05,
            "alpha": 0.05,
            "baselines": ["base"],
            **changes,
        }
    )


def both(
    shifts: Mapping[str, float], question: Question, **scores: Any
) -> tuple[Evidence, Evidence, tuple[Comparison, ...]]:
    """What scores show, and what records made of them show after a way through JSON."""
    runs = study(dict(shifts), **scores)
    runs["base"] = runs["base"][:1]
    methods = {
        name: components_of(of_means(own), one_run_is_fixed=name == "base")
        for name, own in runs.items()
    }
    comparisons, _, evidence = judge_pairs(
        methods, question, raised_variances(list(methods.values()))
    )
    written = tuple(from_json(Comparison, to_json(c), where="x") for c in comparisons)
    assert written == comparisons
    again = evidence_from(
        dict(zip(evidence.names, evidence.means, strict=True)),
        dict(zip(evidence.names, evidence.num_seeds, strict=True)),
        written,
        0,
        ["base"],
    )
    return evidence, again, comparisons


def close(one: Recommendation, other: Recommendation) -> None:
    assert (one.verdict, one.method, one.why) == (other.verdict, other.method, other.why)
    for part in ("equivalent", "undecided", "behind", "needs"):
        assert getattr(one, part) == getattr(other, part)
    assert (one.fallback is None) == (other.fallback is None)
    if one.fallback is not None and other.fallback is not None:
        assert one.fallback.method == other.fallback.method
        assert one.fallback.regret == pytest.approx(other.fallback.regret)
        assert one.fallback.bound == pytest.approx(other.fallback.bound)


@pytest.mark.parametrize(
    ("scores", "changes"),
    [
        ({}, {}),
        ({"seeds": 3}, {}),
        ({"seeds": 3, "rows": 60}, {"margin": 0.01}),
        ({"seeds": 3, "rows": 60}, {"margin": 0.0}),
        ({"seeds": 2}, {}),
        ({"seeds": 1}, {}),
        ({}, {"higher_is_better": False}),
        ({}, {"candidates": ["b", "c"], "costs": {"b": 2.0, "c": 1.0}}),
        ({}, {"withheld": "a label is rare"}),
    ],
)
def test_records_hold_all_that_the_rules_need(
    scores: dict[str, Any], changes: dict[str, Any]
) -> None:
    question = asked(**changes)
    evidence, again, _ = both(SHIFTS, question, **scores)
    close(recommendation(evidence, question), recommendation(again, question))
    assert method_among(evidence, question) == recommendation(again, question).method


@pytest.mark.parametrize("rows", [120, 400])
def test_few_differing_rows_are_known_from_the_records(rows: int) -> None:
    rng = np.random.default_rng(1)
    a = (rng.random((3, rows)) < 0.8).astype(float)
    b = a.copy()
    b[:, :6] = 1.0 - b[:, :6]
    methods = {name: components_of(of_means(own)) for name, own in {"a": a, "b": b}.items()}
    question = asked(baselines=())
    comparisons, _, evidence = judge_pairs(methods, question)
    means = dict(zip(evidence.names, evidence.means, strict=True))
    again = evidence_from(means, {"a": 3, "b": 3}, comparisons, 0, ())
    found = recommendation(again, question)
    close(found, recommendation(evidence, question))
    assert found.needs is not None and found.needs.rows == rows * 10 // 6 + (rows * 10 % 6 > 0)


def test_pairs_without_records_are_not_judged() -> None:
    question = asked()
    evidence, _, comparisons = both(SHIFTS, question)
    known = [c for c in comparisons if {c.a, c.b} != {"a", "base"}]
    again = evidence_from(
        dict(zip(evidence.names, evidence.means, strict=True)),
        dict.fromkeys(SHIFTS, 5),
        known,
        0,
        ["base"],
    )
    found = recommendation(again, question)
    assert found.method != "a"
    assert found.fallback is None or found.fallback.regret is None


def test_the_spread_is_that_of_one_row_and_one_seed() -> None:
    question = asked()
    _, _, comparisons = both(SHIFTS, question, seeds=10, rows=2000, spread=0.03)
    spreads = {(c.a, c.b): c.spread for c in comparisons}
    between, fixed = spreads["a", "b"], spreads["a", "base"]
    assert between is not None and fixed is not None
    # Effects of method by row of 0.05 for each of two; of runs 0.05; of seeds 0.03.
    assert between.rows == pytest.approx(0.05 * 2**0.5, rel=0.05)
    assert between.scores == pytest.approx((0.05, 0.05), rel=0.05)
    assert between.seeds == pytest.approx((0.03, 0.03), rel=0.5)
    assert fixed.seeds[1] == fixed.scores[1] == 0.0
    (pair,) = (c for c in comparisons if (c.a, c.b) == ("a", "b"))
    assert pair.error is not None
    rebuilt = between.rows**2 / 2000 + sum(
        s**2 / 10 + r**2 / 20_000 for s, r in zip(between.seeds, between.scores, strict=True)
    )
    assert pair.error**2 == pytest.approx(rebuilt)


def test_what_is_fixed_is_known_without_a_comparison() -> None:
    means = dict.fromkeys(("a", "one", "base", "many"), 1.0)
    seeds = {"a": 5, "one": 1, "base": 1, "many": 3}
    found = evidence_from(means, seeds, (), 100, ["base", "many"])
    assert found.fixed == (False, False, True, False)
    ready = np.array([True, False, True, True])
    assert (found.tests.has_seeds == (ready[:, None] & ready)).all()
