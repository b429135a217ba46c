"""Variance components of a crossed study, against planted effects."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bakeoff.decide.factors import factors_sentence, with_components
from bakeoff.decide.judged import MetricScores
from bakeoff.runs.factors import FactorsRecord

RECORD = FactorsRecord(levels={}, metric="accuracy", level=0.95, rows=400, one_tokenizer=True)
LEVELS = (("lora", "head"), ("small", "large"), ("short", "long"))


def made(
    *,
    base: float = 0.0,
    prompt: float = 0.0,
    method: float = 0.0,
    suits: float = 0.0,
    seeds: int = 3,
    rows: int = 400,
) -> tuple[MetricScores, dict[str, tuple[str, str, str]]]:
    """Scores of 2 x 2 x 2 cells; each effect is what the second level has over the first."""
    draw = np.random.default_rng(4)
    row_N = draw.normal(0, 0.3, rows)
    runs: dict[str, Any] = {}
    places: dict[str, tuple[str, str, str]] = {}
    for m, b, t in itertools.product(range(2), repeat=3):
        key = (LEVELS[0][m], LEVELS[1][b], LEVELS[2][t])
        name = "@".join(key)
        mean = base * b + prompt * t + method * m + suits * (m == b)
        shape = (seeds, rows)
        scores = mean + draw.normal(0, 0.01, (seeds, 1)) + row_N + draw.normal(0, 0.2, shape)
        runs[name] = [np.stack([one, np.ones(rows)], axis=1) for one in scores]
        places[name] = key
    return (
        MetricScores(
            set="test",
            metric="accuracy",
            higher_is_better=True,
            runs=runs,
            value=lambda sums: sums[..., 0] / sums[..., 1],
            is_ratio=True,
        ),
        places,
    )


@pytest.mark.parametrize(
    ("planted", "name", "words"),
    [
        ("base", "base", "the base makes"),
        ("prompt", "template", "the prompt makes"),
        ("method", "method", "the method makes"),
        ("suits", "method × base", "which method and base go together makes"),
    ],
)
def test_the_planted_effect_is_the_one_that_is_found(planted: str, name: str, words: str) -> None:
    found = with_components(RECORD, *made(**{planted: 0.4}))  # type: ignore[arg-type]
    first, *others = found.components
    assert first.name == name and first.share > 0.9 and first.low > 0.85
    assert sum(one.share for one in found.components) == pytest.approx(1.0)
    assert all(one.high < 0.1 for one in others)
    assert words in factors_sentence(found) and "overlaps" not in factors_sentence(found)
    assert {one.name for one in found.components} == {
        *("method", "base", "template", "method × base", "method × template"),
        *("base × template", "together", "seeds"),
    }
    assert {one.name: one.factors for one in found.components}["together"] == (
        *("method", "base", "template"),
    )


def test_two_alike_effects_are_not_told_apart() -> None:
    sentence = factors_sentence(with_components(RECORD, *made(base=0.1, prompt=0.1, rows=60)))
    assert "overlaps with it, so that which matters more is not settled" in sentence


def test_rows_that_hang_together_count_once() -> None:
    scores, places = made(base=0.2)
    groups = np.repeat(np.arange(40), 10)
    together = with_components(RECORD, replace(scores, groups=groups), places)
    assert together.components[0].name == "base"
    few = with_components(RECORD, replace(scores, groups=np.repeat(np.arange(8), 50)), places)
    assert few.components == () and few.why is not None and few.why.startswith("8 test rows")


def test_a_method_that_is_not_everywhere_is_left_out() -> None:
    scores, places = made(base=0.4)
    runs = {name: run for name, run in scores.runs.items() if name != "head@large@long"}
    found = with_components(RECORD, replace(scores, runs=runs), places)
    assert found.left_out == ("head",)
    assert {one.name for one in found.components} == {
        *("base", "template", "base × template", "seeds"),
    }


def test_what_is_not_known_is_said() -> None:
    scores, places = made()
    none = with_components(RECORD, replace(scores, runs={}), places)
    assert none.why == "no method was tested with every base and prompt"
    assert factors_sentence(none).startswith("What mattered is not known: ")
    withheld = with_components(RECORD, replace(scores, withheld="too few"), places)
    assert withheld.why == "too few" and not withheld.components
    one = {name: key for name, key in places.items() if name == "lora@small@short"}
    assert (
        with_components(RECORD, scores, one).why == "there is one method, one base and one prompt"
    )
    same = dict.fromkeys(scores.runs, scores.runs["lora@small@short"])
    alike = with_components(RECORD, replace(scores, runs=same), places)
    # Seeds still differ.
    assert [one.name for one in alike.components if one.share] == ["seeds"]


@pytest.mark.parametrize(("seeds", "words"), [(1, "one seed"), (2, "2 seeds")])
def test_few_seeds_say_nothing_of_factors(seeds: int, words: str) -> None:
    """What is seen may be theirs: no effect is planted."""
    found = with_components(RECORD, *made(seeds=seeds))
    assert found.components == ()
    assert found.why is not None and f"has {words} only" in found.why
    assert found.why.endswith("cannot be kept apart from that of the factors; train at least 3")
