"""A study whose seeds follow from looks says what its last look said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bakeoff.decide.last_look import last_look
from bakeoff.decide.recommendation import recommend
from bakeoff.decide.referee.recommend import Outcome
from bakeoff.engine.options import AdaptiveSeeds
from bakeoff.report.answer import build_answer
from bakeoff.report.page import family_words
from bakeoff.report.table import build_rows
from bakeoff.runs.decisions import LookRecord
from bakeoff.runs.records import Results
from bakeoff.study.judging import level_of
from bakeoff.study.looks import Looked, Scored, look_at
from bakeoff.types import RunState
from tests.decide.made import MARGIN, ratio, scores_of, study_of

SEEDS = AdaptiveSeeds(at_least=3, at_most=10)
ANSWERS = {
    Outcome.UNDECIDED: "undecided",
    Outcome.NONE: "none",
    Outcome.BEST: "best",
    Outcome.CHEAPEST_EQUIVALENT: "cheapest_equivalent",
}


def run_by_looks(seed: int, gap: float) -> tuple[Looked, Results, list[str]]:
    """A made-up study to its end: the last look, its results, and the methods' names."""
    names = ["a", "b", "c", "d"]
    means = dict(zip(names, (2.0, 2.0 + gap, 2.0 + 2 * gap, 2.4), strict=True))
    rng = np.random.default_rng(seed)
    shifts = {name: mean + rng.normal(0.0, 0.015) for name, mean in means.items()}
    runs = scores_of(
        {**shifts, "zero_shot": 9.0},
        seeds={**dict.fromkeys(names, 10), "zero_shot": 1},
        rows=120,
        spread=0.02,
        by_row=0.15,
        seed=seed,
    )
    have = dict.fromkeys(names, 3)
    while True:
        found = look_at(
            {n: Scored(runs=runs[n][: have[n]], value=ratio, is_ratio=True) for n in names},
            {"zero_shot": Scored(runs=runs["zero_shot"], value=ratio, is_ratio=True)},
            SEEDS,
            higher_is_better=False,
            margin=MARGIN,
            alpha=0.05,
        )
        if not found.wanted:
            break
        have |= dict.fromkeys(found.wanted, found.next_seeds)
    results = study_of(
        {name: shifts[name] for name in names},
        {"zero_shot": 9.0},
        seeds=have,
        level=level_of(SEEDS, 0.95),
        runs={n: own[: have.get(n, 1)] for n, own in runs.items()},
    )
    record = LookRecord(
        num_seeds=found.num_seeds,
        alpha=found.alpha,
        methods=tuple(n for k, n in enumerate(names) if k not in found.earlier),
        behind=tuple(names[k] for k in sorted(found.earlier)),
    )
    assert results.decision is not None
    results = replace(results, decision=replace(results.decision, look=record))
    return found, replace(results, recommendation=recommend(results)), names


@pytest.mark.parametrize("gap", [0.0, 0.03, 0.06])
def test_the_recommendation_is_the_last_looks(gap: float) -> None:
    ends: set[Any] = set()
    for seed in range(25):
        look, results, names = run_by_looks(seed, gap)
        found, standing = results.recommendation, look.standing
        assert found.verdict == ANSWERS[standing.outcome], seed
        assert found.method == (None if standing.method is None else names[standing.method])
        assert {names[k] for k in standing.behind} <= {*found.behind}
        assert last_look(results, names) is not None
        ends.add(look.num_seeds)
    assert len(ends) > 1


def test_it_is_said_which_look_it_is() -> None:
    for seed in range(25):
        look, results, _ = run_by_looks(seed, 0.06)
        if look.num_seeds == 5 and look.earlier:
            assert "This is the look at 5 seeds, at its own level of 0.985; c and d were shown" in (
                results.recommendation.why
            )
            return
    raise AssertionError("no study ended at the second look")


def test_those_behind_before_are_not_counted_as_if_they_were_not_there() -> None:
    why = first_at(5).recommendation.why
    assert "no worse than any other method still in question after earlier looks by the" in why


def test_the_report_names_the_level_of_the_look_beside_that_of_the_pairs() -> None:
    for seed in range(40):
        _, results, names = run_by_looks(seed, 0.06)
        answer = build_answer(results, build_rows(results))
        look = last_look(results, names)
        assert look is not None
        level = f"at the level of its look, {100 * (1 - look.alpha):.3g}\u00a0%"
        assert f"family of its own {level}: a" in family_words(results, answer)
        assert "the same level" not in answer.sure
        if level in answer.sure:
            return
    raise AssertionError("no study was decided where a pair is not")


def test_a_given_number_of_seeds_has_no_looks() -> None:
    results = study_of({"lora": 2.0, "head": 2.5})
    assert last_look(results, ["lora", "head"]) is None
    answer = build_answer(results, build_rows(results))
    assert "family of its own at the same level: a" in family_words(results, answer)
    assert "look" not in results.recommendation.why


def first_at(num_seeds: int) -> Results:
    """A study that a look at so many seeds ended, with a method that was behind before."""
    for seed in range(25):
        look, results, names = run_by_looks(seed, 0.06)
        if look.num_seeds == num_seeds and look.earlier and last_look(results, names):
            return results
    raise AssertionError(f"no study ended at {num_seeds} seeds")


def test_what_the_look_did_not_see_is_judged_as_strictly_as_pairs() -> None:
    results = first_at(5)
    assert results.decision is not None and results.decision.look is not None
    look, names = results.decision.look, list(results.methods)
    # Within limits another method leads than the one that the others were behind.
    assert last_look(results, look.methods[1:]) is None
    # One that came later was not in the look, nor were seeds that came later.
    longer = replace(results.methods[look.methods[0]], seeds=tuple(range(10)))
    grown = replace(results, methods={**results.methods, look.methods[0]: longer})
    assert last_look(grown, names) is None
    added = replace(results, methods={**results.methods, "e": results.methods["a"]})
    assert last_look(added, [*names, "e"]) is None
    # One of whose seeds one did not end well is not recommended, and was in the look.
    lost = replace(results.methods[look.methods[0]], state=RunState.DIVERGED)
    failed = replace(results, methods={**results.methods, look.methods[0]: lost})
    assert last_look(failed, names) is None
    assert "This is the look" not in recommend(failed).why
