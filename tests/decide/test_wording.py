"""What a reader is told in each situation, to the letter."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bakeoff.decide.limits import limits_from
from bakeoff.decide.recommendation import recommend
from bakeoff.decide.sentences import reached
from bakeoff.decide.verdicts import best_baseline, label_of
from bakeoff.formatting import MISSING
from tests.decide.made import study_of
from tests.decide.said import SAID
from tests.decide.situations import SITUATIONS


def test_every_situation_has_its_words() -> None:
    assert set(SAID) == set(SITUATIONS)
    assert len(SAID) >= 25
    assert {verdict for verdict, _, _ in SAID.values()} == {
        "best",
        "cheapest_equivalent",
        "undecided",
        "none",
    }


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_is_said(name: str) -> None:
    made, limits = SITUATIONS[name]
    found = recommend(made(), limits_from(**limits))
    verdict, method, why = SAID[name]
    assert (found.verdict, found.method) == (verdict, method)
    assert found.why == why


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_first_sentence_says_what_the_best_baseline_reaches(name: str) -> None:
    results = SITUATIONS[name][0]()
    if results.decision is None:
        return
    first = SAID[name][2].partition(". ")[0]
    best = min(
        (b.test[results.primary.name].mean, key)
        for key, b in results.baselines.items()
        if results.primary.name in b.test
    ) if results.baselines else None  # fmt: skip
    if best is None:
        assert first.endswith("no baseline was scored by it")
    elif not results.primary.higher_is_better:
        assert first.startswith(f"The best baseline, {label_of(results, best[1])}, reaches a test ")
        assert f"{best[0]:.3f}" in first
    assert MISSING not in first


def test_nothing_is_said_of_baselines_that_are_not_there() -> None:
    made, _ = SITUATIONS["best without baselines"]
    assert reached(made(), None) == ""


def test_of_baselines_that_reach_the_same_the_first_by_name_is_named() -> None:
    made = study_of({"lora": 2.0}, {"zero_shot": 3.0, "lead": 4.0})
    equal = {
        name: replace(b, test=made.baselines["lead"].test) for name, b in made.baselines.items()
    }
    assert list(equal) == ["zero_shot", "lead"]
    found = best_baseline(replace(made, baselines=equal), "nll")
    assert found is not None and found[0] == "lead"
