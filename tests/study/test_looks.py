"""Adaptive seeds: who gets more, when it ends, and that a resumed study looks as before."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.decide.referee.looks import Standing, look
from bakeoff.decide.referee.recommend import Outcome
from bakeoff.engine.options import AdaptiveSeeds
from bakeoff.execution.scores import SetScores
from bakeoff.metrics.likelihood import Nll
from bakeoff.study import adaptive
from bakeoff.study.judging import level_of
from bakeoff.study.looks import Looked, Scored, look_at

Run = Callable[..., Any]
Results = Callable[[], dict[str, Any]]
SEEDS = AdaptiveSeeds(at_least=3, at_most=10)
ROWS = 60
DRAW = np.random.default_rng(7)
HARD = DRAW.gamma(4.0, 0.5, size=ROWS)
NOISE = {name: DRAW.normal(size=(10, ROWS)) for name in "abcd"}
EFFECTS = {name: DRAW.normal(size=(10, 1)) for name in "abcd"}


def scored(
    name: str, mean: float, num_seeds: int, *, spread: float = 0.01, lost: Collection[int] = ()
) -> Scored:
    """Made-up nats per token: rows that are hard for all, seeds that differ, some noise.

    Args:
        num_seeds: that were trained. lost: which of them did not end well.
    """
    sums = HARD + mean + spread * EFFECTS[name] + 0.05 * NOISE[name]
    runs = [np.stack([run, np.ones(ROWS)], axis=1) for run in sums[:num_seeds]]
    return Scored(
        runs=[None if seed in lost else run for seed, run in enumerate(runs)],
        value=lambda sums_C: sums_C[..., 0] / sums_C[..., 1],
        is_ratio=True,
        cost=float(ord(name)),
    )


def looked(methods: Mapping[str, Scored], seeds: AdaptiveSeeds = SEEDS) -> Looked:
    base = scored("a", 1.0, 1, spread=0.0)
    return look_at(
        methods, {"zero_shot": base}, seeds, higher_is_better=False, margin=0.05, alpha=0.05
    )


def test_a_clear_winner_is_found_at_the_first_look_and_nothing_more_is_trained() -> None:
    found = looked({"a": scored("a", 0.0, 3), "b": scored("b", 0.6, 3)})
    assert (found.num_seeds, found.wanted, found.next_seeds) == (3, (), 0)
    assert (found.standing.outcome, found.standing.method) == (Outcome.BEST, 0)
    assert found.alpha == pytest.approx(0.01)


def test_those_that_are_undecided_get_the_seeds_of_the_next_look_and_the_others_do_not() -> None:
    methods = {
        "a": scored("a", 0.0, 3, spread=0.2),
        "b": scored("b", 0.05, 3, spread=0.2),
        "c": scored("c", 0.9, 3),
    }
    found = looked(methods)
    assert (found.num_seeds, found.wanted, found.next_seeds) == (3, ("a", "b"), 5)
    assert found.standing.outcome is Outcome.UNDECIDED
    # What has been said stays, and only those that were asked for are waited for.
    methods |= {"a": scored("a", 0.0, 5, spread=0.2), "b": scored("b", 0.05, 5, spread=0.2)}
    again = looked(methods)
    assert again.num_seeds == 5
    assert set(found.standing.verdicts.items()) <= set(again.standing.verdicts.items())
    assert found.standing.behind <= again.standing.behind


def test_half_of_the_next_looks_seeds_are_waited_for() -> None:
    methods = {name: scored(name, 0.0, 3, spread=0.3) for name in "ab"}
    methods["a"] = scored("a", 0.0, 5, spread=0.3)
    found = looked(methods)
    assert (found.num_seeds, found.wanted, found.next_seeds) == (3, ("b",), 5)


def test_it_ends_at_the_last_look_whatever_is_known() -> None:
    methods = {name: scored(name, 0.0, 10, spread=0.3) for name in "ab"}
    found = looked(methods)
    assert (found.num_seeds, found.wanted) == (10, ())
    within = looked({n: scored(n, 0.0, 5, spread=0.3) for n in "ab"}, AdaptiveSeeds(at_most=5))
    assert (within.num_seeds, within.wanted) == (5, ())
    assert within.alpha == pytest.approx(0.03)


def test_a_seed_that_failed_is_not_waited_for() -> None:
    methods = {name: scored(name, 0.0, 10, spread=0.3) for name in "ab"}
    methods["a"] = scored("a", 0.0, 10, spread=0.3, lost=range(4, 10))
    assert (looked(methods).num_seeds, looked(methods).wanted) == (10, ())
    methods["a"] = scored("a", 0.0, 5, spread=0.3, lost=[4])
    assert (looked(methods).wanted, looked(methods).next_seeds) == (("a",), 10)


def test_a_look_says_the_same_once_there_are_more_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A seed that was lost stays a gap: no later one is taken for it when a look is repeated."""
    said: list[Standing] = []

    def noted(*arguments: Any, **options: Any) -> Standing:
        said.append(look(*arguments, **options))
        return said[-1]

    monkeypatch.setattr("bakeoff.study.looks.look", noted)
    # Two runs do not show that the second is behind; with a third, the first look would say so.
    methods = {"a": scored("a", 0.0, 3), "b": scored("b", 0.2, 3, lost=[1])}
    assert looked(methods).wanted == ("a", "b")
    [first] = said
    methods = {"a": scored("a", 0.0, 5), "b": scored("b", 0.2, 5, lost=[1])}
    looked(methods)
    assert said[1] == first


def test_pairs_are_judged_at_what_the_first_look_may_spend() -> None:
    assert level_of(3, 0.95) == level_of((0, 1, 2), 0.95) == 0.95
    assert level_of(SEEDS, 0.95) == pytest.approx(0.99)
    assert level_of(AdaptiveSeeds(at_most=5), 0.95) == pytest.approx(0.98)
    assert level_of(SEEDS, 0.9) == pytest.approx(0.98)


def test_scores_stay_in_the_places_of_their_seeds() -> None:
    metric = Nll()
    runs = [np.full((2, 2), float(seed)) for seed in range(2)]
    first, last = (SetScores(statistics={metric.name: run}) for run in runs)
    other = SetScores(statistics={})
    found = adaptive._runs(metric, [first, None, last, other])
    assert [None if run is None else run[0, 0] for run in found] == [0.0, None, 1.0, None]
    judged = adaptive._in_place(runs, [first, None, last])
    assert [None if run is None else run[0, 0] for run in judged] == [0.0, None, 1.0]
    assert adaptive._in_place([], [first, None]) == [None, None]


TWO: dict[str, Any] = {
    "methods": {n: {"kind": "lora", "rank": 1, "learning_rate": 1e-2} for n in ("one", "two")},
    "protocol": {"seeds": {"at_least": 3, "at_most": 5}},
}


@pytest.fixture
def undecided(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of seeds at each look of a study in which only method two wants more."""
    seen: list[int] = []

    def faked(methods: Mapping[str, Scored], *_: Any, **__: Any) -> Looked:
        seen.append(methods["two"].asked)
        found = looked({"a": scored("a", 0.0, 3)})
        more = methods["two"].asked < 5
        return Looked(
            names=("one", "two"),
            num_seeds=3 if more else 5,
            standing=found.standing,
            alpha=0.02,
            wanted=("two",) if more else (),
            next_seeds=5 if more else 0,
        )

    monkeypatch.setattr(adaptive, "look_at", faked)
    return seen


def curves(results: dict[str, Any]) -> Any:
    return {
        name: [(e["train_nll"], e["val_nll"]) for e in c["epochs"]]
        for name, c in results["candidates"].items()
    }


@pytest.mark.usefixtures("quick")
def test_a_study_trains_more_seeds_of_those_that_need_them(
    run_small: Run, results: Results, place: Path, undecided: list[int], trained: list[str]
) -> None:
    outcome = run_small(**TWO)
    assert outcome.code == 0, outcome.err
    assert "undecided with 3: two with 5" in outcome.out
    methods = results()["methods"]
    assert (methods["one"]["seeds"], methods["two"]["seeds"]) == ([0, 1, 2], [0, 1, 2, 3, 4])
    assert trained[6:] == ["two-lr0.01-s3", "two-lr0.01-s4"]
    assert undecided == [3, 5, 5]  # the last again, for the record
    assert results()["decision"]["look"] == {
        "num_seeds": 5,
        "alpha": 0.02,
        "methods": ["one", "two"],
        "behind": [],
    }
    assert {c["level"] for c in results()["comparisons"]} == {0.98}
    # Without its results and checkpoints nothing is made again.
    before = curves(results())
    (place / "out/results.json").unlink()
    trained.clear()
    assert run_small(**TWO).code == 0
    assert trained == []
    assert curves(results()) == before


@pytest.mark.usefixtures("quick", "undecided")
def test_a_study_that_was_stopped_among_its_further_seeds_goes_on_with_them(
    run_small: Run, results: Results, monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    from bakeoff.engine import train

    assert run_small(**TWO).code == 0
    whole = curves(results())
    (place / "out").rename(place / "whole")
    step, counted = train.train_step, [0]

    def broken(*arguments: Any) -> Any:
        counted[0] += 1
        if counted[0] == 3:  # two updates train the first six; these are the further ones
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(train, "train_step", broken)
    assert run_small(**{**TWO, "checkpoint_minutes": 1e-9}).code == 130
    assert run_small(**TWO).code == 0
    assert curves(results()) == whole
    assert results()["methods"]["two"]["seeds"] == [0, 1, 2, 3, 4]


@pytest.mark.usefixtures("quick")
def test_the_command_line_says_how_many_seeds(run_small: Run, results: Results) -> None:
    assert run_small("--seeds", 2).code == 0
    assert results()["methods"]["lora"]["seeds"] == [0, 1]
    refused = run_small("--seeds", 0, "--fresh")
    assert refused.code == 2
    assert "protocol.seeds: 0 is out of range" in refused.message
