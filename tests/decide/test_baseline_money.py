"""What the untuned base costs, alone and with solved examples in every prompt."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from bakeoff.decide.baseline_money import baseline_money_notes, money_of_baseline
from bakeoff.decide.money import Money, money_of, shown_volume, tokens_of_a_call
from bakeoff.runs.records import BaselineCost, Results
from tests.golden_folders import golden

HOUR = 3.6
"""A tenth of a cent a second."""
TOKENS: dict[str, Any] = {"input_tokens": 3.0, "output_tokens": 15.0}
ZERO = BaselineCost(tokens_read=120.0, tokens_written=30.0, generation_rows_per_second=80.0)
FEW = BaselineCost(
    tokens_read=480.0, tokens_written=30.0, generation_rows_per_second=20.0, search_seconds=40.0
)


def priced(few: BaselineCost | None = FEW, **prices: Any) -> Results:
    results = golden("four")
    zero = results.baselines["zero_shot"]
    baselines = {
        **results.baselines,
        "zero_shot": replace(zero, cost=ZERO),
        "few_shot": replace(zero, cost=few, shots=2),
    }
    return replace(results, study={**results.study, "prices": prices}, baselines=baselines)


def money(results: Results, name: str) -> Money:
    return money_of_baseline(results, results.baselines[name])


def mean(amount: Any) -> float:
    assert amount is not None
    return float(amount.mean)


def said(results: Results, word: str) -> list[str]:
    return [note for note in baseline_money_notes(results) if word in note]


def test_examples_cost_the_time_of_longer_prompts_and_of_their_choice() -> None:
    results = priced(device_hour=HOUR, calls_per_month=1000)
    zero, few = money(results, "zero_shot"), money(results, "few_shot")
    assert mean(zero.call) == pytest.approx(0.001 / 80) and zero.search is None
    assert mean(few.call) == pytest.approx(0.001 / 20) and few.training is None
    assert mean(few.search) == pytest.approx(0.04)
    assert mean(few.month) == pytest.approx(0.05)
    assert mean(few.total) == pytest.approx(0.09) and mean(zero.total) == mean(zero.month)
    assert few.break_even is None, "no prompted model has a price"
    assert money(results, "lead") == Money()
    # What a baseline costs is not known without a month to serve.
    assert money(priced(device_hour=HOUR), "few_shot").total is None


def test_what_has_paid_off_is_said_both_ways() -> None:
    results = priced(device_hour=HOUR, **TOKENS)
    few = money(results, "few_shot")
    read, written = tokens_of_a_call(results)
    prompted = (3.0 * read + 15.0 * written) / 1e6
    assert few.prompted_call == pytest.approx(prompted)
    assert few.break_even == pytest.approx(0.04 / (prompted - 0.00005))
    assert money(results, "zero_shot").break_even == 0.0
    assert said(results, "zero-shot pays off")[0].endswith("from the first answer on")
    [note] = said(results, "an answer of few-shot costs")
    assert "480 tokens are read for a test row as it was asked, with 2 training rows before" in note
    assert f"was asked so would cost ${(3 * 480 + 15 * 30) / 1e6:.4f}" in note
    # A method whose answers are cheaper makes up for its training, and no other does.
    lora = money_of(results, results.methods["lora"])
    saved = 0.00005 - mean(lora.call)
    assert saved > 0
    answers = shown_volume((mean(lora.training) - 0.04) / saved)
    [note] = said(results, "money: lora is cheaper than few-shot")
    assert note.endswith(f"from {answers} answers on") and answers != "0"
    dear = priced(replace(FEW, search_seconds=400.0), device_hour=HOUR, **TOKENS)
    assert said(dear, "money: lora is cheaper")[0].endswith("from the first answer on")
    fast = priced(replace(FEW, generation_rows_per_second=1e4), device_hour=HOUR, **TOKENS)
    assert said(fast, "money: lora does not become cheaper than few-shot")
    free = priced(device_hour=HOUR, input_tokens=0.0, output_tokens=0.001)
    assert money(free, "few_shot").break_even == math.inf
    assert said(free, "few-shot never pays off")


def test_what_was_not_timed_is_priced_by_its_tokens_and_it_is_said() -> None:
    by_tokens = (3.0 * 480 + 15.0 * 30) / 1e6
    untimed = replace(FEW, generation_rows_per_second=None)
    results = priced(untimed, device_hour=HOUR, **TOKENS)
    few = money(results, "few_shot")
    assert mean(few.call) == pytest.approx(by_tokens) and few.break_even is None
    assert mean(few.search) == pytest.approx(0.04)
    assert "by the study's prices of tokens, as it was not timed" in said(results, "few-shot")[0]
    assert not said(results, "cheaper than few-shot")
    alone = priced(**TOKENS)
    assert mean(money(alone, "few_shot").call) == pytest.approx(by_tokens)
    assert money(alone, "few_shot").search is None
    assert "as the device has no price" in said(alone, "an answer of few-shot")[0]
    assert baseline_money_notes(priced()) == []
    old = priced(None, device_hour=HOUR)
    assert money(old, "few_shot") == Money()
    assert "asks it again" in said(old, "few-shot has no price")[0]
