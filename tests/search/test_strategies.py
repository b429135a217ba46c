"""Which settings a strategy tries, over records alone."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bakeoff.runs.records import CandidateSpec
from bakeoff.search.options import SearchOptions
from bakeoff.search.rounds import first_specs
from bakeoff.search.space import MethodSpace
from bakeoff.search.strategies.registry import STRATEGIES

DRAWN = "import tests.search.test_strategies as t; print(t.rates(t.space(seed=5)))"


def space(*, labels: tuple[str, ...] = ("",), seed: int = 0, **options: Any) -> MethodSpace:
    return MethodSpace(
        method="m",
        variants={label: {} for label in labels},
        centre=1e-3,
        seed=seed,
        search=SearchOptions(**{"strategy": "random", **options}),
    )


def rates(one: MethodSpace) -> list[float]:
    return [spec.learning_rate for spec in first_specs(one)]


@pytest.mark.parametrize("count", [1, 2, 6])
def test_random_rates_are_as_many_as_the_grids_within_its_span(count: int) -> None:
    one = space(learning_rates=count, labels=("x", "y"))
    drawn = first_specs(one)
    per_variant = {label: [s for s in drawn if s.variant == label] for label in ("x", "y")}
    assert [len(specs) for specs in per_variant.values()] == [count, count]
    reach = one.search.grid_factor ** (count / 2) * 1.001
    assert all(1e-3 / reach <= spec.learning_rate <= 1e-3 * reach for spec in drawn)
    assert len({spec.id for spec in drawn}) == len(drawn)


def test_random_rates_spread_evenly_on_a_logarithmic_scale() -> None:
    """Of many, every fifth of the span gets about a fifth."""
    drawn = sorted(rates(space(learning_rates=400, grid_factor=1.05)))
    low, high = drawn[0], drawn[-1]
    bounds = [low * (high / low) ** (k / 5) for k in range(6)]
    counts = [sum(a <= rate < b for rate in drawn) for a, b in itertools.pairwise(bounds)]
    assert all(55 <= count <= 105 for count in counts), counts


def test_random_rates_follow_from_the_seed_and_the_method_in_every_process() -> None:
    assert rates(space()) == rates(space())
    assert rates(space()) != rates(space(seed=1))
    assert rates(space()) != rates(replace(space(), method="other"))
    root = Path(__file__).parents[2]
    other = subprocess.run(
        [sys.executable, "-c", DRAWN], capture_output=True, text=True, check=True, cwd=root
    )
    assert other.stdout.strip() == str(rates(space(seed=5)))


def test_a_list_of_rates_is_tried_as_it_is() -> None:
    one = replace(space(), rates=(0.5, 0.1))
    assert rates(one) == [0.5, 0.1]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_suggestions_are_plain_data_whose_ids_name_the_setting(strategy: str) -> None:
    one = MethodSpace(
        method="m",
        variants={"rank2": {"rank": 2}},
        rates=(0.25,),
        centre=1e-3,
        seed=7,
        search=SearchOptions(strategy=strategy),  # type: ignore[arg-type]
    )
    assert first_specs(one) == [
        CandidateSpec(method="m", variant="rank2", options={"rank": 2}, learning_rate=0.25, seed=7)
    ]
    assert first_specs(one)[0].id == "m-rank2-lr0.25-s7"
