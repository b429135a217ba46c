"""When a method's cost is shown to meet a limit."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from bakeoff.decide.limits import Limits, limits_from
from bakeoff.decide.recommendation import recommend
from bakeoff.errors import ConfigError
from bakeoff.runs.records import CostRecord, EpochSeconds, Estimate, MethodRecord, Results
from bakeoff.runs.settings import setting
from tests.golden_folders import golden


@pytest.fixture(scope="module")
def run() -> Results:
    return golden("four")


def costing(run: Results, cost: CostRecord) -> MethodRecord:
    return replace(run.methods["lora"], cost=cost)


LATENCY = CostRecord(token_latency_seconds=Estimate(mean=0.010, low=0.009, high=0.014))


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        (0.020, None),
        (0.014, None),
        (
            0.012,
            "latency per token 10.0 ms, but up to 14.0 ms, over 12.0 ms",
        ),
        (0.0095, "latency per token 10.0 ms, over 9.5 ms"),
    ],
)
def test_a_limit_is_met_where_the_interval_lies_below_it(
    run: Results, limit: float, reason: str | None
) -> None:
    found = Limits(latency=limit).breaches(run, costing(run, LATENCY))
    assert [breach.reason for breach in found] == ([] if reason is None else [reason])
    assert all(breach.excess > 1.0 for breach in found)


def test_training_counts_its_epochs(run: Results) -> None:
    epochs = setting(run.study, "protocol.epochs")
    assert isinstance(epochs, int)
    cost = CostRecord(epoch_seconds=EpochSeconds(mean=10.0, low=9.0, high=11.0))
    method = costing(run, cost)
    assert not Limits(time=11.0 * epochs).breaches(run, method)
    assert Limits(time=10.9 * epochs).breaches(run, method)


def test_a_searched_number_of_epochs_is_what_training_takes(run: Results) -> None:
    cost = CostRecord(epoch_seconds=EpochSeconds(mean=10.0, low=9.0, high=11.0))
    method = replace(costing(run, cost), options={**run.methods["lora"].options, "epochs": 8})
    assert not Limits(time=88.0).breaches(run, method)
    assert Limits(time=87.0).breaches(run, method)


def test_a_cost_without_an_interval_is_its_own_bound(run: Results) -> None:
    method = costing(run, CostRecord(token_latency_seconds=Estimate(mean=0.01)))
    assert not Limits(latency=0.01).breaches(run, method)
    assert Limits(latency=0.0099).breaches(run, method)


def test_what_was_not_measured_is_not_shown_to_meet_a_limit(run: Results) -> None:
    [breach] = Limits(latency=1.0).breaches(run, costing(run, CostRecord()))
    assert breach.reason == "latency per token not measured"


@pytest.mark.parametrize(("given", "own"), [("EUR 5", "$"), ("\uffe55", "$"), ("$5", "EUR")])
def test_a_limit_in_another_currency_is_refused(given: str, own: str) -> None:
    limits = limits_from(cost=given)
    message = re.escape(f"but the study's prices are in {own}; give the amount in {own}")
    with pytest.raises(ConfigError, match=message):
        limits.check_currency(own)
    results = golden("four")
    priced = replace(results, study={**results.study, "prices": {"currency": own}})
    with pytest.raises(ConfigError, match=message):
        recommend(priced, limits)
    for same in ("5", f"{own} 5", f"{own.lower()} 5"):
        limits_from(cost=same).check_currency(own)
        recommend(priced, limits_from(cost=same))
