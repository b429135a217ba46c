"""Which settings a strategy tries, over records alone."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bakeoff.errors import ConfigError
from bakeoff.runs.records import CandidateRecord, CandidateSpec, EpochRecord
from bakeoff.search.options import Range, SearchOptions
from bakeoff.search.rounds import decide, first_specs
from bakeoff.search.selection import Selection
from bakeoff.search.space import MethodSpace, Values
from bakeoff.search.strategies.registry import STRATEGIES
from bakeoff.types import RunState

DRAWN = "import tests.search.test_strategies as t; print(t.rates(t.space(seed=5)))"
RANKS = {"rank": (4, 16, 64)}


def space(
    *,
    domain: Mapping[str, Values] | None = None,
    rates: Values | None = None,
    seed: int = 0,
    method: str = "m",
    **options: Any,
) -> MethodSpace:
    return MethodSpace(
        method=method,
        domain=domain or {},
        rates=rates,
        centre=1e-3,
        seed=seed,
        search=SearchOptions(**{"strategy": "random", **options}),
    )


def grid(**options: Any) -> MethodSpace:
    return space(strategy="grid", **options)


def rates(one: MethodSpace) -> list[float]:
    return [spec.learning_rate for spec in first_specs(one)]


def counts(one: MethodSpace) -> dict[str, int]:
    return dict(Counter(spec.variant for spec in first_specs(one)))


def test_combinations_of_options_share_the_trials_and_each_has_rates_of_its_own() -> None:
    assert counts(grid(domain=RANKS, trials=12)) == {"rank4": 4, "rank16": 4, "rank64": 4}
    assert counts(grid(domain=RANKS, trials=11)) == {"rank4": 4, "rank16": 4, "rank64": 3}
    assert counts(grid(domain=RANKS)) == {"rank4": 2, "rank16": 2, "rank64": 2}
    assert len(first_specs(grid(trials=12))) == 12  # of a method without the option
    two = {"rank": (4, 16), "alpha": (8.0, None)}
    assert list(counts(grid(domain=two, trials=4))) == [
        "rank4-alpha8.0",
        "rank4-alphaNone",
        "rank16-alpha8.0",
        "rank16-alphaNone",
    ]


def test_more_rates_than_a_grid_has_lie_closer_and_no_further_out() -> None:
    usual, many = rates(grid(learning_rates=6)), rates(grid(learning_rates=6, trials=12))
    assert (many[0], many[-1]) == pytest.approx((usual[0], usual[-1]), rel=1e-3)
    few = rates(grid(learning_rates=6, trials=3))
    assert few == pytest.approx([1e-3 / 10**0.5, 1e-3, 1e-3 * 10**0.5], rel=1e-3)


def test_more_combinations_than_trials_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"search\.trials: 2 settings of m .* 3 combinations"):
        first_specs(grid(domain=RANKS, trials=2))
    with pytest.raises(ConfigError, match=r"search\.trials: 5 settings of m .* 6 combinations"):
        first_specs(grid(domain=RANKS, rates=(0.1, 0.2), trials=5))


def test_a_list_of_rates_is_tried_with_every_combination() -> None:
    specs = first_specs(grid(domain=RANKS, rates=(0.1, 0.2)))
    assert [(spec.options["rank"], spec.learning_rate) for spec in specs] == [
        (rank, rate) for rank in RANKS["rank"] for rate in (0.1, 0.2)
    ]


@pytest.mark.parametrize("count", [1, 2, 6])
def test_random_rates_are_as_many_as_the_grids_within_its_span(count: int) -> None:
    one = space(learning_rates=count)
    reach = one.search.grid_factor ** (count / 2) * 1.001
    drawn = first_specs(one)
    assert len({spec.id for spec in drawn}) == count
    assert all(1e-3 / reach <= spec.learning_rate <= 1e-3 * reach for spec in drawn)


def test_random_rates_spread_evenly_on_a_logarithmic_scale() -> None:
    """Of many, every fifth of the span gets about a fifth."""
    drawn = sorted(rates(space(trials=400)))
    low, high = drawn[0], drawn[-1]
    bounds = [low * (high / low) ** (k / 5) for k in range(6)]
    found = [sum(a <= rate < b for rate in drawn) for a, b in itertools.pairwise(bounds)]
    assert all(55 <= number <= 105 for number in found), found


def test_random_settings_are_drawn_from_lists_and_ranges_alike() -> None:
    domain: dict[str, Values] = {
        "rank": (4, 16),
        "dropout": Range(low=0.0, high=0.5),
        "prompt_length": Range(low=1, high=3),
        "init": Range(low=1, high=1000, log=True),
    }
    specs = first_specs(space(domain=domain, trials=300))
    assert len(specs) == 300
    drawn = {key: [spec.options[key] for spec in specs] for key in domain}
    assert set(drawn["rank"]) == {4, 16}
    assert all(0.0 <= value <= 0.5 for value in drawn["dropout"])
    assert Counter(map(type, drawn["prompt_length"])) == {int: 300}
    assert all(70 < number < 130 for number in Counter(drawn["prompt_length"]).values())
    assert set(drawn["prompt_length"]) == {1, 2, 3}
    assert 60 < sum(value < 10 for value in drawn["init"]) < 140  # a third of three decades
    assert all(1 <= value <= 1000 for value in drawn["init"])
    first = specs[0].options
    assert specs[0].variant == (
        f"rank{first['rank']}-dropout{first['dropout']:g}-prompt_length{first['prompt_length']}"
        f"-init{first['init']}"
    )


def test_a_space_that_holds_fewer_settings_than_trials_is_tried_whole() -> None:
    specs = first_specs(space(domain=RANKS, rates=(0.1, 0.2), trials=12))
    assert len({spec.id for spec in specs}) == len(specs) == 6


def test_more_trials_add_to_those_of_fewer() -> None:
    assert rates(space(trials=9))[:5] == rates(space(trials=5))


def test_random_rates_follow_from_the_seed_and_the_method_in_every_process() -> None:
    assert rates(space()) == rates(space())
    assert rates(space()) != rates(space(seed=1))
    assert rates(space()) != rates(space(method="other"))
    root = Path(__file__).parents[2]
    other = subprocess.run(
        [sys.executable, "-c", DRAWN], capture_output=True, text=True, check=True, cwd=root
    )
    assert other.stdout.strip() == str(rates(space(seed=5)))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_suggestions_are_plain_data_whose_ids_name_the_setting(strategy: str) -> None:
    one = space(domain={"rank": (2,)}, rates=(0.25,), seed=7, strategy=strategy)
    assert first_specs(one) == [
        CandidateSpec(method="m", variant="rank2", options={"rank": 2}, learning_rate=0.25, seed=7)
    ]
    assert first_specs(one)[0].id == "m-rank2-lr0.25-s7"


def test_a_search_of_which_no_setting_ended_well_is_over_without_a_choice() -> None:
    one = grid(growth=0)
    lost = [
        CandidateRecord(
            method="m",
            learning_rate=rate,
            seed=0,
            state=RunState.DIVERGED,
            best_epoch=None,
            epochs=(),
        )
        for rate in rates(one)
    ]
    found = decide(one, lost, 1)
    assert found.is_final and found.chosen is None


@pytest.mark.parametrize(
    ("metric", "values", "chosen"),
    [
        (None, {}, "learning rate 1, validation NLL 2.0000"),
        ("f1", {"f1": 0.25}, "learning rate 1, validation f1 0.2500, NLL 2.0000"),
        ("f1", {"f1": None}, "learning rate 1, validation NLL 2.0000"),  # could not be scored
    ],
)
def test_the_choice_is_said_with_what_it_was_chosen_by(
    metric: str | None, values: Mapping[str, float | None], chosen: str
) -> None:
    selection = None if metric is None else Selection(metric=metric, higher_is_better=True, rows=9)
    one = replace(grid(rates=(1.0,), growth=0), selection=selection)
    record = replace(ended(1.0, loss=2.0), validation=dict(values))
    assert decide(one, [record], 1).text == f"m: chosen is {chosen}"


def ended(rate: float, loss: float) -> CandidateRecord:
    return CandidateRecord(
        method="m",
        learning_rate=rate,
        seed=0,
        state=RunState.COMPLETE,
        best_epoch=1,
        epochs=(EpochRecord(epoch=1, train_nll=1.0, val_nll=loss, seconds=0.0),),
    )


@pytest.mark.parametrize(("own", "new"), [(False, 0.01), (True, 0.009999)])
def test_a_grid_of_the_rule_grows_by_it_and_the_study_s_own_from_its_edge(
    own: bool, new: float
) -> None:
    by_rule = (0.0003162, 0.001, 0.003162)
    one = grid(
        rates=by_rule if own else None, learning_rates=3, growth=1, grid_factor=3.1623, pruner=None
    )
    assert rates(one) == list(by_rule)
    found = decide(one, [ended(rate, loss=1.0 - rate) for rate in by_rule], 1)
    assert [spec.learning_rate for spec in found.new] == [new]
    assert found.text.endswith(f"is at the edge of its grid; {new:g} is tried as well")
