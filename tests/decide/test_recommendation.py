"""The recommendation of a study: who takes part, limits, what would change it, and old runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bakeoff.decide.limits import Limits, limits_from
from bakeoff.decide.recommendation import recommend, shown_recommendation, unit_of
from bakeoff.runs.reading import results_from, to_json
from bakeoff.runs.records import (
    CostRecord,
    EpochSeconds,
    Estimate,
    Outputs,
    Recommendation,
    Results,
)
from tests.decide.made import GIB, study_of
from tests.decide.situations import (
    CLEAR,
    CLOSE,
    NOISY,
    TWO,
    of_one_row,
    with_latency,
    with_states,
)
from tests.golden_folders import golden, with_costs

EQUAL = {"lora": 3.0, "head": 3.001, "soft_prompt": 4.0}


def limited(results: Results, **limits: str) -> Recommendation:
    return recommend(results, limits_from(**limits))


def with_cost(results: Results, name: str, **costs: Any) -> Results:
    methods = {**results.methods, name: with_costs(results.methods[name], **costs)}
    return replace(results, methods=methods)


class TestWhoTakesPart:
    @pytest.mark.parametrize("state", ["WAITING", "RUNNING", "PAUSED", "COMPLETE"])
    def test_nothing_is_recommended_while_one_may_still_finish(self, state: str) -> None:
        found = recommend(with_states(study_of(CLEAR), head=state))
        assert (found.method, found.verdict) == (None, "undecided")
        assert "head has not finished" in found.why

    @pytest.mark.parametrize("state", ["DIVERGED", "FAILED", "PRUNED"])
    def test_a_method_that_ended_badly_takes_no_part(self, state: str) -> None:
        found = recommend(with_states(study_of(CLEAR), head=state))
        assert (found.method, found.verdict, found.behind) == ("lora", "best", ("soft_prompt",))

    def test_one_that_was_tested_without_a_value_takes_no_part(self) -> None:
        results = study_of(CLEAR)
        head = replace(results.methods["head"], test={"rouge1": Estimate(mean=0.3)})
        found = recommend(replace(results, methods={**results.methods, "head": head}))
        assert (found.method, found.behind) == ("lora", ("soft_prompt",))

    @pytest.mark.parametrize(
        ("metric", "group", "fewer", "unit"),
        [
            ("nll", None, 0, "rows"),
            ("nll", None, 3, "groups"),  # of windows of one text
            ("judge", None, 3, "rows"),
            ("judge", "source", 3, "groups"),
        ],
    )
    def test_a_judge_that_saw_fewer_rows_counts_rows(
        self, metric: str, group: str | None, fewer: int, unit: str
    ) -> None:
        results = study_of(CLEAR)
        results = replace(results, study={**results.study, "task": {"group": group}})
        assert unit_of(results, metric, results.data.test.examples - fewer) == unit

    def test_where_none_has_the_metric_that_decides_nothing_failed(self) -> None:
        results = study_of(CLEAR)
        methods = {
            name: replace(method, test={"rouge1": Estimate(mean=0.3)})
            for name, method in results.methods.items()
        }
        found = recommend(replace(results, methods=methods, comparisons=()))
        assert (found.method, found.verdict) == (None, "undecided")
        assert "lora, head and soft_prompt ended well, but without test" in found.why
        assert "none ended well" not in found.why

    def test_every_baseline_that_has_the_metric_must_be_beaten(self) -> None:
        assert recommend(study_of(CLEAR, TWO)).method == "lora"
        beaten = recommend(study_of(CLEAR, {**TWO, "lead": 2.0}))
        assert (beaten.method, beaten.verdict) == (None, "none")
        without = study_of(CLEAR, {**TWO, "lead": 2.0})
        lead = replace(without.baselines["lead"], test={})
        others = tuple(c for c in without.comparisons if "lead" not in (c.a, c.b))
        found = recommend(
            replace(without, baselines={**without.baselines, "lead": lead}, comparisons=others)
        )
        assert found.method == "lora"

    def test_a_study_without_methods_recommends_nothing(self) -> None:
        empty = replace(study_of(CLEAR), methods={}, candidates={}, comparisons=())
        assert recommend(empty).verdict == "none"

    def test_one_test_row_decides_nothing(self) -> None:
        assert recommend(of_one_row()).verdict == "undecided"


class TestRules:
    def test_the_cheapest_of_equivalent_ones(self) -> None:
        for cheap in ("lora", "head"):
            found = recommend(with_cost(study_of(EQUAL), cheap, adapter_bytes=1))
            assert (found.verdict, found.method) == ("cheapest_equivalent", cheap)
            assert found.behind == ("soft_prompt",)
            assert {found.method, *found.equivalent} == {"lora", "head"}

    def test_two_of_one_size_go_by_their_epochs(self) -> None:
        alike = with_cost(study_of(EQUAL), "head", adapter_bytes=3_000_000, epoch=500.0)
        assert recommend(alike).method == "lora"

    def test_it_follows_from_the_results_alone(self) -> None:
        for results in (study_of(EQUAL), study_of(CLOSE, **NOISY), study_of(CLEAR, seeds=1)):
            again = results_from(to_json(results), where="results.json")
            assert recommend(again) == results.recommendation
            assert again.recommendation == results.recommendation

    def test_runners_up_are_in_order_with_their_pairs(self) -> None:
        results = study_of(EQUAL)
        found = results.recommendation.runners_up
        assert [(r.method, r.verdict) for r in found] == [
            ("lora", "equivalent"),
            ("soft_prompt", "worse"),
        ]
        assert found[0].difference == pytest.approx(-0.001)
        assert found[0].low is not None and found[0].high is not None
        assert found[0].low < found[0].difference < found[0].high

    def test_groups_are_named_where_they_are_what_was_drawn(self) -> None:
        results = study_of(CLOSE, **NOISY)
        grouped = replace(
            results,
            data=replace(results.data, test=replace(results.data.test, examples=180)),
        )
        found = recommend(grouped)
        assert "434 test groups would decide it" in found.why
        assert found.needs is not None and found.needs.seconds is None

    def test_another_level_is_asked_for(self) -> None:
        strict = study_of({"lora": 3.0, "head": 3.02}, level=0.9999, spread=0.02)
        loose = study_of({"lora": 3.0, "head": 3.02}, level=0.8, spread=0.02)
        assert strict.recommendation.verdict == "undecided"
        assert loose.recommendation.verdict == "cheapest_equivalent"


class TestNeeds:
    def test_seconds_are_those_of_the_open_methods(self) -> None:
        found = recommend(study_of({**CLOSE, "head": 3.001}, seeds=3, rows=4000, spread=0.04))
        assert found.needs is not None and found.needs.seeds is not None
        assert found.undecided == ("lora", "head")
        # Three epochs each; the third method is behind and gets none.
        assert found.needs.seconds == (found.needs.seeds - 3) * 3 * (400.0 + 300.0)

    def test_seconds_of_rows_are_those_of_answering_them(self) -> None:
        found = recommend(study_of(CLOSE, **NOISY))
        assert found.needs is not None and found.needs.rows is not None
        assert found.needs.seeds is None
        assert found.needs.seconds == (found.needs.rows - 60) * (3 + 3) / 2.0

    @pytest.mark.parametrize(
        "missing", [{"epoch_seconds": None}, {"generation_rows_per_second": None}]
    )
    def test_what_was_not_measured_leaves_them_open(self, missing: dict[str, None]) -> None:
        results = study_of({**CLOSE, "head": 3.001}, seeds=3, rows=100, spread=0.08, by_row=0.3)
        assert results.recommendation.needs is not None
        assert results.recommendation.needs.seconds is not None
        found = recommend(with_cost(results, "head", **missing))
        assert found.needs is not None and found.needs.seconds is None

    def test_three_seeds_are_counted_from_those_that_are_there(self) -> None:
        found = recommend(study_of(CLEAR, seeds={"lora": 3, "head": 2, "soft_prompt": 1}))
        assert found.needs is not None
        assert found.needs.seconds == 3 * (300.0 + 2 * 60.0)


class TestLimits:
    def test_the_best_within_the_limit_is_recommended_and_the_better_one_named(self) -> None:
        found = limited(study_of(CLEAR), memory="8GiB")
        assert (found.method, found.verdict) == ("head", "best")
        assert found.limits == ("peak memory at most 8.00 GiB",)
        assert [(o.method, o.reasons) for o in found.outside] == [
            ("lora", ("peak memory 9.00 GiB, over 8.00 GiB",))
        ]
        assert found.changes[0] == (
            "Without the limits lora would be recommended: its test NLL is 3.000, better than "
            "head's (peak memory 9.00 GiB, over 8.00 GiB)."
        )

    def test_the_better_one_that_misses_by_least_is_named_too(self) -> None:
        found = limited(study_of(CLEAR), memory="5GiB")
        assert found.method == "soft_prompt"
        assert [change[:37] for change in found.changes] == [
            "Without the limits lora would be reco",
            "Without the limits head would be ahea",
        ]

    def test_a_limit_is_met_at_the_limit_itself(self) -> None:
        assert limited(study_of(CLEAR), memory="9GiB").method == "lora"

    def test_time_is_the_whole_training(self) -> None:
        run = study_of(CLEAR)
        assert limited(run, time="1200s").method == "lora"
        assert limited(run, time="15m").method == "head"
        assert limited(run, time="3m").method == "soft_prompt"

    def test_what_was_not_measured_is_not_within_a_limit(self) -> None:
        found = limited(with_cost(study_of(CLEAR), "lora", peak_memory_bytes=None), memory="99GiB")
        assert found.method == "head"
        assert found.outside[0].reasons == ("peak memory not measured",)
        assert limited(study_of(CLEAR), latency="20ms").method is None

    @pytest.mark.parametrize(("high", "is_met"), [(0.012, True), (0.0121, False), (None, True)])
    def test_a_limit_is_met_where_the_interval_lies_below_it(
        self, high: float | None, is_met: bool
    ) -> None:
        results = study_of({"lora": 3.0})
        latency = Estimate(mean=0.010, low=0.009, high=high)
        found = limited(with_cost(results, "lora", token_latency_seconds=latency), latency="12ms")
        assert (found.method == "lora") is is_met
        if not is_met:
            (outside,) = found.outside
            assert outside.reasons == (
                "latency per token 10.0 ms, but up to 12.1 ms, over 12.0 ms",
            )

    def test_so_does_training_time(self) -> None:
        seconds = EpochSeconds(mean=100.0, low=90.0, high=120.0)
        run = with_cost(study_of({"lora": 3.0}), "lora", epoch_seconds=seconds)
        assert limited(run, time="360s").method == "lora"
        assert limited(run, time="350s").method is None

    def test_a_better_method_outside_that_is_undecided_changes_nothing(self) -> None:
        found = limited(study_of({"lora": 3.0, "head": 3.03}, **NOISY), memory="8GiB")
        assert not [change for change in found.changes if change.startswith("Without")]

    def test_no_limits_are_as_good_as_none(self) -> None:
        run = study_of(CLEAR)
        assert recommend(run, Limits()) == recommend(run)


class TestWhatWouldChange:
    def test_the_answer_to_a_tighter_limit(self) -> None:
        (change,) = recommend(study_of(CLEAR)).changes
        assert change == (
            "If 9.00 GiB of memory, 20.0 min of training or an adapter of 2.86 MiB is too much, "
            "head is the answer: its test NLL is 3.500, worse than lora's."
        )

    def test_what_an_equivalent_one_is_better_at(self) -> None:
        spare = {"epoch": 60.0, "peak_memory_bytes": 4 * GIB}
        found = recommend(with_cost(study_of(EQUAL), "lora", **spare))
        assert found.method == "head"
        assert found.changes[0] == (
            "Of those that are equivalent, lora needs the least memory (4.00 GiB against 7.00 GiB) "
            "and trains fastest (3.0 min against 15.0 min)."
        )

    @pytest.mark.parametrize(("empty", "is_advised"), [(5, True), (6, False)])
    def test_no_one_is_sent_to_a_method_that_writes_nothing(
        self, empty: int, is_advised: bool
    ) -> None:
        def silent(results: Results, name: str) -> tuple[str, ...]:
            found = replace(results.methods[name], outputs=Outputs(examples=100, empty=empty))
            methods = {**results.methods, name: found}
            return recommend(replace(results, methods=methods)).changes

        tighter = silent(study_of(CLEAR), "head")
        assert any("head is the answer" in change for change in tighter) is is_advised
        spare = with_cost(study_of(EQUAL), "lora", epoch=60.0, peak_memory_bytes=4 * GIB)
        assert any("lora needs the least" in c for c in silent(spare, "lora")) is is_advised

    def test_times_within_noise_are_not_told_apart(self) -> None:
        close = {"epoch": 290.0, "peak_memory_bytes": int(6.8 * GIB)}
        found = recommend(with_cost(study_of(EQUAL), "lora", **close))
        assert not [change for change in found.changes if change.startswith("Of those")]

    def test_intervals_that_meet_are_not_told_apart(self) -> None:
        apart = with_latency(study_of(EQUAL), lora=(0.01, 0.009, 0.011), head=(0.02, 0.012, 0.03))
        assert any("writes a token fastest" in change for change in recommend(apart).changes)
        meeting = with_latency(study_of(EQUAL), lora=(0.01, 0.009, 0.013), head=(0.02, 0.012, 0.03))
        assert not any("writes a token fastest" in change for change in recommend(meeting).changes)


class TestOlderRuns:
    """Their comparisons have no standard errors, so what was recommended then is shown."""

    @pytest.mark.parametrize("name", ["schema1", "schema1_partial"])
    def test_the_stored_recommendation_is_handed_out(self, name: str) -> None:
        results = golden(name)
        assert results.decision is None
        assert all(c.error is None for c in results.comparisons)
        assert recommend(results) == results.recommendation

    def test_within_limits_it_stands_where_it_meets_them(self) -> None:
        results = golden("schema1")
        found = limited(results, adapter_size="10MB")
        assert (found.method, found.verdict) == ("lora", "best")
        assert found.limits == ("adapter size at most 9.54 MiB",)
        refused = limited(results, adapter_size="100kB")
        assert (refused.method, refused.verdict) == (None, "undecided")
        assert "an earlier version wrote this run" in refused.why

    def test_without_limits_what_is_stored_is_shown(self) -> None:
        results = study_of(CLEAR)
        stored = replace(results.recommendation, why="as it was written")
        changed = replace(results, recommendation=stored)
        assert shown_recommendation(changed) == shown_recommendation(changed, Limits()) == stored
        within = shown_recommendation(changed, limits_from(memory="8GiB"))
        assert within == limited(results, memory="8GiB")


def test_costs_that_are_missing_everywhere_leave_the_better_mean() -> None:
    results = study_of(EQUAL)
    methods = {n: replace(m, cost=CostRecord()) for n, m in results.methods.items()}
    found = recommend(replace(results, methods=methods))
    assert (found.verdict, found.method) == ("cheapest_equivalent", "lora")
    assert "lora is the one with the best mean of those" in found.why
