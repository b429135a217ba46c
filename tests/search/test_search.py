"""What is searched: grids of rates, options given as lists, and how a study says so."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest

from bakeoff.config import dump_yaml
from bakeoff.errors import ConfigError
from bakeoff.methods.specs.lora import SPEC as LORA
from bakeoff.methods.variants import Variant, listed_options, variants_of
from bakeoff.search.options import SearchOptions
from bakeoff.search.rounds import first_specs
from bakeoff.search.schedule import rungs_of
from bakeoff.search.space import space_of
from bakeoff.search.strategies.grid import grid, grown
from bakeoff.study.loading import load_study, study_from_mapping
from bakeoff.study.study import Study

SEARCH = {"learning_rates": 3, "seeds": 2}


def given(**changes: Any) -> dict[str, Any]:
    return {
        "name": "given",
        "base": "tiny",
        "task": {"source": "wire"},
        "methods": {"lora": {}},
        "search": SEARCH,
        **changes,
    }


def loaded(*overrides: str, **changes: Any) -> Study:
    return study_from_mapping(given(**changes), overrides, folder=Path.cwd())


def refusal(*overrides: str, **changes: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(*overrides, **changes)
    return str(caught.value)


def variants(**options: Any) -> tuple[Variant, ...]:
    where = "methods.lora"
    listed = listed_options(LORA, options, where=where, may_search=True)
    return variants_of(LORA, options, listed, where=where)


def rates_of(study: Study) -> tuple[float, ...]:
    search = study.options.search
    assert search is not None
    specs = first_specs(space_of(study.entries[0], search, seed=0))
    return tuple(dict.fromkeys(spec.learning_rate for spec in specs))


@pytest.mark.parametrize("count", [1, 2, 3, 6])
@pytest.mark.parametrize("centre", [1e-3, 3.7e-5, 0.05])
@pytest.mark.parametrize("factor", [2.0, 3.1623, 10.0])
def test_a_grid_rises_by_its_factor_around_its_centre(
    centre: float, count: int, factor: float
) -> None:
    rates = grid(centre, count, factor)
    assert len(rates) == count
    mean = math.exp(math.fsum(map(math.log, rates)) / count)
    assert mean == pytest.approx(centre, rel=1e-3)
    assert [b / a for a, b in itertools.pairwise(rates)] == pytest.approx(
        [factor] * (count - 1), rel=1e-3
    )


def test_a_grid_of_an_odd_count_holds_the_published_rate_itself() -> None:
    assert grid(1e-3, 3, 3.1623) == (0.0003162, 0.001, 0.003162)
    assert grid(1e-3, 1, 3.1623) == (0.001,)


@pytest.mark.parametrize("count", [2, 5, 8])
def test_rates_have_four_digits(count: int) -> None:
    rates = grid(1.23456789e-3, count, 3.1623)
    more = grown(rates, 3.1623, upward=True), grown(rates, 3.1623, upward=False)
    assert all(rate == float(f"{rate:.3e}") for rate in (*rates, *more))


@pytest.mark.parametrize("order", [(0.001, 0.01, 0.1), (0.1, 0.001, 0.01)])
def test_a_grid_grows_beyond_its_own_ends_whatever_its_order(order: tuple[float, ...]) -> None:
    assert grown(order, 10.0, upward=True) == 1.0
    assert grown(order, 10.0, upward=False) == 0.0001


@pytest.mark.parametrize("factor", [SearchOptions().grid_factor, 1.01])
@pytest.mark.parametrize("count", [3, 6])
@pytest.mark.parametrize("upward", [True, False])
def test_a_grown_grid_is_the_larger_grid_of_its_rule(
    factor: float, count: int, upward: bool
) -> None:
    centre = 1e-3
    rates = grid(centre, count, factor)
    for _ in range(4):
        rates = (*rates, grown(rates, factor, upward=upward, centre=centre))
    larger = grid(centre, count + 8, factor)
    assert sorted(rates) == list(larger[4:] if upward else larger[: count + 4])


def test_a_grid_that_another_rule_left_grows_from_its_own_edge() -> None:
    assert grown((0.01, 0.06), 10.0, upward=True, centre=0.01) == 0.6


@pytest.mark.parametrize("factor", [1.00001, 1.0004])
def test_no_grid_holds_a_rate_twice(factor: float) -> None:
    """A factor within the rounding of a rate is refused, or its rates differ."""
    try:
        search = SearchOptions(grid_factor=factor)
    except ConfigError:
        return
    rates = grid(1e-3, search.learning_rates, search.grid_factor)
    assert len(set(rates)) == len(rates)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (1, (0,)),
        (3, (0, 1, 2)),
        ([7, 3], (7, 3)),
        ({"at_least": 3, "at_most": 10}, (0, 1, 2)),
        ({"at_least": 4, "at_most": 9}, (0, 1, 2, 3, 4)),
        ({"at_most": 5}, (0, 1, 2)),
    ],
)
@pytest.mark.parametrize("place", ["protocol", "search"])
def test_seeds_are_a_count_a_list_or_bounds_under_either_name(
    place: str, given: Any, expected: tuple[int, ...]
) -> None:
    changes: dict[str, Any] = {"search": {}, "protocol": {}}
    changes[place] = {"seeds": given}
    study = loaded(**changes)
    assert study.options.protocol.seed_list == expected
    assert study.options.protocol.search_seed not in expected
    assert "seeds" not in study.resolved["search"]
    again = study_from_mapping(study.resolved, folder=Path.cwd())
    assert again.resolved == study.resolved
    assert again.options.protocol == study.options.protocol


def test_three_seeds_are_the_default_and_none_of_them_is_the_searchs() -> None:
    assert loaded(search={}).options.protocol.seed_list == (0, 1, 2)
    used = loaded(protocol={"seeds": [1000, 1001, 5]}, search={}).options.protocol
    assert used.search_seed == 1002


def test_two_names_of_one_number_of_seeds_must_agree() -> None:
    assert loaded(protocol={"seeds": 2}).options.protocol.seed_list == (0, 1)
    assert loaded(protocol={"seeds": [0, 1]}).options.protocol.seed_list == (0, 1)
    message = refusal(protocol={"seeds": 3})
    assert "search.seeds: 2 and protocol.seeds: 3 are two names of one setting" in message
    message = refusal(protocol={"seeds": [0, 2]})
    assert "protocol.seeds: [0, 2]" in message


def test_the_command_lines_number_of_seeds_counts_whatever_the_study_says() -> None:
    for changes in ({}, {"protocol": {"seeds": [4]}, "search": {}}, {"search": None}):
        study = study_from_mapping(given(**changes), folder=Path.cwd(), seeds=5)
        assert study.options.protocol.seed_list == (0, 1, 2, 3, 4)


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        (0, ["protocol.seeds", "a count from 1 to 1000"]),
        ([], ["protocol.seeds", "at least one seed"]),
        ([-1], ["protocol.seeds", "distinct numbers of 0 or more"]),
        ({"at_least": 6, "at_most": 9}, ["protocol.seeds", "no look", "3, 5, 10"]),
        ({"at_least": 5, "at_most": 3}, ["protocol.seeds.at_least", "at most at_most"]),
        ({"at_lest": 5}, ["protocol.seeds.at_lest", "did you mean at_least?"]),
    ],
)
def test_seeds_out_of_range_are_refused_by_name(seeds: Any, words: list[str]) -> None:
    message = refusal(protocol={"seeds": seeds}, search={})
    assert all(word in message for word in words), message


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_rungs_begin_at_a_third_of_the_epochs_and_rise_by_the_factor(factor: int) -> None:
    search = SearchOptions(reduction_factor=factor)
    for epochs in range(1, 31):
        rungs = rungs_of(search, epochs)
        assert all(3 * rung >= epochs and rung < epochs for rung in rungs)
        assert all(b == factor * a for a, b in itertools.pairwise(rungs))
        assert not rungs or rungs[-1] * factor >= epochs
    assert rungs_of(search, 1) == ()
    assert rungs_of(SearchOptions(), 3) == (1, 2)
    assert rungs_of(SearchOptions(), 10) == (4, 8)


@pytest.mark.parametrize("word", [None, "none"])
def test_without_a_pruner_there_are_no_rungs(word: Any) -> None:
    search = SearchOptions(pruner=word)
    assert search.pruner is None
    assert [rungs_of(search, epochs) for epochs in range(1, 31)] == [()] * 30


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("learning_rates", 0),
        ("reduction_factor", 1),
        ("grid_factor", 1.0),
        ("grid_factor", 1000.5),
        ("grid_factor", math.nan),
        ("growth", -1),
    ],
)
def test_options_out_of_range_are_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"search\.{key}: .* out of range; it must be"):
        SearchOptions(**{key: value})


def test_lists_of_values_become_every_combination() -> None:
    found = variants(rank=[1, 2], alpha=[4.0, None], target_modules="all-linear")
    assert [(v.options.rank, v.options.alpha) for v in found] == [
        (1, 4.0),
        (1, None),
        (2, 4.0),
        (2, None),
    ]
    assert [v.searched for v in found][1] == {"rank": 1, "alpha": None}
    assert {v.options.target_modules for v in found} == {"all-linear"}
    assert len({v.label for v in found}) == 4
    assert found[0].label == "rank1-alpha4.0"


def test_a_value_that_names_no_file_goes_by_its_place_in_the_list() -> None:
    first, second = variants(target_modules=[["q_proj"], ["q_proj", "v_proj"]])
    assert (first.label, second.label) == ("target_modules.0", "target_modules.1")
    assert second.options.target_modules == ("q_proj", "v_proj")


def test_a_list_that_is_a_value_of_its_option_is_not_searched() -> None:
    [only] = variants(target_modules=["q_proj", "v_proj"])
    assert (only.label, only.searched) == ("", {})
    assert only.options.target_modules == ("q_proj", "v_proj")


def test_values_that_one_label_would_name_go_by_their_places() -> None:
    found = variants(alpha=[2, 1.00000000000001, 1])
    assert [variant.label for variant in found] == ["alpha.0", "alpha.1", "alpha.2"]


def test_a_list_of_one_value_is_a_search_of_one() -> None:
    [only] = variants(rank=[4])
    assert (only.label, only.searched, only.options.rank) == ("rank4", {"rank": 4}, 4)


@pytest.mark.parametrize("values", [[], [2, 2], [1, 2, 1]])
def test_an_empty_list_and_duplicates_are_refused(values: list[int]) -> None:
    message = refusal(methods={"lora": {"rank": values}})
    assert "methods.lora.rank" in message
    assert "at least one value, and none twice" in message


def test_a_list_holding_a_wrong_value_is_refused_by_its_place() -> None:
    assert "methods.lora.rank" in refusal(methods={"lora": {"rank": [1, "two"]}})


def test_a_list_without_a_search_is_refused_by_its_place() -> None:
    message = refusal(methods={"lora": {"rank": [1, 2]}}, search=None)
    assert "methods.lora.rank" in message
    assert "set search" in message
    message = refusal(methods={"lora": {"learning_rate": [1e-3, 1e-2]}}, search=None)
    assert "methods.lora.learning_rate" in message
    assert "a list of rates needs search" in message


@pytest.mark.parametrize("text", ["search.learning_rates=3", "search={learning_rates: 3}"])
def test_an_override_makes_a_study_search(tmp_path: Path, text: str) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(dump_yaml(given(search=None)), encoding="utf-8")
    assert load_study(file).options.search is None
    study = load_study(file, [text])
    assert study.options.search == SearchOptions(learning_rates=3)
    assert rates_of(study) == (0.0003162, 0.001, 0.003162)


def test_a_grid_is_centred_on_the_studys_rate_or_on_the_methods_default() -> None:
    assert rates_of(loaded(methods={"lora": {"learning_rate": 0.5}})) == (0.1581, 0.5, 1.581)
    assert rates_of(loaded(methods={"lora": {}})) == (0.0003162, 0.001, 0.003162)


def test_a_list_of_rates_is_the_methods_own_grid() -> None:
    study = loaded(methods={"lora": {"learning_rate": [1e-2, 1, 3e-4]}})
    assert rates_of(study) == (0.01, 1.0, 0.0003)


@pytest.mark.parametrize("rates", [[], [1e-3, 1e-3], [1e-3, 0.001], [1, 1.0]])
def test_an_empty_list_of_rates_and_duplicates_are_refused(rates: list[float]) -> None:
    message = refusal(methods={"lora": {"learning_rate": rates}})
    assert "methods.lora.learning_rate" in message
    assert "at least one rate, and none twice" in message


def test_rates_that_one_id_would_name_are_refused() -> None:
    """Ids give a rate six digits: two candidates of one id would share a folder."""
    message = refusal(methods={"lora": {"learning_rate": [0.001, 0.00100000001]}})
    assert "methods.lora.learning_rate" in message


@pytest.mark.parametrize("rates", [[1e-3, 0], [-1.0], [True], ["fast"]])
def test_each_rate_of_a_list_must_be_a_positive_number(rates: list[Any]) -> None:
    message = refusal(methods={"lora": {"learning_rate": rates}})
    assert "methods.lora.learning_rate" in message
    assert "not a positive number" in message


@pytest.mark.parametrize(
    "method",
    [
        {},
        {"learning_rate": 0.25},
        {"learning_rate": [0.1, 0.2]},
        {"rank": [1, 2], "alpha": [None, 4.0]},
        {"rank": [4]},
        {"target_modules": ["q_proj"]},
        {"target_modules": [["q_proj"], ["q_proj", "v_proj"], "all-linear"]},
    ],
)
def test_the_resolved_study_gives_the_same_study_again(method: dict[str, Any]) -> None:
    study = loaded(methods={"lora": method}, search={**SEARCH, "trials": 6})
    again = study_from_mapping(study.resolved, folder=Path.cwd())
    assert again.resolved == study.resolved
    assert [v.label for v in again.entries[0].variants] == [
        v.label for v in study.entries[0].variants
    ]
    assert [v.options for v in again.entries[0].variants] == [
        v.options for v in study.entries[0].variants
    ]
    assert rates_of(again) == rates_of(study)
