from __future__ import annotations

import itertools
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from scipy import stats

import bakeoff
from bakeoff.decide.referee import Judgement, compare
from bakeoff.errors import ConfigError, DataError

Scores = dict[str, np.ndarray]


def study(
    shifts: dict[str, float], seeds: int = 5, rows: int = 400, seed: int = 0, spread: float = 0.01
) -> Scores:
    """Scores around the rows' own ease, with effects of method by row, of seeds and of runs."""
    rng = np.random.default_rng(seed)
    ease = rng.standard_normal(rows)
    return {
        name: ease
        + shift
        + 0.05 * rng.standard_normal(rows)
        + spread * rng.standard_normal((seeds, 1))
        + 0.05 * rng.standard_normal((seeds, rows))
        for name, shift in shifts.items()
    }


def judged(scores: Scores, **changes: Any) -> Judgement:
    return compare(scores, **{"higher_is_better": True, "margin": 0.05, **changes})


CLEAR = {"a": 1.0, "b": 0.5, "c": 0.0}
CLOSE = {"a": 0.0, "b": 0.001, "c": -1.0}


def test_a_clear_study() -> None:
    found = judged(study(CLEAR))
    assert [(c.a, c.b, c.verdict) for c in found.comparisons] == [
        ("a", "b", "better"),
        ("a", "c", "better"),
        ("b", "c", "better"),
    ]
    first = found.comparisons[0]
    assert first.low is not None and first.high is not None
    assert first.low < 0.5 < first.high
    assert first.difference == pytest.approx(0.5, abs=0.05)
    assert (first.margin, first.seeds, first.examples, first.why) == (0.05, (5, 5), 400, None)
    assert first.level == pytest.approx(0.95)
    assert found.recommendation.verdict == "best"
    assert found.recommendation.method == "a"
    assert found.recommendation.behind == ("b", "c")
    assert found.recommendation.needs is None
    assert found.recommendation.fallback is None


def test_lower_is_better_turns_verdicts_and_not_differences() -> None:
    scores = study(CLEAR)
    up, down = judged(scores), judged(scores, higher_is_better=False)
    for one, other in zip(up.comparisons, down.comparisons, strict=True):
        assert one.difference == other.difference
        assert one.p_value == other.p_value
        assert (one.verdict, other.verdict) == ("better", "worse")
    assert down.recommendation.method == "c"


def test_intervals_hold_for_all_pairs_together() -> None:
    scores = {name: runs[0] for name, runs in study(CLEAR, rows=50).items()}
    found = judged(scores, baselines=["a", "b"], level=0.9).comparisons[0]
    gap = scores["a"] - scores["b"]
    error = stats.sem(gap)
    reach = stats.t.isf(0.1 / 3 / 2, 49) * error  # three pairs, two sides
    assert found.low == pytest.approx(gap.mean() - reach)
    assert found.high == pytest.approx(gap.mean() + reach)


def test_equal_methods_and_their_costs() -> None:
    scores = study(CLOSE)
    assert judged(scores).comparisons[0].verdict == "equivalent"
    for costs, method, other in (
        ({"a": 1, "b": 2, "c": 0}, "a", "b"),
        ({"a": 2, "b": 1, "c": 0}, "b", "a"),
    ):
        advice = judged(scores, costs=costs).recommendation
        assert (advice.verdict, advice.method) == ("cheapest_equivalent", method)
        assert (advice.equivalent, advice.behind) == ((other,), ("c",))


@pytest.mark.parametrize("shifts", [CLEAR, CLOSE, {"a": 0.0, "b": 0.02, "c": 0.04, "d": 0.04}])
@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_order_does_not_matter(shifts: dict[str, float], seeds: int) -> None:
    scores = study(shifts, seeds=seeds)
    costs = {name: float(k) for k, name in enumerate(scores)}
    expected = judged(scores, costs=costs)
    verdicts = {(c.a, c.b): c for c in expected.comparisons}
    mirrored = {"better": "worse", "worse": "better"}
    for order in itertools.permutations(scores):
        found = judged({name: scores[name] for name in order}, costs=costs)
        ours, theirs = found.recommendation, expected.recommendation
        assert (ours.fallback is None) == (theirs.fallback is None)
        if ours.fallback is not None and theirs.fallback is not None:
            assert ours.fallback.method == theirs.fallback.method
            assert ours.fallback.regret == pytest.approx(theirs.fallback.regret)
            assert ours.fallback.bound == pytest.approx(theirs.fallback.bound)
        assert (ours.verdict, ours.method, ours.needs) == (
            theirs.verdict,
            theirs.method,
            theirs.needs,
        )
        for part in ("equivalent", "undecided", "behind"):
            assert set(getattr(ours, part)) == set(getattr(theirs, part))
        for c in found.comparisons:
            if (same := verdicts.get((c.a, c.b))) is not None:
                assert c.verdict == same.verdict
                continue
            turned = verdicts[c.b, c.a]
            assert c.verdict == mirrored.get(turned.verdict, turned.verdict)
            if turned.low is None or turned.high is None:
                assert c.low is c.high is None
            else:
                assert (c.low, c.high) == pytest.approx((-turned.high, -turned.low))
            assert c.p_value == pytest.approx(turned.p_value)


def test_ties_go_by_name() -> None:
    right = (np.random.default_rng(4).random((3, 200)) < 0.8).astype(float)
    scores = {"b": right, "a": right[:, ::-1], "c": np.roll(right, 50, axis=1)}
    for order in itertools.permutations(scores):
        found = judged({name: scores[name] for name in order}, margin=0.5).recommendation
        assert (found.verdict, found.method) == ("cheapest_equivalent", "a")


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_say_nothing(seeds: int) -> None:
    found = judged(study(CLEAR, seeds=seeds))
    assert {c.verdict for c in found.comparisons} == {"undecided"}
    assert found.comparisons[0].why == "a and b have fewer than 3 seeds"
    assert found.comparisons[0].p_value == 1.0
    assert found.comparisons[0].low is found.comparisons[0].high is None
    advice = found.recommendation
    assert (advice.verdict, advice.method, advice.undecided) == ("undecided", None, ("a", "b", "c"))
    assert advice.needs is not None
    assert (advice.needs.seeds, advice.needs.rows) == (3, None)
    assert advice.fallback is not None
    assert (advice.fallback.method, advice.fallback.regret) == ("a", None)


def test_identical_runs_are_one_output_that_can_be_tested() -> None:
    scores = {name: np.tile(runs[:1], (2, 1)) for name, runs in study(CLEAR).items()}
    assert [c.verdict for c in judged(scores).comparisons] == ["better"] * 3
    assert judged(scores).recommendation.method == "a"
    scores["b"][1, 0] += 1e-6  # no longer the same
    assert [c.verdict for c in judged(scores).comparisons] == ["undecided", "better", "undecided"]


def test_a_baseline_of_one_run_takes_part() -> None:
    scores = study({"a": 0.5, "b": 0.0, "base": 0.2})
    scores["base"] = scores["base"][0]
    found = judged(scores, baselines=["base"])
    assert [c.verdict for c in found.comparisons] == ["better", "better", "worse"]
    assert found.comparisons[1].seeds == (5, 1)
    assert found.comparisons[1].fixed == (False, True)
    assert found.recommendation.method == "a"
    assert "base" not in found.recommendation.behind
    without = judged(scores)
    assert [c.verdict for c in without.comparisons] == ["better", "undecided", "undecided"]


def test_none_where_a_baseline_is_at_least_as_good() -> None:
    scores = study({"a": 0.0, "b": -0.5, "base": 0.3, "other": -2.0})
    advice = judged(scores, baselines=["base", "other"]).recommendation
    assert (advice.verdict, advice.method, advice.undecided) == ("none", None, ())
    assert advice.behind == ("b",)
    assert advice.why.startswith("No method is shown better than the baselines base and other")


def test_undecided_says_what_would_decide_and_what_to_do() -> None:
    scores = study({"a": 0.0, "b": 0.01, "c": -1.0}, seeds=3, rows=60, spread=0.005)
    advice = judged(scores, margin=0.01).recommendation
    assert (advice.verdict, advice.undecided, advice.behind) == ("undecided", ("a", "b"), ("c",))
    assert advice.needs is not None
    assert advice.needs.rows is not None and advice.needs.rows > 60
    assert advice.fallback is not None
    assert advice.fallback.regret is not None and advice.fallback.bound is not None
    assert 0.0 < advice.fallback.regret < advice.fallback.bound
    assert f"{advice.needs.rows} test rows" in advice.why


def test_no_size_decides_with_a_margin_of_zero() -> None:
    advice = judged(study(CLOSE), margin=0.0).recommendation
    assert advice.verdict == "undecided"
    assert advice.needs is None
    assert "margin of zero" in advice.why
    assert judged(study(CLOSE), margin=0.0).comparisons[0].verdict == "undecided"


def test_with_a_margin_of_zero_equal_methods_are_seldom_recommended() -> None:
    rng = np.random.default_rng(3)
    named = 0
    for _ in range(400):
        ease = rng.normal(size=60)
        scores = {name: (ease + 0.5 * rng.normal(size=60))[None] for name in "ab"}
        found = judged(scores, margin=0.0, baselines=[]).recommendation
        assert found.verdict != "cheapest_equivalent"
        named += found.verdict == "best"
    assert named <= 0.07 * 400


def test_few_rows_that_differ_are_withheld() -> None:
    rng = np.random.default_rng(1)
    a = (rng.random((3, 200)) < 0.8).astype(float)
    b = a.copy()
    b[:, :6] = 1.0 - b[:, :6]
    found = judged({"a": a, "b": b, "same": a})
    assert [c.verdict for c in found.comparisons] == ["undecided"] * 3
    assert found.comparisons[0].why == "they differ on 6 of 200 rows only; at least 10 are needed"
    assert found.comparisons[1].why is not None
    assert found.comparisons[1].why.startswith("they agree on all 200 rows")
    # Pairs of one reason share a sentence.
    assert "a with b and b with same are not compared: they differ on 6" in found.recommendation.why
    assert "a and same are not compared: they agree on all" in found.recommendation.why
    assert found.recommendation.needs is None  # a and same never differ
    two = judged({"a": a, "b": b}).recommendation
    assert two.needs is not None
    assert two.needs.rows == 334  # ten of them would differ


def test_weights_make_a_ratio() -> None:
    rng = np.random.default_rng(2)
    tokens = rng.integers(5, 60, 300)
    scores = {
        name: tokens * (runs + 3.0) for name, runs in study({"a": 0.3, "b": 0.0}, rows=300).items()
    }
    found = judged(scores, weights=tokens)
    ratios = {name: (runs.sum(axis=1) / tokens.sum()).mean() for name, runs in scores.items()}
    assert found.comparisons[0].difference == pytest.approx(ratios["a"] - ratios["b"])
    assert found.comparisons[0].verdict == "better"
    assert found.warnings == ()
    by_name = judged(scores, weights={"a": tokens, "b": np.tile(tokens, (5, 1))})
    assert by_name.comparisons == found.comparisons
    # Equal weights are none.
    plain = {name: runs / tokens for name, runs in scores.items()}
    twice = {name: 2.0 * runs for name, runs in plain.items()}
    ours = judged(twice, weights=np.full(300, 2.0)).comparisons[0]
    assert ours.p_value == pytest.approx(judged(plain).comparisons[0].p_value)


def test_uneven_weights_are_warned_of() -> None:
    weights = np.ones(60)
    weights[:3] = 100.0
    scores = study({"a": 0.0, "b": 0.0}, rows=60)
    found = judged(scores, weights=weights)
    assert found.warnings == (
        "the weights are so uneven that they count as 4 equal ones; intervals are too narrow "
        "below 20",
    )
    found = judged(scores, weights={"a": weights, "b": np.ones(60)})
    assert len(found.warnings) == 1
    assert found.warnings[0].startswith("the weights of a are so uneven")
    found = judged(scores, groups=[*range(20), *[20] * 40])
    assert found.warnings[0].startswith("the sizes of the groups are so uneven")


def test_few_equal_groups_are_not_uneven() -> None:
    scores = study({"a": 0.0, "b": 0.1}, rows=300)
    assert judged(scores, groups=np.repeat(np.arange(15), 20)).warnings == ()


def test_a_few_large_rows_are_warned_of() -> None:
    rng = np.random.default_rng(3)
    rare = np.zeros((3, 200))
    rare[:, :4] = 5.0
    scores = {"rare": rare + 0.01 * rng.random((3, 200)), "even": 0.1 + 0.1 * rng.random((3, 200))}
    (warning,) = judged(scores).warnings
    assert warning.startswith("a few rows make most of the difference between rare and even")
    assert judged(study(CLEAR)).warnings == ()


def test_groups_are_what_is_drawn() -> None:
    scores = study({"a": 0.02, "b": 0.0}, rows=60)
    repeated = {name: np.repeat(runs, 20, axis=1) for name, runs in scores.items()}
    alone, copied = judged(scores).comparisons[0], judged(repeated).comparisons[0]
    labels = [f"passage {k}" for k in range(60) for _ in range(20)]
    grouped = judged(repeated, groups=labels).comparisons[0]
    assert copied.p_value is not None and alone.p_value is not None
    assert copied.p_value < 0.5 * alone.p_value  # rows that say the same twenty times
    assert grouped.p_value == pytest.approx(alone.p_value, rel=0.1)
    assert grouped.difference == pytest.approx(alone.difference)
    assert (copied.examples, grouped.examples) == (1200, 60)
    mixed = judged(repeated, groups=np.array(labels, dtype=object)).comparisons[0]
    assert mixed.p_value == pytest.approx(grouped.p_value)  # summed in another order


def test_groups_of_one_row_are_rows() -> None:
    scores = study(CLOSE)
    plain, grouped = judged(scores), judged(scores, groups=np.arange(400)[::-1])
    for one, other in zip(plain.comparisons, grouped.comparisons, strict=True):
        assert one.verdict == other.verdict
        assert one.p_value == pytest.approx(other.p_value)


def test_units_do_not_matter() -> None:
    scores = study(CLOSE)
    small = judged({name: 1e-6 * runs for name, runs in scores.items()}, margin=0.05e-6)
    for one, other in zip(judged(scores).comparisons, small.comparisons, strict=True):
        assert one.verdict == other.verdict
        assert one.p_value == pytest.approx(other.p_value)


def test_one_method() -> None:
    found = judged(study({"a": 0.0}))
    assert found.comparisons == ()
    assert (found.recommendation.verdict, found.recommendation.method) == ("best", "a")


def test_bad_arguments() -> None:
    good = study({"a": 0.0, "b": 0.0})
    nan = {**good, "b": np.where(np.arange(400) == 7, np.nan, good["b"])}
    cases: list[tuple[type[ValueError], str, Scores, dict[str, Any]]] = [
        (DataError, "scores is empty", {}, {}),
        (DataError, "numbers of rows differ", {**good, "b": good["b"][:, :9]}, {}),
        (DataError, r"scores\['b'\] is nan at seed 0, row 7", nan, {}),
        (DataError, r"has the shape \[1, 5, 400\]", {"a": good["a"][None]}, {}),
        (DataError, r"has the shape \[5, 0\]", {"a": good["a"][:, :0]}, {}),
        (DataError, "one row says nothing", {"a": good["a"][:, :1]}, {}),
        (DataError, "not numbers", {"a": np.array([["x", "y"]])}, {}),
        (DataError, "one group says nothing", good, {"groups": ["x"] * 400}),
        (DataError, "one label for each of the 400 rows", good, {"groups": ["x"] * 3}),
        (DataError, "missing label", good, {"groups": [None, *range(399)]}),
        (DataError, "must be above zero", good, {"weights": np.arange(400.0)}),
        (DataError, r"weights has the shape \[1, 3\]", good, {"weights": np.ones(3)}),
        (DataError, r"weights has the shape \[2, 400\]", good, {"weights": np.ones((2, 400))}),
        (DataError, r"weights\['b'\] is missing", good, {"weights": {"a": np.ones(400)}}),
        (DataError, "scores has the key 3", {**good, 3: good["a"]}, {}),  # type: ignore[dict-item]
        (ConfigError, "higher_is_better is 'no'", good, {"higher_is_better": "no"}),
        (ConfigError, "costs is a list", good, {"costs": [1, 2]}),
        (ConfigError, "level is 1.0", good, {"level": 1.0}),
        (ConfigError, "level is 0", good, {"level": 0}),
        (ConfigError, "margin is -0.1", good, {"margin": -0.1}),
        (ConfigError, "margin is nan", good, {"margin": float("nan")}),
        (ConfigError, "baselines names 'x'", good, {"baselines": ["x"]}),
        (ConfigError, "baselines is the text", good, {"baselines": "a"}),
        (ConfigError, "every method is a baseline", good, {"baselines": ["a", "b"]}),
        (ConfigError, "costs names 'x'", good, {"costs": {"a": 1, "b": 1, "x": 1}}),
        (ConfigError, "costs has no 'b'", good, {"costs": {"a": 1}}),
        (ConfigError, r"costs\['a'\] is nan", good, {"costs": {"a": float("nan"), "b": 1}}),
    ]
    for kind, message, scores, changes in cases:
        with pytest.raises(kind, match=message):
            judged(scores, **changes)
    with pytest.raises(DataError, match="scores is a list"):
        compare([1.0], higher_is_better=True, margin=0.0)  # type: ignore[arg-type]


def test_it_is_handed_on_by_the_package_and_needs_no_torch() -> None:
    assert bakeoff.compare is compare
    with pytest.raises(AttributeError, match="no attribute 'compere'"):
        _ = bakeoff.compere
    code = (
        "import sys, bakeoff; assert 'numpy' not in sys.modules; import bakeoff.decide; "
        "assert not {'torch', 'scipy', 'pandas'} & set(sys.modules); bakeoff.compare({'a': [1, 2, "
        "3]}, higher_is_better=True, margin=1); assert 'scipy.stats' not in sys.modules; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
