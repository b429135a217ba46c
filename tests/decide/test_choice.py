"""The rules of the recommendation."""

from __future__ import annotations

from typing import Any

import pytest
from bakeoff.decide.facts import cheapest, join, number

from bakeoff.decide.choice import recommend
from bakeoff.decide.limits import limits_from


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


GIB = 1024.0**3


def priced(nll: float, memory: float | None, seconds: float = 60.0) -> dict[str, Any]:
    entry = method(nll, int(1e6 * nll))
    entry["epoch_seconds"] = {"mean": seconds}
    entry["peak_memory_bytes"] = None if memory is None else memory * GIB
    return entry


def limited(
    methods: dict[str, Any], wins: dict[tuple[str, str], str], **limits: str
) -> dict[str, Any]:
    comparisons = [
        {"a": a, "b": b, "metric": "test_nll", "verdict": verdict, "difference": 0.5,
         "low": 0.25, "high": 0.75, "p_value": 0.001}
        for (a, b), verdict in wins.items()
    ]  # fmt: skip
    results = {
        "methods": methods,
        "comparisons": comparisons,
        "study": {"protocol": {"epochs": 10}},
    }
    return recommend(results, limits_from(**limits))


THREE = {"big": priced(2.0, 9.0, 400.0), "mid": priced(2.5, 7.0, 300.0), "small": priced(3.0, 4.0)}
APART = {("big", "mid"): "a", ("big", "small"): "a", ("mid", "small"): "a"}


class TestLimits:
    def test_the_best_within_the_limit_is_recommended_and_the_better_one_told(self) -> None:
        answer = limited(THREE, APART, memory="8GiB")
        assert answer["method"] == "mid"
        assert answer["why"] == (
            "mid has the lowest test NLL of those within the limits, 2.500 nats a token, and is "
            "ahead of the other method within the limits beyond chance."
        )
        assert answer["limits"] == ["peak memory at most 8.00 GiB"]
        assert answer["outside"] == [
            {"method": "big", "reasons": ["peak memory 9.00 GiB, over 8.00 GiB"]}
        ]
        assert answer["changes"][0] == (
            "Without the limits big would be recommended: its test NLL is 2.000, ahead of mid's "
            "beyond chance (peak memory 9.00 GiB, over 8.00 GiB)."
        )

    def test_the_better_one_that_misses_by_least_is_told_too(self) -> None:
        answer = limited(THREE, APART, memory="5GiB")
        assert answer["method"] == "small"
        assert [told[:36] for told in answer["changes"]] == [
            "Without the limits big would be reco",
            "Without the limits mid would be ahea",
        ]

    def test_a_limit_is_met_at_the_limit_itself(self) -> None:
        assert limited(THREE, APART, memory="9GiB")["method"] == "big"

    def test_time_is_the_whole_training(self) -> None:
        assert limited(THREE, APART, time="4000s")["method"] == "big"
        assert limited(THREE, APART, time="1h")["method"] == "mid"
        assert limited(THREE, APART, time="10m")["method"] == "small"

    def test_every_limit_must_be_met(self) -> None:
        answer = limited(THREE, APART, memory="8GiB", adapter_size="2MB")
        assert answer["method"] is None
        assert answer["why"] == (
            "Nothing is recommended: no method is shown to meet the limits (peak memory at most "
            "8.00 GiB and adapter size at most 1.91 MiB). big misses fewest: peak memory 9.00 GiB, "
            "over 8.00 GiB."
        )

    def test_what_was_not_measured_is_not_within_a_limit(self) -> None:
        answer = limited({**THREE, "x": priced(1.0, None)}, APART, memory="99GiB")
        assert answer["method"] == "big"
        assert answer["outside"] == [{"method": "x", "reasons": ["peak memory not measured"]}]
        assert limited(THREE, APART, latency="20ms")["method"] is None
        fast = {name: {**entry, "token_latency_seconds": 0.01} for name, entry in THREE.items()}
        assert limited(fast, APART, latency="20ms")["method"] == "big"
        assert limited(fast, APART, latency="9ms")["method"] is None

    def test_a_better_method_outside_that_only_ties_changes_nothing(self) -> None:
        ties = {("big", "mid"): "tie", ("big", "small"): "a", ("mid", "small"): "a"}
        answer = limited(THREE, ties, memory="8GiB")
        assert not [told for told in answer["changes"] if told.startswith("Without")]


class TestWhatWouldChange:
    def test_the_answer_to_a_tighter_limit(self) -> None:
        (told,) = limited(THREE, APART)["changes"]
        assert told == (
            "If 9.00 GiB of memory or 66.7 min of training is too much, mid is the answer: its "
            "test NLL is 2.500, behind big's beyond chance."
        )

    def test_more_rows_where_methods_tie(self) -> None:
        ties = {**APART, ("big", "mid"): "tie"}
        answer = limited({**THREE, "mid": priced(2.5, 9.0, 400.0)}, ties)
        assert answer["changes"][0] == (
            "More test rows or seeds may tell big and mid apart: mid minus big is \u22120.500 nats "
            "a token, anywhere from \u22120.750 to \u22120.250."
        )

    def test_what_a_tie_is_better_at(self) -> None:
        ties = {**APART, ("big", "mid"): "tie"}
        changes = limited(THREE, ties)["changes"]
        assert changes[1] == (
            "Of those that tie, mid needs the least memory (7.00 GiB against 9.00 GiB) and trains "
            "fastest (50.0 min against 66.7 min)."
        )

    def test_times_within_noise_are_not_told_apart(self) -> None:
        ties = {**APART, ("big", "mid"): "tie"}
        close = {**THREE, "mid": priced(2.5, 8.8, 390.0)}
        assert not [t for t in limited(close, ties)["changes"] if t.startswith("Of those")]


def test_runners_up_are_in_order_with_their_differences() -> None:
    found = limited(THREE, {**APART, ("big", "small"): "tie"})["runners_up"]
    assert [(r["method"], r["verdict"]) for r in found] == [("mid", "behind"), ("small", "tie")]
    assert (found[0]["difference"], found[0]["low"], found[0]["high"]) == (-0.5, -0.75, -0.25)


def test_one_that_is_shown_behind_another_is_no_tie() -> None:
    methods = {"a": method(2.0, 9), "b": method(2.1, 5), "c": method(2.3, 1)}
    wins = {("a", "b"): "tie", ("a", "c"): "tie", ("b", "c"): "a"}
    answer = found(methods, wins)
    assert (answer["method"], answer["ties"]) == ("b", ["a"])
