"""More than the rate is searched: what a study may ask for, and how it says what is wrong."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bakeoff.errors import ConfigError
from bakeoff.search.rounds import first_specs
from bakeoff.search.space import space_of
from bakeoff.study.loading import study_from_mapping
from bakeoff.study.notes import unused_settings
from bakeoff.study.study import Study

METHODS: dict[str, Any] = {"lora": {}, "head": {}, "soft_prompt": {}}


def loaded(methods: dict[str, Any] | None = None, **search: Any) -> Study:
    given = {
        "name": "given",
        "base": "tiny",
        "task": {"source": "wire"},
        "methods": methods or METHODS,
        "search": search,
    }
    return study_from_mapping(given, folder=Path.cwd())


def refusal(methods: dict[str, Any] | None = None, **search: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(methods, **search)
    return str(caught.value)


def tried(study: Study) -> dict[str, Counter[str]]:
    search, seed = study.options.search, study.options.protocol.search_seed
    assert search is not None
    return {
        entry.name: Counter(
            spec.variant for spec in first_specs(space_of(entry, search, seed=seed))
        )
        for entry in study.entries
    }


@pytest.mark.parametrize("strategy", ["grid", "random"])
def test_every_method_tries_as_many_settings_whatever_options_it_has(strategy: str) -> None:
    space = {"rank": [4, 16, 64], "prompt_length": [5, 20], "micro_batch_size": [8, 16]}
    study = loaded(strategy=strategy, space=space, trials=12)
    found = tried(study)
    assert {name: sum(settings.values()) for name, settings in found.items()} == dict.fromkeys(
        METHODS, 12
    )
    for entry in study.entries:
        assert [v.label for v in entry.variants] == list(found[entry.name])
    if strategy == "grid":
        assert list(found["head"].values()) == [6, 6]
        assert list(found["lora"].values()) == [2] * 6
        assert list(found["soft_prompt"].values()) == [3] * 4


def test_a_variant_has_the_methods_options_and_the_protocols_apart() -> None:
    study = loaded({"lora": {"alpha": 2}}, space={"rank": [4], "micro_batch_size": [8]})
    [variant] = study.entries[0].variants
    assert variant.label == "rank4-micro_batch_size8"
    assert variant.searched == {"rank": 4, "micro_batch_size": 8}
    assert (variant.options.rank, variant.options.alpha) == (4, 2)
    protocol = study.options.protocol
    assert protocol.micro_batch_size == 16
    assert protocol.under(variant.searched).micro_batch_size == 8
    assert protocol.under({"rank": 4}) == protocol


def test_a_methods_own_list_goes_before_the_space() -> None:
    study = loaded({"lora": {"rank": [1, 2]}, "dora": {}}, space={"rank": [4, 8]})
    assert [v.searched["rank"] for v in study.entries[0].variants] == [1, 2]
    assert [v.searched["rank"] for v in study.entries[1].variants] == [4, 8]
    study = loaded({"lora": {"learning_rate": [0.5]}, "dora": {}}, space={"learning_rate": [0.1]})
    search = study.options.search
    assert search is not None
    rates = [space_of(entry, search, seed=0).rates for entry in study.entries]
    assert rates == [(0.5,), (0.1,)]


def test_what_is_not_used_because_the_space_searches_it_is_reported() -> None:
    study = loaded(
        {"lora": {"rank": 8, "learning_rate": 0.5}},
        space={"rank": [4, 16], "learning_rate": [0.1, 1]},
    )
    assert unused_settings(study) == [
        "methods.lora.learning_rate: 0.5 is not used, as search.space.learning_rate is searched",
        "methods.lora.rank: 8 is not used, as search.space.rank is searched",
    ]


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ({"space": {"rnk": [1]}}, ["search.space.rnk", "no method", "did you mean rank?"]),
        ({"space": {"seeds": [1]}}, ["search.space.seeds", "no method"]),
        ({"space": {"rank": []}}, ["search.space.rank", "at least one value"]),
        ({"space": {"rank": [4, 4]}}, ["search.space.rank", "none twice"]),
        ({"space": {"rank": [4, "x"]}}, ["search.space", "methods.lora.rank", "whole number"]),
        ({"space": {"rank": 4}}, ["search.space.rank", "must be a list", "mapping"]),
        ({"space": {"micro_batch_size": [2.5]}}, ["search.space", "protocol.micro_batch_size"]),
        ({"space": {"micro_batch_size": [0]}}, ["search.space", "protocol.micro_batch_size"]),
        ({"space": {"rank": {"low": 1, "high": 4}}}, ["search.space.rank", "strategy: random"]),
        ({"space": {"rank": {"low": 4, "high": 4}}}, ["search.space.rank.low", "below high"]),
        (
            {"space": {"rank": {"low": 0, "high": 4, "log": True}}, "strategy": "random"},
            ["search.space.rank.low", "above 0"],
        ),
        ({"space": {"rank": {"low": 0, "hgh": 4}}}, ["hgh", "did you mean high?"]),
        ({"space": {"learning_rate": [0.1, 0]}}, ["search.space.learning_rate", "positive"]),
        ({"space": {"learning_rate": [0.1, 0.10000001]}}, ["learning_rate", "twice"]),
        ({"space": {"rank": [1, 2, 4]}, "trials": 2}, ["search.trials: 2", "lora", "3 comb"]),
        ({"trials": 0}, ["search.trials", "at least 1"]),
        ({"space": {"epochs": [1, 3]}}, ["search.space.epochs", "search.pruner to null"]),
        ({"strategy": "gird"}, ["search.strategy", "gird", "grid"]),
        ({"pruner": "half"}, ["search.pruner", "halving"]),
    ],
)
def test_a_wrong_space_is_refused_by_its_place(search: dict[str, Any], words: list[str]) -> None:
    message = refusal(**search)
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    "search",
    [
        {"space": {"rank": [4, 16], "micro_batch_size": [4]}, "trials": 12},
        {"strategy": "random", "space": {"rank": {"low": 1, "high": 64, "log": True}}},
        {"space": {"learning_rate": [0.1, 1], "target_modules": [["q_proj"], "all-linear"]}},
        {"space": {"epochs": [1, 3]}, "pruner": None},
    ],
)
def test_the_resolved_study_gives_the_same_search_again(search: dict[str, Any]) -> None:
    study = loaded({"lora": {"rank": 8}, "head": {}}, **search)
    again = study_from_mapping(study.resolved, folder=Path.cwd())
    assert again.resolved == study.resolved
    assert again.options.search == study.options.search
    assert tried(again) == tried(study)
    assert [e.variants for e in again.entries] == [e.variants for e in study.entries]
