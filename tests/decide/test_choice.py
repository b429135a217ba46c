"""The rules of the recommendation, on a run of three methods: lora, head and soft_prompt."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bakeoff.decide.choice import recommend
from bakeoff.decide.limits import Limits, limits_from
from bakeoff.runs.records import Comparable, Estimate, Recommendation, Results
from bakeoff.types import RunState
from tests.decide.conftest import GIB
from tests.golden_folders import (
    GOLDEN,
    golden,
    with_costs,
    with_methods,
    with_test,
    with_verdicts,
)

Verdicts = dict[tuple[str, str], Comparable]
UNDECIDED: Verdicts = {("lora", "head"): "undecided"}
TIED: Verdicts = {
    ("lora", "head"): "undecided",
    ("lora", "soft_prompt"): "undecided",
    ("head", "soft_prompt"): "undecided",
}


def limited(results: Results, **limits: str) -> Recommendation:
    return recommend(results, limits_from(**limits))


def metered(results: Results, seconds: float) -> Results:
    """The same run with a latency of every method."""
    latency = Estimate(mean=seconds)
    methods = {
        name: with_costs(method, token_latency_seconds=latency)
        for name, method in results.methods.items()
    }
    return replace(results, methods=methods)


@pytest.mark.parametrize("name", ["schema1", "schema1_partial"])
def test_the_rules_are_those_of_the_first_edition(name: str) -> None:
    stored = json.loads((GOLDEN / name / "results.json").read_text("utf-8"))["recommendation"]
    found = recommend(golden(name))
    assert found.method == stored["method"]
    assert found.why == stored["why"].replace("nats a token", "nats per token")
    assert list(found.undecided) == stored["ties"]
    assert [(r.method, r.difference, r.low, r.high) for r in found.runners_up] == [
        (r["method"], r["difference"], r["low"], r["high"]) for r in stored["runners_up"]
    ]


class TestRules:
    def test_the_best_is_recommended_where_it_is_ahead_of_all(self, run: Results) -> None:
        found = recommend(run)
        assert (found.method, found.verdict, found.undecided) == ("lora", "best", ())
        assert found.behind == ("head", "soft_prompt")
        assert found.why.endswith("is ahead of each of the other 2 methods beyond chance.")

    def test_the_cheapest_of_those_that_tie_is_recommended(self, run: Results) -> None:
        found = recommend(with_verdicts(run, TIED))
        assert (found.method, found.verdict) == ("soft_prompt", "cheapest_equivalent")
        assert (found.undecided, found.behind) == (("lora", "head"), ())
        assert "soft_prompt ties with lora, whose test NLL is the lowest (" in found.why
        assert found.why.endswith(", and with head, and is the cheapest of them to keep.")

    def test_the_leader_that_is_cheapest_says_so(self, run: Results) -> None:
        cheap = with_costs(run.methods["lora"], adapter_bytes=1)
        tied = with_verdicts(run, UNDECIDED)
        found = recommend(replace(tied, methods={**tied.methods, "lora": cheap}))
        assert (found.method, found.behind) == ("lora", ("soft_prompt",))
        assert found.why.endswith("; head ties with it, and lora is the cheaper to keep.")

    def test_a_cheaper_tie_that_is_not_clear_of_the_base_is_not_called_dearer(
        self, run: Results
    ) -> None:
        near = with_verdicts(run, {**TIED, ("soft_prompt", "zero_shot"): "undecided"})
        found = recommend(near)
        assert (found.method, found.undecided) == ("head", ("lora", "soft_prompt"))
        assert "the cheapest to keep of those shown to be below the untuned base's" in found.why

    def test_methods_that_were_never_compared_tie(self, run: Results) -> None:
        found = recommend(replace(run, comparisons=()))
        assert (found.method, found.undecided) == ("head", ("lora", "soft_prompt"))

    def test_one_that_is_shown_behind_another_is_no_tie(self, run: Results) -> None:
        some = {k: v for k, v in TIED.items() if k != ("head", "soft_prompt")}
        found = recommend(with_verdicts(run, some))
        assert (found.method, found.undecided) == ("head", ("lora",))

    def test_nothing_is_recommended_that_is_not_below_the_base(self, run: Results) -> None:
        found = recommend(with_verdicts(run, {("lora", "zero_shot"): "undecided"}))
        assert (found.method, found.verdict, found.runners_up) == (None, "none", ())
        assert "lora's 3.4" in found.why and "not shown to be below the untuned base's" in found.why

    def test_without_a_comparison_the_intervals_must_part_from_the_bases(
        self, run: Results
    ) -> None:
        apart = replace(run, comparisons=())
        assert recommend(apart).method is not None
        wide = with_test(run.methods["lora"], "nll", 3.4, spread=5.0)
        near = with_methods(apart, head=None, soft_prompt=None)
        found = recommend(replace(near, methods={"lora": wide}))
        assert (found.method, found.verdict) == (None, "none")

    def test_without_a_base_there_is_nothing_to_be_below(self, run: Results) -> None:
        assert recommend(replace(run, baselines={}, comparisons=())).method is not None

    @pytest.mark.parametrize("state", ["WAITING", "RUNNING", "PAUSED", "COMPLETE"])
    def test_nothing_is_recommended_while_one_may_still_finish(
        self, run: Results, state: str
    ) -> None:
        found = recommend(with_methods(run, head={"state": RunState(state), "test": {}}))
        assert (found.method, found.verdict) == (None, "undecided")
        assert "head has not finished; so far lora has the lowest test NLL, 3.4" in found.why

    @pytest.mark.parametrize("state", ["DIVERGED", "FAILED", "PRUNED"])
    def test_a_method_that_ended_badly_takes_no_part(self, run: Results, state: str) -> None:
        bad = {"state": RunState(state), "test": {}}
        found = recommend(with_methods(run, head=bad))
        assert (found.method, found.verdict) == ("lora", "best")
        none = recommend(with_methods(run, lora=bad, head=bad, soft_prompt=bad))
        assert (none.method, none.verdict) == (None, "none")
        assert none.why.endswith("no method has a test result, as none ended well.")

    def test_one_test_row_decides_nothing(self, run: Results) -> None:
        test = replace(run.data.test, examples=1)
        found = recommend(replace(run, data=replace(run.data, test=test)))
        assert (found.method, found.verdict) == (None, "undecided")
        assert "give task.examples.test two or more" in found.why

    def test_a_study_without_methods_recommends_nothing(self, run: Results) -> None:
        empty = replace(run, methods={}, candidates={}, comparisons=())
        assert recommend(empty).verdict == "none"

    def test_a_metric_of_which_more_is_better_leads_from_above(self, run: Results) -> None:
        metrics = tuple(
            replace(metric, primary=metric.name == "rouge1") for metric in run.task.metrics
        )
        scores = {"lora": 0.2, "head": 0.4, "soft_prompt": 0.3}
        methods = {
            name: with_test(method, "rouge1", scores[name], spread=0.01)
            for name, method in run.methods.items()
        }
        found = recommend(
            replace(
                run,
                task=replace(run.task, metrics=metrics),
                methods=methods,
                comparisons=(),
            )
        )
        assert [r.method for r in found.runners_up] == ["head", "lora"]
        assert found.method == "soft_prompt"
        assert "whose test ROUGE-1 is the highest (30.0 against 40.0 points)" in found.why


def test_runners_up_are_in_order_with_their_differences(run: Results) -> None:
    found = recommend(with_verdicts(run, UNDECIDED)).runners_up
    assert [(r.method, r.verdict) for r in found] == [
        ("lora", "undecided"),
        ("soft_prompt", "worse"),
    ]
    (pair,) = (c for c in run.comparisons if c.metric == "nll" and {c.a, c.b} == {"lora", "head"})
    sign = 1 if pair.a == "lora" else -1
    assert found[0].difference == sign * pair.difference
    assert found[0].low is not None and found[0].high is not None
    assert found[0].low < found[0].difference < found[0].high


class TestLimits:
    def test_the_best_within_the_limit_is_recommended_and_the_better_one_named(
        self, run: Results
    ) -> None:
        found = limited(run, memory="8GiB")
        assert (found.method, found.verdict) == ("head", "best")
        assert found.why.startswith("head has the lowest test NLL of those within the limits, 4.2")
        assert found.why.endswith(
            "and is ahead of the other method within the limits beyond chance."
        )
        assert found.limits == ("peak memory at most 8.00 GiB",)
        assert [(o.method, o.reasons) for o in found.outside] == [
            ("lora", ("peak memory 9.00 GiB, over 8.00 GiB",))
        ]
        assert found.changes[0].startswith("Without the limits lora would be recommended: its ")
        assert found.changes[0].endswith(
            "ahead of head's beyond chance (peak memory 9.00 GiB, over 8.00 GiB)."
        )

    def test_the_better_one_that_misses_by_least_is_named_too(self, run: Results) -> None:
        found = limited(run, memory="5GiB")
        assert found.method == "soft_prompt"
        assert [change[:37] for change in found.changes] == [
            "Without the limits lora would be reco",
            "Without the limits head would be ahea",
        ]

    def test_a_limit_is_met_at_the_limit_itself(self, run: Results) -> None:
        assert limited(run, memory="9GiB").method == "lora"

    def test_time_is_the_whole_training(self, run: Results) -> None:
        assert run.study["protocol"]["epochs"] == 3
        assert limited(run, time="1200s").method == "lora"
        assert limited(run, time="15m").method == "head"
        assert limited(run, time="3m").method == "soft_prompt"

    def test_every_limit_must_be_met(self, run: Results) -> None:
        found = limited(run, memory="8GiB", adapter_size="1MB")
        assert (found.method, found.verdict) == (None, "none")
        assert found.why == (
            "Nothing is recommended: no method is shown to meet the limits (peak memory at most "
            "8.00 GiB and adapter size at most 977 KiB). soft_prompt misses fewest: adapter size "
            "1.91 MiB, over 977 KiB."
        )

    def test_what_was_not_measured_is_not_within_a_limit(self, run: Results) -> None:
        unmeasured = with_costs(run.methods["lora"], peak_memory_bytes=None)
        found = limited(replace(run, methods={**run.methods, "lora": unmeasured}), memory="99GiB")
        assert found.method == "head"
        assert found.outside[0].reasons == ("peak memory not measured",)
        assert limited(run, latency="20ms").method is None
        assert limited(metered(run, 0.01), latency="20ms").method == "lora"
        assert limited(metered(run, 0.01), latency="9ms").method is None

    def test_a_better_method_outside_that_only_ties_changes_nothing(self, run: Results) -> None:
        found = limited(with_verdicts(run, UNDECIDED), memory="8GiB")
        assert not [change for change in found.changes if change.startswith("Without")]

    def test_no_limits_are_as_good_as_none(self, run: Results) -> None:
        assert recommend(run, Limits()) == recommend(run)


class TestWhatWouldChange:
    def test_the_answer_to_a_tighter_limit(self, run: Results) -> None:
        (change,) = recommend(run).changes
        assert change.startswith(
            "If 9.00 GiB of memory, 20.0 min of training or an adapter of 2.86 MiB is too much, "
            "head is the answer: its test NLL is 4.2"
        )
        assert change.endswith(", behind lora's beyond chance.")

    def test_more_rows_where_methods_tie(self, run: Results) -> None:
        found = recommend(with_verdicts(run, UNDECIDED))
        assert found.method == "head"
        assert found.changes[0].startswith(
            "More test rows or seeds may tell head and lora apart: lora minus head is \u22120."
        )
        assert " nats per token, anywhere from \u2212" in found.changes[0]

    def test_what_a_tie_is_better_at(self, run: Results) -> None:
        spare = with_costs(run.methods["lora"], epoch=60.0, peak_memory_bytes=4 * GIB)
        tied = with_verdicts(run, UNDECIDED)
        found = recommend(replace(tied, methods={**tied.methods, "lora": spare}))
        assert found.changes[1] == (
            "Of those that tie, lora needs the least memory (4.00 GiB against 7.00 GiB) and trains "
            "fastest (3.0 min against 15.0 min)."
        )

    def test_times_within_noise_are_not_told_apart(self, run: Results) -> None:
        close = with_costs(run.methods["lora"], epoch=290.0, peak_memory_bytes=int(6.8 * GIB))
        tied = with_verdicts(run, UNDECIDED)
        found = recommend(replace(tied, methods={**tied.methods, "lora": close}))
        assert not [change for change in found.changes if change.startswith("Of those")]
