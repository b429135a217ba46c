"""What methods cost in money, and from how many answers on they have paid off."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from bakeoff.config import from_mapping
from bakeoff.decide.limits import Limits, limits_from
from bakeoff.decide.money import money_notes, money_of, shown_volume, tokens_of_a_call
from bakeoff.decide.prices import PriceOptions
from bakeoff.decide.recommendation import recommend
from bakeoff.errors import ConfigError
from bakeoff.runs.factors import CellRecord, FactorsRecord
from bakeoff.runs.records import CostRecord, EpochSeconds, Estimate, Results
from tests.golden_folders import golden

HOUR = 3.6
"""A tenth of a cent a second."""


def priced(name: str = "four", **prices: Any) -> Results:
    results = golden(name)
    return replace(results, study={**results.study, "prices": prices})


def test_training_and_serving_are_seconds_times_the_price() -> None:
    results = priced(device_hour=HOUR, calls_per_month=1000)
    lora = results.methods["lora"]
    epoch, rate = lora.cost.epoch_seconds, lora.cost.generation_rows_per_second
    assert epoch is not None and rate is not None
    found = money_of(results, lora)
    assert found.training is not None and found.month is not None and found.total is not None
    assert found.training.mean == pytest.approx(3 * epoch.mean * 0.001)
    assert found.month.mean == pytest.approx(1000 / rate * 0.001)
    assert found.search is None and found.break_even is None
    assert found.total.mean == pytest.approx(found.training.mean + found.month.mean)


def test_training_counts_the_epochs_that_a_search_chose() -> None:
    results = priced(device_hour=HOUR)
    lora = results.methods["lora"]
    longer = money_of(results, replace(lora, options={**lora.options, "epochs": 6})).training
    plain = money_of(results, lora).training
    assert longer is not None and plain is not None
    assert longer.mean == pytest.approx(2 * plain.mean)


def test_a_search_counts_the_epochs_of_all_its_trials() -> None:
    results = priced("searched", device_hour=HOUR)
    for method in results.methods.values():
        assert method.search is not None
        cost = CostRecord(epoch_seconds=EpochSeconds(mean=10.0, low=9.0, high=12.0))
        found = money_of(results, replace(method, cost=cost))
        epochs = sum(
            point.epochs
            for point in method.search.curve
            if point.candidate not in method.candidates
        )
        assert found.search is not None and epochs > 0
        assert found.search.mean == pytest.approx(epochs * 0.01)
        assert found.search.high == pytest.approx(epochs * 0.012)
        assert found.call is None and found.total is not None


def test_the_break_even_is_what_was_spent_over_what_an_answer_saves() -> None:
    results = priced(device_hour=HOUR, input_tokens=3.0, output_tokens=15.0)
    read, written = tokens_of_a_call(results)
    assert (read, written) == ((2486 - 575) / 16, 575 / 16)
    found = money_of(results, results.methods["full"])
    assert found.prompted_call == pytest.approx((3.0 * read + 15.0 * written) / 1e6)
    assert found.training is not None and found.call is not None
    assert found.prompted_call is not None
    saved = found.prompted_call - found.call.mean
    assert saved > 0 and found.break_even == pytest.approx(found.training.mean / saved)
    # One answer fewer has not paid off, and one more has.
    volume = math.ceil(found.break_even or 0)
    spent = found.training.mean
    assert spent + (volume - 1) * found.call.mean >= (volume - 1) * found.prompted_call
    assert spent + volume * found.call.mean <= volume * found.prompted_call
    # Against a model that is nearly free it never does.
    cheap = priced(device_hour=HOUR, input_tokens=0.0, output_tokens=0.01)
    assert money_of(cheap, cheap.methods["full"]).break_even == math.inf
    assert any("never pays off" in note for note in money_notes(cheap))
    own = f"(${spent:.2g} to make, ${found.call.mean:.2g} an answer)"
    words = f"full pays off against it from {shown_volume(found.break_even)} answers on {own}"
    assert any(words in note for note in money_notes(results))


@pytest.mark.parametrize(
    ("price", "call"),
    [
        (0.002, 0.002),
        ({"call": 0.002}, 0.002),
        ({"input_tokens": 1.0, "output_tokens": 10.0}, (1911 / 16 + 10 * 575 / 16) / 1e6),
        ({"hour": 3.0}, None),
        (None, None),
    ],
)
def test_an_entrant_from_elsewhere_costs_what_the_study_says(
    price: Any, call: float | None
) -> None:
    results = priced(device_hour=HOUR)
    big = replace(results.methods["lora"], kind="external", cost=CostRecord())
    entry = {"kind": "external", "predictions": "big.jsonl", "price": price}
    study = {**results.study, "methods": {**results.study["methods"], "big": entry}}
    results = replace(results, study=study, methods={**results.methods, "big": big})
    found = money_of(results, big)
    assert found.training is None and found.break_even is None
    assert found.call is None if call is None else found.call is not None
    # Without prices of tokens it is what the others must pay off against.
    ours = money_of(results, results.methods["full"])
    assert ours.prompted_call == (None if call is None else pytest.approx(call))
    assert (ours.break_even is None) == (call is None)


def with_entrant(results: Results, form: str, price: Any) -> Results:
    """With an entrant from elsewhere, called big."""
    big = replace(results.methods["lora"], kind="external", cost=CostRecord())
    entry = {"kind": "external", form: "big"} | ({} if price is None else {"price": price})
    study = {**results.study, "methods": {**results.study["methods"], "big": entry}}
    return replace(results, study=study, methods={**results.methods, "big": big})


def test_only_answers_stand_for_a_prompted_model_and_are_named() -> None:
    adapter = with_entrant(priced(device_hour=HOUR), "adapter", 0.002)
    assert money_of(adapter, adapter.methods["full"]).break_even is None
    assert len(money_notes(adapter)) == 1
    answers = with_entrant(priced(device_hour=HOUR), "predictions", 0.002)
    [_, note, *_] = money_notes(answers)
    assert note.startswith("money: an answer of big costs $0.002") and "tokens read" not in note


@pytest.mark.parametrize(
    ("prices", "price", "words"),
    [
        ({}, 0.002, "cost not known, as the study has no prices.calls_per_month"),
        ({}, None, "cost not known, as the study has no methods.big.price"),
        ({"device_hour": HOUR, "calls_per_month": 10}, None, "the study has no methods.big.price"),
    ],
)
def test_a_limit_says_which_price_an_entrant_lacks(
    prices: dict[str, Any], price: Any, words: str
) -> None:
    results = with_entrant(priced(**prices), "predictions", price)
    [breach] = Limits(cost=1.0).breaches(results, results.methods["big"])
    assert words in breach.reason
    known = with_entrant(priced(calls_per_month=10), "predictions", 0.002)
    assert not Limits(cost=1.0).breaches(known, known.methods["big"])


@pytest.mark.parametrize(("read", "each"), [(None, 490), (7300, 730)])
def test_tokens_of_a_call_are_those_of_a_methods_own_base_and_prompt(
    read: int | None, each: int
) -> None:
    """Of prompts as they are asked; older results know those of the data alone."""
    results = priced(device_hour=HOUR, input_tokens=3.0, output_tokens=15.0)
    cells = {
        "long": CellRecord(
            base=None,
            template="long",
            folder="x",
            status="complete",
            test_rows=10,
            test_tokens_raw=5000,
            test_tokens_supervised=100,
            test_tokens_read=read,
            test_tokens_written=None if read is None else 80,
        )
    }
    factors = FactorsRecord(
        levels={}, cells=cells, metric="nll", level=0.95, rows=10, one_tokenizer=True
    )
    methods = {**results.methods, "lora": replace(results.methods["lora"], cell="long")}
    crossed = replace(results, methods=methods, factors=factors)
    written = 10 if read is None else 8
    assert tokens_of_a_call(crossed, methods["lora"]) == (each, written)
    assert tokens_of_a_call(crossed, methods["full"]) == tokens_of_a_call(results)
    own = money_of(crossed, methods["lora"]).prompted_call
    assert own == pytest.approx((3.0 * each + 15.0 * written) / 1e6)
    assert own != money_of(crossed, methods["full"]).prompted_call
    [note] = [one for one in money_notes(crossed) if "prompted model's answer" in one]
    assert f"119 to {each} tokens read and {written} to 36 written" in note


@pytest.mark.parametrize("rows", [0, 1])
def test_tokens_of_a_call_are_known_of_a_single_test_row_too(rows: int) -> None:
    results = golden("four")
    test = replace(
        results.data.test,
        examples=rows,
        tokens_raw=30 * rows,
        tokens_supervised=10 * rows,
    )
    results = replace(results, data=replace(results.data, test=test))
    assert tokens_of_a_call(results) == (20.0 * rows, 10.0 * rows)
    # Of a conversation the earlier answers are read.
    test = replace(test, tokens_read=90 * rows, tokens_written=4 * rows)
    asked = replace(results, data=replace(results.data, test=test))
    assert tokens_of_a_call(asked) == (90.0 * rows, 4.0 * rows)


def test_what_was_timed_once_has_no_interval_nor_has_what_it_is_part_of() -> None:
    results = priced(device_hour=HOUR, calls_per_month=1000)
    cost = CostRecord(
        epoch_seconds=EpochSeconds(mean=1000.0, low=900.0, high=1100.0),
        generation_rows_per_second=2.0,
    )
    method = replace(results.methods["lora"], cost=cost)
    found = money_of(results, method)
    assert found.training is not None and found.training.has_interval
    for amount in (found.call, found.month, found.total):
        assert amount is not None and not amount.has_interval
    # A limit is held against the bounds that there are.
    assert found.total is not None and found.total.high > found.total.mean
    assert Limits(cost=found.total.mean * 1.0001).breaches(results, method)
    assert not Limits(cost=found.total.high * 1.0001).breaches(results, method)
    # Nor does one of two cost less that are nearer than repeats differ.
    close, far = (
        replace(method, cost=replace(cost, generation_rows_per_second=rate)) for rate in (1.9, 1.0)
    )
    [price] = [p for p, _ in Limits(cost=1.0).items(results)]
    assert not price.is_less(results, method, close)
    assert price.is_less(results, method, far)


def test_without_texts_an_answer_is_its_tokens_latency() -> None:
    results = priced(device_hour=HOUR)
    cost = CostRecord(token_latency_seconds=Estimate(mean=0.01, low=0.008, high=0.02))
    found = money_of(results, replace(results.methods["lora"], cost=cost)).call
    assert found is not None
    assert found.mean == pytest.approx(575 / 16 * 0.01 * 0.001)
    assert found.high == pytest.approx(2 * found.mean)


@pytest.mark.parametrize(("rows_per_second", "seconds"), [(0.5, 2.0), (0.0, 575 / 16 * 0.01)])
def test_an_answer_takes_what_rows_took_however_slow(
    rows_per_second: float, seconds: float
) -> None:
    results = priced(device_hour=HOUR)
    cost = CostRecord(
        generation_rows_per_second=rows_per_second,
        token_latency_seconds=Estimate(mean=0.01, low=0.008, high=0.02),
    )
    found = money_of(results, replace(results.methods["lora"], cost=cost)).call
    assert found is not None and found.mean == pytest.approx(seconds * 0.001)


def test_a_limit_of_money_holds_for_the_upper_bound() -> None:
    results = priced(device_hour=HOUR, currency="EUR")
    cost = CostRecord(epoch_seconds=EpochSeconds(mean=1000.0, low=900.0, high=1100.0))
    method = replace(results.methods["lora"], cost=cost)
    assert not Limits(cost=3.301).breaches(results, method)
    [breach] = Limits(cost=3.1).breaches(results, method)
    assert breach.reason == "cost EUR 3.00, but up to EUR 3.30, over EUR 3.10"
    assert Limits(cost=3.1).described(results) == ["cost at most EUR 3.10"]
    plain = golden("four")
    [breach] = Limits(cost=3.1).breaches(plain, plain.methods["lora"])
    assert "the study has no prices.device_hour" in breach.reason
    assert limits_from(cost="$1,300.50").cost == 1300.5


def test_a_limit_moves_the_recommendation_to_what_is_cheap_enough() -> None:
    results = priced(device_hour=HOUR)
    costs = {
        name: found.total.mean
        for name, method in results.methods.items()
        if (found := money_of(results, method)).total is not None
    }
    cheapest = min(costs, key=costs.__getitem__)
    given = recommend(results, Limits(cost=1.05 * costs[cheapest]))
    assert {one.method for one in given.outside} == set(costs) - {cheapest}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"device_hour": 0.0}, "prices.device_hour"),
        ({"input_tokens": 1.0}, "prices.output_tokens: is missing"),
        ({"input_tokens": -1.0, "output_tokens": 1.0}, "prices.input_tokens"),
        ({"calls_per_month": 0}, "prices.calls_per_month"),
    ],
)
def test_prices_that_are_none_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_mapping(PriceOptions, given, path="prices")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(12.4, "12"), (12345.0, "12,000"), (987654.0, "990,000"), (math.inf, "never"), (None, "–")],
)
def test_volumes_are_written_to_two_digits(value: float | None, shown: str) -> None:
    assert shown_volume(value) == shown


@pytest.mark.parametrize("currency", ["", " ", "dollars of Hong Kong"])
def test_a_currency_is_a_few_characters(currency: str) -> None:
    with pytest.raises(ConfigError, match=f"currency: '{currency}' is not 1 to "):
        PriceOptions(currency=currency)
