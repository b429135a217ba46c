"""Estimates and comparisons of one metric on one set."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bakeoff.decide.judged import (
    MetricJudgement,
    MetricScores,
    few_label_rows,
    judge_metric,
)
from bakeoff.decide.referee import compare
from bakeoff.errors import DataError
from bakeoff.metrics.registry import metric_of
from tests.decide.made import Runs, ratio, scores_of
from tests.decide.referee.test_influence import confusion, macro_f1

SEEDS = {"a": 3, "b": 4, "c": 3, "base": 1}
MEANS = {"a": 3.0, "b": 3.02, "c": 3.5, "base": 4.0}


def judged(runs: Runs, **changes: Any) -> MetricJudgement:
    options = {"margin": 0.05, "level": 0.95, "baselines": ("base",)}
    given = {key: changes.pop(key, value) for key, value in options.items()}
    scores = MetricScores(
        **{
            "set": "test",
            "metric": "nll",
            "higher_is_better": False,
            "runs": runs,
            "value": ratio,
            "is_ratio": True,
            **changes,
        }
    )
    return judge_metric(scores, **given)


def test_every_pair_is_compared_as_compare_does_it() -> None:
    runs = scores_of(MEANS, seeds=SEEDS)
    found = judged(runs)
    plain = compare(
        {name: np.stack([run[:, 0] for run in own]) for name, own in runs.items()},
        higher_is_better=False,
        margin=0.05,
        baselines=["base"],
    )
    assert [(c.a, c.b) for c in found.comparisons] == list(itertools.combinations(MEANS, 2))
    for ours, theirs in zip(found.comparisons, plain.comparisons, strict=True):
        assert (ours.set, ours.metric) == ("test", "nll")
        assert (ours.verdict, ours.seeds, ours.fixed) == (
            theirs.verdict, theirs.seeds, theirs.fixed,
        )  # fmt: skip
        for key in ("difference", "low", "high", "p_value", "error", "freedom", "equivalent_from"):
            assert getattr(ours, key) == pytest.approx(getattr(theirs, key))


def test_a_ratio_is_the_same_with_and_without_its_closed_form() -> None:
    runs = scores_of(MEANS, seeds=SEEDS, rows=50)
    closed, left_out = judged(runs), judged(runs, is_ratio=False)
    for ours, theirs in zip(closed.comparisons, left_out.comparisons, strict=True):
        assert ours.verdict == theirs.verdict
        assert ours.p_value == pytest.approx(theirs.p_value)
    for name, estimate in closed.estimates.items():
        assert left_out.estimates[name].high == pytest.approx(estimate.high)


def test_seeds_are_averaged_after_the_value() -> None:
    runs = {name: confusion(3, 60, 3, seed) for seed, name in enumerate(("a", "b"))}
    found = judged(runs, value=macro_f1, is_ratio=False, higher_is_better=True, baselines=())
    for name, own in runs.items():
        values = [float(macro_f1(run.sum(axis=0))) for run in own]
        estimate = found.estimates[name]
        assert estimate.per_seed == pytest.approx(values)
        assert estimate.mean == pytest.approx(np.mean(values))
        assert estimate.low is not None and estimate.high is not None
        assert estimate.low < estimate.mean < estimate.high
    (pair,) = found.comparisons
    assert pair.difference == pytest.approx(found.estimates["a"].mean - found.estimates["b"].mean)


def test_one_seed_has_an_interval_over_rows_alone() -> None:
    runs = scores_of({"a": 3.0}, seeds={"a": 1})
    estimate = judged(runs).estimates["a"]
    scores = runs["a"][0][:, 0]
    reach = stats.t.isf(0.025, len(scores) - 1) * stats.sem(scores)
    assert estimate.high == pytest.approx(scores.mean() + reach)
    assert estimate.per_seed == pytest.approx((scores.mean(),))


def test_intervals_stay_within_the_metrics_own_bounds() -> None:
    rng = np.random.default_rng(0)
    near = (rng.random((3, 40)) < 0.97).astype(float)
    runs = {"a": [np.stack([run, np.ones(40)], axis=1) for run in near]}
    free = judged(runs).estimates["a"]
    bound = judged(runs, bounds=(0.0, 1.0)).estimates["a"]
    assert free.high is not None and free.high > 1.0
    assert bound.low is not None and bound.high is not None
    assert bound.low < bound.mean < bound.high < 1.0
    assert bound.mean - bound.low > bound.high - bound.mean


def test_a_single_row_has_a_value_and_nothing_else() -> None:
    found = judged(scores_of(MEANS, seeds=SEEDS, rows=1))
    assert found.comparisons == ()
    assert {(e.low, e.high) for e in found.estimates.values()} == {(None, None)}


def test_groups_are_what_is_drawn() -> None:
    runs = scores_of({"a": 3.0, "b": 3.02}, seeds={"a": 3, "b": 3}, rows=60)
    repeated = {name: [np.repeat(run, 20, axis=0) for run in own] for name, own in runs.items()}
    alone, copied = judged(runs).comparisons[0], judged(repeated).comparisons[0]
    labels = [f"passage {k}" for k in range(60) for _ in range(20)]
    grouped = judged(repeated, groups=labels).comparisons[0]
    assert copied.examples == 1200 and grouped.examples == 60
    assert grouped.error == pytest.approx(alone.error)
    assert copied.error is not None and grouped.error is not None
    assert copied.error < 0.8 * grouped.error


def test_what_forbids_a_metric_forbids_its_verdicts_and_not_its_intervals() -> None:
    macro, mcc = (metric_of(name, labels=("yes", "no")) for name in ("macro_f1", "mcc"))
    why = few_label_rows({"yes": 40, "no": 3}, macro)
    assert why == (
        "the label no has 3 test rows only, and Macro-F1 is judged from 10 of each label on"
    )
    assert few_label_rows({"yes": 40, "no": 10}, macro) is None
    assert few_label_rows({"yes": 40, "no": 3}, mcc) is None
    found = judged(scores_of(MEANS, seeds=SEEDS), withheld=why)
    assert {c.verdict for c in found.comparisons} == {"undecided"}
    assert {c.why for c in found.comparisons} == {why}
    assert all(e.low is not None for e in found.estimates.values())


def test_what_has_no_value_is_left_out_and_named() -> None:
    runs = dict(scores_of(MEANS, seeds=SEEDS, rows=30))
    empty = np.zeros((30, 2))
    one = np.zeros((30, 2))
    one[4] = (3.0, 1.0)  # without this row there is nothing to divide by
    with np.errstate(invalid="ignore"):
        found = judged({**runs, "c": [empty] * 3, "b": [one] * 3})
    assert set(found.estimates) == {"a", "b", "base"}
    assert found.estimates["b"].low is None
    assert [(c.a, c.b) for c in found.comparisons] == [("a", "base")]
    assert found.warnings[0].startswith("c has no finite value")
    assert found.warnings[1].startswith("b has no interval and no part in the comparisons")
    assert not any(math.isnan(e.mean) for e in found.estimates.values())


def test_nothing_is_judged_of_nothing() -> None:
    assert judged({}) == MetricJudgement(estimates={})
    assert judged({"a": []}) == MetricJudgement(estimates={})


def test_uneven_weights_are_warned_of() -> None:
    weights = np.ones(60)
    weights[:3] = 100.0
    rng = np.random.default_rng(1)
    runs = {
        name: [np.stack([weights * rng.random(60), weights], axis=1) for _ in range(3)]
        for name in "ab"
    }
    found = judged(runs)
    assert found.warnings[0].startswith("the weights are so uneven that they count as 4 equal")
    # Few rows of even weights are few, and no more.
    even = {name: [run[:12] / run[:12, 1:] for run in own] for name, own in runs.items()}
    assert not judged(even).warnings
    groups = judged(
        {n: [np.stack([rng.random(60), np.ones(60)], axis=1) for _ in range(3)] for n in "ab"},
        groups=[*range(20), *[20] * 40],
    )
    assert groups.warnings[0].startswith("the sizes of the groups are so uneven")


def test_rows_that_do_not_fit_are_an_error() -> None:
    runs = dict(scores_of(MEANS, seeds=SEEDS, rows=30))
    runs["b"] = [run[:20] for run in runs["b"]]
    with pytest.raises(DataError, match=r"the numbers of rows differ \(a 30, b 20, c 30, base 30"):
        judged(runs)


def test_a_thousand_labels_are_judged_in_little_memory() -> None:
    runs = {name: confusion(3, 2000, 1000, seed) for seed, name in enumerate("abcd")}
    tracemalloc.start()
    found = judged(runs, value=macro_f1, is_ratio=False, higher_is_better=True, baselines=())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.comparisons) == 6
    assert all(c.differing is not None and c.differing > 1990 for c in found.comparisons)
    assert peak < 200e6


def test_a_function_of_a_mean_is_compared_in_its_own_unit() -> None:
    """The exponential of a mean: by the delta method it varies by itself times the mean's own."""
    runs = scores_of({"a": 2.3, "b": 2.4}, seeds={"a": 3, "b": 3}, rows=300)
    nats = judged(runs)
    found = judged(runs, value=lambda sums: np.exp(ratio(sums)), is_ratio=False, has_weights=True)
    for name in ("a", "b"):
        one, own = nats.estimates[name], found.estimates[name]
        assert own.mean == pytest.approx(np.exp(one.mean), rel=1e-3)
        assert own.high is not None and one.high is not None
        assert own.high - own.mean == pytest.approx(own.mean * (one.high - one.mean), rel=0.05)
    (pair,) = found.comparisons
    assert pair.difference == pytest.approx(found.estimates["a"].mean - found.estimates["b"].mean)


def test_uneven_weights_of_such_a_function_are_warned_of() -> None:
    runs = scores_of({"a": 2.3, "b": 2.4}, seeds={"a": 3, "b": 3}, rows=60)
    heavy = {
        name: [run * np.r_[np.full(3, 100.0), np.ones(57)][:, None] for run in own]
        for name, own in runs.items()
    }
    found = judged(heavy, is_ratio=False, has_weights=True)
    assert any("the weights are so uneven" in warning for warning in found.warnings)
