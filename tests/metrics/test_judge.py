from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bakeoff.config import from_mapping
from bakeoff.errors import ConfigError
from bakeoff.metrics.contract import ModelOutputs
from bakeoff.metrics.judge import DEFAULT_RUBRIC, Judge, JudgeOptions
from tests.metrics.examples import whole, with_references


def options_of(**section: Any) -> JudgeOptions:
    given = {"endpoint": "http://127.0.0.1:1/v1", "model": "m", **section}
    return from_mapping(JudgeOptions, given, path="judge")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"endpoint": "file:///etc/passwd"}, "no address of http or https"),
        ({"endpoint": "http://"}, "no address of http or https"),
        ({"endpoint": "http://host:0/v1"}, "no address of http or https"),
        ({"endpoint": "http://[::1/v1"}, "endpoint: is no address"),
        ({"endpoint": "http://host/v 1"}, "holds a blank"),
        ({"endpoint": "http://me:secret@host/v1"}, "which a run's folder would keep"),
        ({"endpoint": "http://host/v1?api-key=1"}, "which a run's folder would keep"),
        ({"model": " "}, "model: is empty"),
        ({"rubric": " "}, "rubric: is empty"),
        ({"api_key_env": "sk-12 34"}, "never the key itself"),
        ({"max_calls": 0}, "max_calls: 0 is below 1"),
        ({"parallel": 0}, "parallel: 0 is below 1"),
        ({"retries": -1}, "retries: -1 is below 0"),
        ({"max_tokens": 0}, "max_tokens: 0 is below 1"),
        ({"rows": 1}, "rows: 1 is below 2"),
        ({"timeout_seconds": 0.0}, "timeout_seconds: 0.0 is not above 0"),
        ({"retry_seconds": -0.1}, "retry_seconds: -0.1 is below 0"),
        ({"max_cost": 0.0}, "max_cost: 0.0 is not above 0"),
        ({"request": {"messages": []}}, "request.messages: is not a key"),
        ({"request": {"My_Api_Key": "x"}}, "request.My_Api_Key: is not a key"),
        ({"rubrik": "x"}, "rubrik"),
        ({"prices": {"input_tokens": -1.0}}, "not a finite price"),
        ({"prices": {"input_tokens": 1.0}}, "prices.output_tokens: is missing"),
        ({"prices": {"output_tokens": 1.0}}, "prices.input_tokens: is missing"),
    ],
)
def test_what_cannot_be_meant_is_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        options_of(**section)
    assert message in str(caught.value) and "judge" in str(caught.value)
    assert "secret@" not in str(caught.value)


def test_the_least_that_can_be_meant_is_taken() -> None:
    least = {"max_calls": 1, "parallel": 1, "retries": 0, "max_tokens": 1, "rows": 2}
    prices = {"input_tokens": 0.0, "output_tokens": 0.0}
    options = options_of(**least, retry_seconds=0.0, prices=prices, request={"top_p": 1})
    assert options.prices.is_known and options.prices.of_tokens(5.0, 7.0) == 0.0
    assert not options_of().prices.is_known
    assert options_of().prices.of_tokens(5.0, 7.0) is None


def test_prices_are_of_a_million_tokens() -> None:
    prices = options_of(prices={"input_tokens": 2.0, "output_tokens": 10.0}).prices
    assert prices.of_tokens(500_000, 100_000) == pytest.approx(2.0)


def test_the_share_is_of_rows_that_were_judged_and_a_tie_is_a_half() -> None:
    outputs = ModelOutputs(preferred_N=np.array([1.0, 0.5, 0.0, np.nan, 1.0]))
    assert whole(Judge(), outputs, with_references(["x"] * 5)) == 2.5 / 4


def test_the_signature_names_who_judges_against_what_and_by_which_rubric() -> None:
    assert Judge().signature == "pairwise, both orders"
    signature = Judge(options_of()).signature
    assert signature.startswith("m, pairwise with zero_shot, both orders, rubric ")
    assert Judge(options_of(rubric=DEFAULT_RUBRIC)).signature == signature
    assert Judge(options_of(rubric="Be brief.")).signature != signature
    assert "with reference," in Judge(options_of(against="reference")).signature
