"""What is said of rankings and repeats, against simulation and against ``bakeoff.compare``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike

import bakeoff
from bakeoff.audits import wording
from bakeoff.audits.auditing import audit
from bakeoff.audits.judged import judge_ranking
from bakeoff.audits.published import RowScores, Run
from bakeoff.audits.ranking import Ranking, build_rankings
from bakeoff.audits.repeats import find_repeats, judge_together, sign_test
from bakeoff.audits.separation import Separation, separate
from bakeoff.errors import ConfigError
from tests.audits.published_files import csv_file, lm_eval_folder, peft_folder

ALPHA = 0.05


def shares(values: ArrayLike, rows: int = 1000, group: str = "a", seed: str = "0") -> Ranking:
    """A ranking of single runs of which the share alone is published."""
    runs = [
        Run(
            group=group,
            method=f"m{k}",
            seed=seed,
            metric="acc",
            value=value,
            place="",
            is_share=True,
            num_rows=rows,
        )
        for k, value in enumerate(np.asarray(values).tolist())
    ]
    return build_rankings(runs, margin=None, lower=())[0]


def scored(methods: dict[str, np.ndarray], metric: str = "nll") -> Ranking:
    """A ranking of runs with the scores [S, N] of every row."""
    runs = [
        Run(
            group="a",
            method=name,
            seed=str(s),
            metric=metric,
            value=float(rows.mean()),
            place="",
            num_rows=len(rows),
            scores=RowScores(labels=tuple(map(str, range(len(rows)))), values=rows),
        )
        for name, scores in methods.items()
        for s, rows in enumerate(scores)
    ]
    return build_rankings(runs, margin=None, lower=())[0]


class TestOneRanking:
    def test_equal_shares_are_seldom_called_different(self) -> None:
        rng, wrong = np.random.default_rng(0), 0
        for _ in range(400):
            ranking = shares(rng.binomial(500, 0.4, size=6) / 500, rows=500)
            found = judge_ranking(ranking, separate(ranking, ALPHA), ALPHA)
            # The top is picked by the scores that test it, which must not put others behind it.
            wrong += found.separable > 0 or len(found.with_top) < 5
        assert wrong <= 0.07 * 400

    def test_shares_that_differ_are_found_as_often_as_said(self) -> None:
        ranking = shares([0.55, 0.5])
        gap = judge_ranking(ranking, separate(ranking, ALPHA), ALPHA).detectable
        assert gap is not None
        rng, found = np.random.default_rng(1), 0
        for _ in range(500):
            hits = rng.binomial(1000, [0.525 + gap / 2, 0.525 - gap / 2]) / 1000
            ranking = shares(hits)
            found += judge_ranking(ranking, separate(ranking, ALPHA), ALPHA).separable
        assert found / 500 == pytest.approx(0.8, abs=0.05)

    def test_places_and_standings(self) -> None:
        found = judge_ranking(*_with(shares([0.1, 0.5, 0.52, 0.9])), ALPHA)
        assert [m.method for m in found.methods] == ["m3", "m2", "m1", "m0"]
        places = [(m.first_place, m.last_place) for m in found.methods]
        assert places == [(1, 1), (2, 3), (2, 3), (4, 4)]
        assert [m.standing for m in found.methods] == ["top", *["separable"] * 3]
        assert (found.pairs, found.separable) == (6, 5)
        assert (found.neighbours, found.separable_neighbours) == (3, 2)

    def test_too_few_hits_say_nothing(self) -> None:
        found = judge_ranking(*_with(shares([0.009, 0.0])), ALPHA)
        assert found.separable == 0 and found.methods[1].standing == "not separable"
        assert 0.0 < found.methods[1].high < 0.01

    def test_with_seeds_and_rows_it_says_what_compare_says(self) -> None:
        rng = np.random.default_rng(2)
        ease = rng.normal(2.0, 0.5, size=200)
        methods = {
            name: ease + shift + 0.05 * rng.normal(size=(4, 200)) + 0.001 * rng.normal(size=(4, 1))
            for name, shift in (("a", 0.0), ("b", 0.001), ("c", 0.06), ("d", 0.3))
        }
        found = judge_ranking(*_with(scored(methods)), ALPHA)
        assert found.speaks_of == "methods" and not found.higher_is_better
        expected = bakeoff.compare(methods, higher_is_better=False, margin=0.02).comparisons
        verdicts = [c.verdict for c in expected]
        assert found.separable == sum(
            c.p_value is not None and c.p_value <= ALPHA for c in expected
        )
        assert found.equivalent == verdicts.count("equivalent") == 1
        assert {"better", "equivalent"} <= set(verdicts)

    def test_one_run_of_each_says_so_and_allows_for_rows(self) -> None:
        rng = np.random.default_rng(3)
        ease = rng.normal(2.0, 0.5, size=300)
        methods = {
            n: (ease + s + 0.1 * rng.normal(size=300))[None] for n, s in (("a", 0), ("b", 1))
        }
        found = judge_ranking(*_with(scored(methods)), ALPHA)
        assert found.speaks_of == "runs" and found.separable == 1
        assert "very runs" in wording.scope(found) and "other seeds" in wording.scope(found)
        assert found.missing == ("Three runs or more of each method, with different seeds.",)

    @pytest.mark.parametrize(("share", "rows"), [(0.98, 50), (0.9, 20)])
    def test_an_interval_of_a_share_holds_it_and_stays_a_share(
        self, share: float, rows: int
    ) -> None:
        rng, held = np.random.default_rng(11), 0
        for _ in range(300):
            methods = {n: (rng.random((1, rows)) < share).astype(float) for n in "ab"}
            found = separate(scored(methods, "accuracy"), ALPHA)
            assert found.low.min() >= 0.0 and found.high.max() <= 1.0
            held += int(((found.low <= share) & (share <= found.high)).sum())
        assert held / 600 >= 0.95

    def test_few_rows_are_warned_of_as_a_study_does(self) -> None:
        rng, warned = np.random.default_rng(12), 0
        for _ in range(6):
            ease = rng.normal(size=1000)
            methods = {
                name: (
                    ease + 0.3 * rng.normal(size=(3, 1000)) + 0.12 * rng.normal(size=(3, 1)) > -q
                ).astype(float)
                for name, q in (("a", 1.7), ("b", 1.5))
            }
            expected = bakeoff.compare(methods, higher_is_better=True, margin=0.01).warnings
            warnings = judge_ranking(*_with(scored(methods, "accuracy")), ALPHA).warnings
            assert bool(warnings) == bool(expected)
            warned += bool(warnings)
        assert warned == 0
        # One row makes all of the difference.
        flat = {"a": np.full((1, 40), 2.0), "b": np.full((1, 40), 2.0)}
        flat["a"] += 0.01 * rng.normal(size=(1, 40))
        flat["b"][0, 0] += 30.0
        assert judge_ranking(*_with(scored(flat)), ALPHA).warnings

    def test_figures_that_tie_by_rounding_show_no_spread(self) -> None:
        runs = [
            Run(group="g", method=name, seed=str(s), metric="acc", value=value, place="")
            for name, value in (("a", 0.81), ("b", 0.80))
            for s in range(3)
        ]
        ranking = build_rankings(runs, margin=None, lower=())[0]
        separation = separate(ranking, ALPHA)
        found = judge_ranking(ranking, separation, ALPHA)
        assert (found.separable, found.equivalent) == (0, 0)
        assert not np.isfinite([separation.low, separation.high]).any()

    @pytest.mark.parametrize(
        ("metric", "margin", "is_share"),
        [
            ("nll", 0.05, False),
            ("bits_per_byte", None, False),
            ("latency_seconds", None, False),
            ("accuracy", 0.02, True),
            ("wer", None, True),
            ("mean_absolute_error", None, False),
        ],
    )
    def test_a_share_is_one_by_its_name(
        self, metric: str, margin: float | None, is_share: bool
    ) -> None:
        runs = [
            Run(group="g", method=name, seed="0", metric=metric, value=0.5, place="")
            for name in "ab"
        ]
        ranking = build_rankings(runs, margin=margin, lower=())[0]
        assert ranking.is_share == is_share
        if margin is None:
            assert ranking.margin == (0.01 if is_share else 0.0)

    def test_an_interval_over_seeds_alone_stays_a_share_too(self) -> None:
        runs = [
            Run(group="g", method=name, seed=str(s), metric="accuracy", value=value, place="")
            for name, values in (("a", (0.97, 0.99, 0.98)), ("b", (0.95, 0.93, 0.99)))
            for s, value in enumerate(values)
        ]
        ranking = build_rankings(runs, margin=None, lower=())[0]
        found = separate(ranking, ALPHA)
        assert found.low.min() >= 0.0 and found.high.max() == 1.0

    def test_two_runs_are_their_mean_and_say_nothing_of_seeds(self) -> None:
        rng = np.random.default_rng(4)
        noise = rng.normal(size=(2, 2, 100))
        found = judge_ranking(*_with(scored({"a": noise[0], "b": noise[1] + 3})), ALPHA)
        assert found.speaks_of == "runs"
        assert "Fewer than three runs" in wording.scope(found)

    def test_a_baseline_of_one_run_stands_beside_methods_with_seeds(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(5)
        scores = {name: rng.normal(size=(3, 60)) for name in ("lora", "full")}
        scores["base"] = rng.normal(size=(1, 60)) + 5
        file = csv_file(tmp_path / "a.csv", {k: v.tolist() for k, v in scores.items()})
        unnamed, named = (audit(file, baselines=names).rankings[0] for names in ((), ("base",)))
        assert unnamed.speaks_of == named.speaks_of == "methods"
        assert (unnamed.separable, named.separable) == (0, 2)
        assert unnamed.missing == ("Three runs or more of base, with different seeds.",)
        assert named.missing == ()

    def test_figures_of_three_seeds_speak_of_the_methods(self) -> None:
        rng, wrong = np.random.default_rng(6), 0
        for _ in range(300):
            runs = [
                Run(
                    group="a",
                    method=f"m{m}",
                    seed=str(s),
                    metric="f1",
                    value=float(rng.normal(0.5, 0.02)),
                    place="",
                    error=0.0,
                )
                for m in range(4)
                for s in range(3)
            ]
            found = judge_ranking(*_with(build_rankings(runs, margin=None, lower=())[0]), ALPHA)
            assert found.speaks_of == "methods" and found.basis == "errors"
            wrong += found.separable > 0
        assert wrong <= 0.09 * 300

    def test_without_rows_errors_or_seeds_nothing_is_said(self) -> None:
        runs = [
            Run(group="a", method=m, seed="0", metric="f1", value=v, place="")
            for m, v in (("x", 0.9), ("y", 0.1))
        ]
        found = judge_ranking(*_with(build_rankings(runs, margin=None, lower=())[0]), ALPHA)
        assert (found.separable, found.with_top) == (0, ["y"])
        assert wording.scope(found).startswith("Nothing can be said of any pair")
        assert "The number of test rows, or a standard error." in found.missing

    def test_methods_that_were_not_trained_as_most_are_named(self, tmp_path: Path) -> None:
        peft_folder(tmp_path, {f"m{k}": 100 for k in range(3)})
        peft_folder(tmp_path, {"odd": 90}, max_steps=3000, compile=True)
        (found,) = audit(tmp_path).rankings
        assert found.unlike == ("odd/default differs from most of the 4 in max_steps and compile.",)

    def test_rows_that_are_not_the_same_are_taken_as_independent(self, tmp_path: Path) -> None:
        lm_eval_folder(tmp_path, "a", [1.0] * 40 + [0.0] * 10)
        lm_eval_folder(tmp_path, "b", [1.0] * 20 + [0.0] * 30)
        assert audit(tmp_path).rankings[0].basis == "scores"
        samples = next((tmp_path / "b").glob("samples_*"))
        samples.write_text(samples.read_text().replace('"d3"', '"other"'))
        found = audit(tmp_path).rankings[0]
        assert found.basis == "shares" and found.separable == 1


def _with(ranking: Ranking) -> tuple[Ranking, Separation]:
    return ranking, separate(ranking, ALPHA)


class TestRepeats:
    def test_sign_test(self) -> None:
        assert sign_test(5, 5) == 1.0
        assert sign_test(10, 0) == sign_test(0, 10) == 2 / 2**10

    def test_falls_swaps_and_the_spread_of_a_run(self) -> None:
        first = shares([0.60, 0.50, 0.40, 0.30, 0.0], group="a")
        second = shares([0.57, 0.46, 0.38, 0.385, 0.0], group="b")
        found = _repeat(first, second)
        assert (found.fell, found.rose, found.unchanged) == (3, 1, 1)
        assert [(s.ahead, s.behind) for s in found.swaps] == [("m2", "m3")]
        assert found.swaps[0].before == pytest.approx(0.1)
        assert found.swaps[0].after == pytest.approx(0.005)
        assert found.separable_swaps == 1
        assert (found.counted, found.not_counted) == (4, ("m4",))
        changes = np.array([-0.03, -0.04, -0.02, 0.085])
        assert found.change_sd is not None and found.run_sd is not None
        assert found.change_sd.value == pytest.approx(changes.std(ddof=1))
        assert found.run_sd.value == pytest.approx(changes.std(ddof=1) / 2**0.5)
        assert found.shift.value == pytest.approx(np.append(changes, 0.0).mean())

    def test_what_all_have_in_common_is_told_apart_from_runs(self) -> None:
        rng, held = np.random.default_rng(7), 0
        for _ in range(100):
            true = rng.uniform(0.3, 0.6, size=30)
            values = [true + rng.normal(0, 0.01, size=30) - shift for shift in (0.0, 0.05)]
            found = _repeat(*(shares(v, group=g) for v, g in zip(values, "ab", strict=True)))
            assert found.p_value < 0.001 and found.run_sd is not None
            held += found.run_sd.low <= 0.01 <= found.run_sd.high
        assert held >= 90

    def test_methods_with_other_settings_are_no_repeats(self, tmp_path: Path) -> None:
        peft_folder(tmp_path / "old", {f"m{k}": 90 + k for k in range(4)})
        peft_folder(tmp_path / "new", {f"m{k}": 80 + k for k in range(3)}, made="2026-07-01")
        peft_folder(tmp_path / "new", {"m3": 70}, made="2026-07-01", max_steps=9)
        (found,) = audit(tmp_path).repeats
        assert (found.first, found.second) == ("old", "new")
        assert {c.method for c in found.changes} == {f"m{k}/default" for k in range(3)}

    def test_what_else_differs_is_named(self, tmp_path: Path) -> None:
        hits = {f"m{k}": 90 + k for k in range(8)}
        peft_folder(tmp_path / "old", hits)
        fewer = {name: count - 5 for name, count in hits.items()}
        peft_folder(tmp_path / "new", fewer, made="2026-07-01", torch="2.13.0", loss=0.6001)
        (found,) = audit(tmp_path).repeats
        assert found.circumstances == {"torch": ("2.9.0", "2.13.0")}
        assert found.same_seeds and found.largest_training_change == pytest.approx(1e-4)
        text = wording.circumstance_sentence(found)
        assert text is not None and "generation or scoring" in text
        assert "8 fell, 0 rose" in wording.change_sentence(found)
        assert "made them fall" in wording.change_sentence(found)

    def test_groups_with_two_methods_in_common_say_nothing(self) -> None:
        first, second = shares([0.5, 0.4], group="a"), shares([0.4, 0.5], group="b")
        tests = separate(first, ALPHA), separate(second, ALPHA)
        assert find_repeats(first, second, tests, ALPHA) is None

    def test_together_allows_for_runs_beside_rows(self) -> None:
        rng = np.random.default_rng(8)
        true = np.linspace(0.3, 0.6, 20)
        groups = [shares(true + rng.normal(0, 0.03, size=20), rows=10**6, group=g) for g in "ab"]
        whole = judge_together(groups, ALPHA)
        alone = judge_ranking(*_with(groups[0]), ALPHA)
        assert whole is not None and whole.speaks_of == "repeats"
        assert whole.name == "a and b together"
        # A million rows separate nearly all; runs that vary by 0.03 do not.
        assert alone.separable > 180 and whole.separable < 120
        assert len(whole.with_top) >= 2

    def test_equal_methods_are_seldom_called_different_together(self) -> None:
        rng, wrong = np.random.default_rng(9), 0
        for _ in range(200):
            groups = [shares(rng.normal(0.5, 0.02, 8), rows=10**5, group=g) for g in "ab"]
            whole = judge_together(groups, ALPHA)
            assert whole is not None
            wrong += whole.separable > 0
        assert wrong <= 0.09 * 200


def _repeat(first: Ranking, second: Ranking) -> bakeoff.audits.RepeatFinding:
    tests = separate(first, ALPHA), separate(second, ALPHA)
    found = find_repeats(first, second, tests, ALPHA)
    assert found is not None
    return found


class TestAudit:
    def test_it_is_a_function_of_the_package(self, tmp_path: Path) -> None:
        peft_folder(tmp_path, {"a": 100, "b": 90})
        assert bakeoff.audit is audit
        found = bakeoff.audit(str(tmp_path), level=0.9, margin=0.02)
        assert found.level == 0.9 and found.rankings[0].margin == 0.02

    def test_as_json_it_is_finite(self) -> None:
        runs = {"x": 0.9, "y": 0.1}
        found = judge_ranking(
            *_with(
                build_rankings(
                    [
                        Run(group="a", method=m, seed="0", metric="f1", value=v, place="")
                        for m, v in runs.items()
                    ],
                    margin=None,
                    lower=(),
                )[0]
            ),
            ALPHA,
        )
        content = bakeoff.audits.Audit(level=0.95, files=1, rankings=(found,)).as_mapping()
        assert content["rankings"][0]["methods"][0]["low"] is None
        json.dumps(content, allow_nan=False)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"metrics": ["bleu"]}, "metrics names 'bleu'; there are test accuracy"),
            ({"baselines": ["x"]}, "baselines names 'x'; there are a/default"),
            ({"lower_is_better": ["x"]}, "lower_is_better names 'x'"),
            ({"level": 1.5}, "level is 1.5"),
            ({"margin": -1.0}, "margin is -1.0"),
        ],
    )
    def test_options_that_break_a_rule(
        self, tmp_path: Path, options: dict[str, object], message: str
    ) -> None:
        peft_folder(tmp_path, {"a": 100})
        with pytest.raises(ConfigError, match=message):
            audit(tmp_path, **options)  # type: ignore[arg-type]

    def test_the_direction_of_a_metric(self, tmp_path: Path) -> None:
        file = csv_file(tmp_path / "a.csv", {"x": [[1.0, 2.0]], "y": [[3.0, 4.0]]})
        assert audit(file).rankings[0].top.method == "x"
        file.write_text(file.read_text().replace("nll", "score"))
        assert audit(file).rankings[0].top.method == "y"
        assert audit(file, lower_is_better=["score"]).rankings[0].top.method == "x"
