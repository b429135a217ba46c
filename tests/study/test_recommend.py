"""The rules of the recommendation."""

from __future__ import annotations

from typing import Any

import pytest

from bakeoff.study.facts import cheapest, join, number
from bakeoff.study.recommend import recommend


def method(nll: float | None, adapter: int, state: str = "COMPLETE") -> dict[str, Any]:
    bounds = None if nll is None else {"mean": nll, "low": nll - 0.1, "high": nll + 0.1}
    return {
        "state": state,
        "test_nll": nll,
        "test_nll_interval": bounds,
        "adapter_bytes": adapter,
        "epoch_seconds": {"mean": 1.0},
        "trainable_parameters": adapter,
    }


def found(
    methods: dict[str, Any], wins: dict[tuple[str, str], str] | None = None, base: float = 4.0
) -> dict[str, Any]:
    comparisons = [
        {"a": a, "b": b, "metric": "test_nll", "verdict": verdict}
        for (a, b), verdict in (wins or {}).items()
    ]
    zero_shot = {"test_nll": base, "intervals": {"test_nll": {"low": base - 0.1}}}
    return recommend(
        {"methods": methods, "comparisons": comparisons, "baselines": {"zero_shot": zero_shot}}
    )


def test_the_lowest_is_recommended_where_it_is_ahead() -> None:
    answer = found({"a": method(2.0, 9), "b": method(3.0, 1)}, {("a", "b"): "a"})
    assert (answer["method"], answer["ties"]) == ("a", [])
    assert answer["why"].endswith("ahead of the other method beyond chance.")


def test_the_cheapest_of_those_that_tie_is_recommended() -> None:
    methods = {"a": method(2.0, 9), "b": method(2.1, 1), "c": method(2.2, 5)}
    answer = found(methods, {("a", "b"): "tie", ("a", "c"): "tie"})
    assert (answer["method"], answer["ties"]) == ("b", ["a", "c"])
    assert "b ties with a, whose test NLL is the lowest (2.100 against 2.000" in answer["why"]
    assert answer["why"].endswith("and is the cheapest of them to keep.")


def test_the_leader_that_is_cheapest_says_so() -> None:
    answer = found({"a": method(2.0, 1), "b": method(2.1, 9)}, {("a", "b"): "tie"})
    assert answer["method"] == "a"
    assert answer["why"].endswith("b ties with it, and a is the cheaper to keep.")


@pytest.mark.parametrize("adapter", [1, 9])
def test_a_cheaper_tie_that_is_not_clear_of_the_base_is_not_called_dearer(adapter: int) -> None:
    methods = {"a": method(2.0, 9), "b": method(2.1, 5), "c": method(3.9, adapter)}
    answer = found(methods, {("a", "b"): "tie", ("a", "c"): "tie"})
    assert (answer["method"], answer["ties"]) == ("b", ["a", "c"])
    if adapter == 1:
        assert "the cheapest to keep of those shown to be below the untuned base's" in answer["why"]
    else:
        assert "the cheapest of them to keep" in answer["why"]


def test_methods_that_were_never_compared_tie() -> None:
    answer = found({"a": method(2.0, 9), "b": method(2.5, 1)})
    assert answer["method"] == "b"


def test_nothing_is_recommended_that_is_not_below_the_base() -> None:
    answer = found({"a": method(3.95, 1)})
    assert answer["method"] is None
    assert "not shown to be below the untuned base's 4.000" in answer["why"]


def test_nothing_is_recommended_while_one_may_still_finish() -> None:
    answer = found({"a": method(2.0, 1), "b": method(None, 1, "RUNNING")})
    assert answer["method"] is None
    assert "b has not finished; so far a has the lowest" in answer["why"]


def test_a_method_that_diverged_takes_no_part() -> None:
    answer = found({"a": method(2.0, 1), "b": method(None, 1, "DIVERGED")})
    assert answer["method"] == "a"
    assert found({"b": method(None, 1, "DIVERGED")})["method"] is None


def test_results_of_nothing_recommend_nothing() -> None:
    assert recommend({})["method"] is None
    assert cheapest({}) is None


def test_helpers() -> None:
    assert join(["a"]) == "a"
    assert join(["a", "b", "c"]) == "a, b and c"
    assert number(True) is None
    assert number(float("nan")) is None
    assert number(3) == 3.0
