"""Several studies on one page: what may be ranked, what may not, and why."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bakeoff.cli.main import app
from bakeoff.errors import StoreError
from bakeoff.metrics.contract import ModelOutputs
from bakeoff.metrics.registry import metric_of
from bakeoff.report import write_side_by_side
from bakeoff.report.comparable import comparability, differing_settings, labels_of
from bakeoff.report.load import Run, load_run
from bakeoff.report.ranking import rank_studies
from bakeoff.report.scores import all_scores
from bakeoff.runs.records import Comparison, Margin, MetricRecord, Results
from tests.golden_folders import Change, copy_of, rows_of, save, write_rows

Twin = Callable[..., Path]


@pytest.fixture
def twin(tmp_path: Path) -> Twin:
    """Copies a golden run; its name and what ``change`` does to it are all that differs."""

    def written(name: str, change: Change = lambda results: results) -> Path:
        def named(results: Results) -> Results:
            return change(replace(results, study={**results.study, "name": name}))

        results = copy_of("four", tmp_path / name, named)
        if results.recommendation.method is None and results.status == "complete":
            # What is compared is a pick of each study, however it came about.
            pick = replace(results.recommendation, method="full", verdict="best")
            save(tmp_path / name, replace(results, recommendation=pick))
        return tmp_path / name

    return written


def shift(folder: Path, by: float, every: int = 1) -> None:
    """Moves ROUGE-1 of rows that the recommended method wrote: of all, or of one in ``every``."""
    for path in (folder / "candidates").glob("full-*/predictions.jsonl"):
        rows = rows_of(path)
        for row in rows:
            row["rouge1"] += by * (1.0 + 0.1 * row["index"]) * (row["index"] % every == 0 or 0.5)
        write_rows(path, rows)


def loaded(*folders: Path) -> dict[str, Run]:
    runs = [load_run(folder) for folder in folders]
    return dict(zip(labels_of(runs), runs, strict=True))


def with_setting(*path: str, to: Any) -> Change:
    """Another value of a setting of the study."""

    def change(results: Results) -> Results:
        study: dict[str, Any] = {**results.study}
        inner = study
        for key in path[:-1]:
            inner[key] = {**inner[key]}
            inner = inner[key]
        inner[path[-1]] = to
        return replace(results, study=study)

    return change


def with_tokens(tokens: int) -> Change:
    """Another number of tokens in the references."""

    def change(results: Results) -> Results:
        test = replace(results.data.test, tokens_supervised=tokens)
        return replace(results, data=replace(results.data, test=test))

    return change


def interrupted(results: Results) -> Results:
    return replace(results, status="partial")


class TestWhatIsAlike:
    def test_studies_of_the_same_rows_are(self, twin: Twin) -> None:
        found = comparability(loaded(twin("a"), twin("b")))
        assert (found.obstacles, found.remarks) == ([], [])
        assert found.same_tokens and found.same_machine

    def test_one_other_word_in_one_test_row_is_an_obstacle(self, twin: Twin) -> None:
        one, two = twin("a"), twin("b")
        path = two / "examples.jsonl"
        rows = rows_of(path)
        rows[5]["document"] += " indeed"
        write_rows(path, rows)
        (obstacle,) = comparability(loaded(one, two)).obstacles
        assert obstacle == "test data: the test rows differ (a: wire, 16 rows; b: wire, 16 rows)"

    def test_rows_that_are_not_kept_show_nothing(self, twin: Twin) -> None:
        one, two = twin("a"), twin("b")
        (two / "examples.jsonl").unlink()
        (obstacle,) = comparability(loaded(one, two)).obstacles
        assert obstacle.startswith("test data: b has no examples.jsonl")

    @pytest.mark.parametrize(
        ("change", "obstacle"),
        [
            (
                with_setting("generation", "no_repeat_ngram", to=0),
                "generation: no_repeat_ngram is 3 in a, 0 in b",
            ),
            (interrupted, "unfinished: b was cut off"),
        ],
    )
    def test_other_obstacles_are_named(self, twin: Twin, change: Change, obstacle: str) -> None:
        assert comparability(loaded(twin("a"), twin("b", change))).obstacles == [obstacle]

    def test_other_metrics(self, twin: Twin) -> None:
        def without_rouge(results: Results) -> Results:
            methods = {
                name: replace(
                    method, test={k: v for k, v in method.test.items() if k != "rougeLsum"}
                )
                for name, method in results.methods.items()
            }
            return replace(results, methods=methods)

        (obstacle,) = comparability(loaded(twin("a"), twin("b", without_rouge))).obstacles
        assert obstacle.startswith("metrics: not the same were measured (a: test NLL, ROUGE-1")

    def test_another_tokenizer_or_machine_is_only_remarked(self, twin: Twin) -> None:
        def change(results: Results) -> Results:
            elsewhere = replace(results.environment, device="NVIDIA H100", threads=2)
            return with_tokens(1)(replace(results, environment=elsewhere))

        found = comparability(loaded(twin("a"), twin("b", change)))
        assert found.obstacles == []
        assert not found.same_tokens and not found.same_machine
        assert "nats per token are of different units" in found.remarks[0]
        assert "NLL and perplexity are ranked within a study only" in found.remarks[0]
        assert "a: cpu, float32, " in found.remarks[1]
        assert "2 threads" in found.remarks[1] and "b: NVIDIA H100" in found.remarks[1]

    def test_settings_that_differ_are_listed(self, twin: Twin) -> None:
        runs = loaded(twin("a"), twin("b", with_setting("base", to="other")))
        assert differing_settings(runs) == [("base", ["tiny", "other"])]

    def test_studies_called_alike_get_their_folders_name(self, twin: Twin) -> None:
        runs = loaded(twin("a"), twin("b", with_setting("name", to="a")))
        assert list(runs) == ["a (a)", "a (b)"]


def by_rouge(results: Results) -> Results:
    """The same study, decided by ROUGE-1."""
    metrics = tuple(
        replace(metric, primary=metric.name == "rouge1") for metric in results.task.metrics
    )
    return replace(results, task=replace(results.task, metrics=metrics))


class TestRanking:
    def test_the_same_outputs_are_undecided(self, twin: Twin) -> None:
        runs = loaded(twin("a"), twin("b"))
        found = rank_studies(runs, comparability(runs))
        assert (found.metric.name, found.remark) == ("nll", "")
        assert found.best == "a" and found.standing == {"b": "undecided"}
        assert found.verdict == "Undecided between a and b"
        assert "they agree on all 16 rows" in found.sentence
        assert {c.metric for c in found.comparisons} == {"nll"}

    def test_what_decided_the_studies_decides_between_them(self, twin: Twin) -> None:
        runs = loaded(twin("a"), b := twin("b"))
        shift(b, 0.4)  # its ROUGE-1 alone
        found = rank_studies(loaded(runs["a"].folder, b), comparability(runs))
        assert found.metric.name == "nll" and found.standing == {"b": "undecided"}
        runs = loaded(c := twin("c", by_rouge), d := twin("d", by_rouge))
        shift(d, 0.4)
        found = rank_studies(loaded(c, d), comparability(runs))
        assert (found.metric.name, found.best) == ("rouge1", "d")
        assert {c.metric for c in found.comparisons} == {"rouge1", "nll"}

    def test_studies_that_were_decided_differently_are_ranked_by_what_was_written(
        self, twin: Twin
    ) -> None:
        runs = loaded(twin("a"), twin("b", by_rouge))
        found = rank_studies(runs, comparability(runs))
        assert found.metric.name == "rouge1"
        assert "decided by different metrics (a by NLL and b by ROUGE-1)" in found.remark

    def test_close_studies_are_equivalent_by_the_studies_own_margin(self, twin: Twin) -> None:
        def wide(results: Results) -> Results:
            assert results.decision is not None
            margins = {**results.decision.margins, "rouge1": Margin(value=0.3, source="study")}
            return by_rouge(replace(results, decision=replace(results.decision, margins=margins)))

        runs = loaded(twin("a", wide), b := twin("b", by_rouge))
        shift(b, 0.01, every=2)
        runs = loaded(runs["a"].folder, b)
        found = rank_studies(runs, comparability(runs))
        assert (found.best, found.standing) == ("b", {"a": "equivalent"})
        assert found.verdict == "b and a are equivalent"
        assert {c.margin for c in found.comparisons if c.metric == "rouge1"} == {0.3}

    def test_a_difference_that_is_one_is_said(self, twin: Twin) -> None:
        runs = loaded(twin("a", by_rouge), b := twin("b", by_rouge))
        shift(b, 0.4)
        found = rank_studies(runs, comparability(runs))
        assert (found.best, found.standing, found.verdict) == ("b", {}, "b leads")
        scores = all_scores(runs["b"], "full", "rouge1")
        assert scores is not None and scores.statistics_SNC.shape == (3, 16, 2)
        assert f"its full has the highest ROUGE-1, {100 * scores.mean:.1f}" in found.sentence
        assert "it is better than a's full" in found.sentence

    def test_two_seeds_say_nothing_of_others(self, twin: Twin) -> None:
        one, two = twin("a", by_rouge), twin("b", by_rouge)
        shift(two, 0.4)
        (two / "candidates" / "full-lr0.001-s2" / "predictions.jsonl").unlink()
        runs = loaded(one, two)
        found = rank_studies(runs, comparability(runs))
        assert found.verdict == "Undecided between b and a"
        assert "b has fewer than 3 seeds" in found.sentence

    def test_nats_of_other_tokens_are_not_compared(self, twin: Twin) -> None:
        runs = loaded(twin("a"), twin("b", with_tokens(1)))
        found = rank_studies(runs, comparability(runs))
        assert {c.metric for c in found.comparisons} == {"bits_per_byte"}
        assert "NLL of different tokens is of different units" in found.remark
        run = runs["a"]
        scores = all_scores(run, "full", "bits_per_byte")
        nats = all_scores(run, "full", "nll")
        assert scores is not None and nats is not None
        size = sum(len(e.reference.encode()) for e in run.examples)
        bits = nats.statistics_SNC[..., 0].sum(axis=1) / math.log(2) / size
        assert scores.mean == pytest.approx(bits.mean())
        page = write_side_by_side([run.folder, runs["b"].folder], run.folder.parent / "out")
        assert "Ranked by bits per byte." in page.read_text("utf-8")
        assert not (page.parent / "figures/nll.svg").exists()

    def test_nothing_is_ranked_over_an_obstacle(self, twin: Twin) -> None:
        runs = loaded(twin("a"), b := twin("b", interrupted))
        shift(b, 0.4)
        found = rank_studies(runs, comparability(runs))
        assert (found.best, found.comparisons) == (None, [])
        assert found.verdict == "Side by side only"


def by_chrf(results: Results) -> Results:
    """The same study, decided by chrF, which is no mean of its rows."""
    chrf = MetricRecord(
        name="chrf", title="chrF", unit="", higher_is_better=True, primary=True, signature="s"
    )
    metrics = tuple(replace(metric, primary=False) for metric in results.task.metrics)
    study = {**results.study, "task": {**results.study["task"], "metrics": ["nll", "chrf"]}}
    return replace(results, study=study, task=replace(results.task, metrics=(*metrics, chrf)))


def write_chrf(folder: Path, right: Callable[[int], bool]) -> float:
    """Keeps scores of answers that are right on some rows and empty of sense on others; the
    corpus score."""
    texts = [f"words {index} " * (40 if index < 4 else 1) for index in range(16)]
    answers = [text if right(index) else "###" for index, text in enumerate(texts)]
    metric = metric_of("chrf")
    expected: Any = [SimpleNamespace(references=(text,)) for text in texts]
    kept = metric.statistics(ModelOutputs(texts=answers), expected)
    for path in (folder / "candidates").glob("full-*/predictions.jsonl"):
        rows = rows_of(path)
        for row in rows:
            row["chrf"] = float(metric.value(kept[row["index"]]))
        write_rows(path, rows)
        (path.parent / "scores").mkdir()
        np.savez(path.parent / "scores/test.npz", chrf=kept)
    return float(metric.value(kept.sum(axis=0)))


def by_macro_f1(results: Results) -> Results:
    """The same study over two labels, decided by macro-F1."""
    macro_f1 = MetricRecord(
        name="macro_f1",
        title="Macro-F1",
        unit="%",
        higher_is_better=True,
        primary=True,
        signature="s",
    )
    study = {**results.study, "task": {**results.study["task"], "metrics": ["macro_f1"]}}
    task = replace(results.task, metrics=(macro_f1,), labels=("common", "rare"))
    return replace(results, study=study, task=task)


def write_macro_f1(folder: Path, few: int, right: Callable[[int], bool]) -> None:
    """Keeps choices that are right on some rows, of 40 of which the last ``few`` are rare."""
    gold = [int(row >= 40 - few) for row in range(40)]
    shown = rows_of(folder / "examples.jsonl")
    write_rows(
        folder / "examples.jsonl",
        [
            {**shown[row % len(shown)], "index": row, "reference": ("common", "rare")[label]}
            for row, label in enumerate(gold)
        ],
    )
    chosen = np.array([label if right(row) else 1 - label for row, label in enumerate(gold)])
    metric = metric_of("macro_f1", labels=("common", "rare"))
    expected: Any = [SimpleNamespace(gold=label) for label in gold]
    kept = metric.statistics(ModelOutputs(chosen_N=chosen), expected)
    for path in (folder / "candidates").glob("full-*/predictions.jsonl"):
        rows = rows_of(path)
        write_rows(path, [{**rows[row % len(rows)], "index": row} for row in range(40)])
        (path.parent / "scores").mkdir()
        np.savez(path.parent / "scores/test.npz", macro_f1=kept)


class TestMetricsThatAreNoMeans:
    def test_the_metrics_own_value_ranks(self, twin: Twin) -> None:
        """One study is right on the few long rows, the other on the many short ones."""
        one, two = twin("a", by_chrf), twin("b", by_chrf)
        high, low = write_chrf(one, lambda row: row < 4), write_chrf(two, lambda row: row >= 4)
        assert high > low + 40
        runs = loaded(one, two)
        found = rank_studies(runs, comparability(runs))
        assert (found.metric.name, found.remark, found.best) == ("chrf", "", "a")
        assert f"the highest chrF, {high:.3f}" in found.sentence
        (pair,) = [c for c in found.comparisons if c.metric == "chrf"]
        assert pair.difference == pytest.approx(high - low)

    def test_without_what_was_kept_of_rows_another_metric_ranks(self, twin: Twin) -> None:
        folders = [twin("a", by_chrf), twin("b", by_chrf)]
        for folder in folders:
            write_chrf(folder, lambda row: row < 4)
            for path in folder.glob("candidates/*/scores/test.npz"):
                path.unlink()
        runs = loaded(*folders)
        found = rank_studies(runs, comparability(runs))
        assert found.metric.name == "rouge1"
        assert "chrF, by which each study was decided, does not follow" in found.remark
        assert found.comparisons

    def test_where_no_score_of_texts_is_left_the_likelihood_ranks(self, twin: Twin) -> None:
        def by_chrf_alone(results: Results) -> Results:
            made = by_chrf(results)
            kept = tuple(m for m in made.task.metrics if m.name in ("nll", "chrf"))
            return replace(made, task=replace(made.task, metrics=kept))

        runs = loaded(twin("a", by_chrf_alone), twin("b", by_chrf_alone))
        found = rank_studies(runs, comparability(runs))
        assert found.metric.name == "nll" and found.comparisons

    def test_a_score_that_only_the_whole_has_ranks(self, twin: Twin) -> None:
        """BLEU has no value of a single row; its statistics are kept all the same."""
        folders = [twin("a", by_chrf), twin("b", by_chrf)]
        high = write_chrf(folders[0], lambda row: row < 4)
        low = write_chrf(folders[1], lambda row: row >= 4)
        for path in (
            file for one in folders for file in one.glob("candidates/*/predictions.jsonl")
        ):
            rows = rows_of(path)
            for row in rows:
                row.pop("chrf", None)
            write_rows(path, rows)
        runs = loaded(*folders)
        found = rank_studies(runs, comparability(runs))
        assert (found.metric.name, found.best, found.remark) == ("chrf", "a", "") and high > low

    @pytest.mark.parametrize(("few", "is_judged"), [(3, False), (10, True)])
    def test_macro_f1_over_a_label_of_few_rows_says_nothing(
        self, twin: Twin, few: int, is_judged: bool
    ) -> None:
        """As it says nothing in a study alone: one row of such a label moves it by much."""
        folders = [twin("a", by_macro_f1), twin("b", by_macro_f1)]
        write_macro_f1(folders[0], few, right=lambda row: True)
        write_macro_f1(folders[1], few, right=lambda row: row % 2 == 0)
        runs = loaded(*folders)
        found = rank_studies(runs, comparability(runs))
        (pair,) = [c for c in found.comparisons if c.metric == "macro_f1"]
        if is_judged:
            assert (found.verdict, pair.verdict) == ("a leads", "better")
            return
        assert (found.verdict, pair.verdict) == ("Undecided between a and b", "undecided")
        assert "the label rare has 3 test rows only" in found.sentence

    def test_a_study_that_kept_too_little_is_named(self, twin: Twin) -> None:
        folders = [twin(name) for name in "abc"]
        for path in folders[2].glob("candidates/*/predictions.jsonl"):
            path.unlink()
        runs = loaded(*folders)
        found = rank_studies(runs, comparability(runs))
        assert "Nothing is said of c" in found.remark
        assert {c.a for c in found.comparisons} | {c.b for c in found.comparisons} == {"a", "b"}


class TestPage:
    def test_it_refuses_and_says_why_and_mixes_when_asked(self, twin: Twin, tmp_path: Path) -> None:
        change = with_setting("generation", "strategy", to="beam")
        folders = [str(twin("a")), str(twin("b", change))]
        out = tmp_path / "out"
        done = CliRunner().invoke(app, ["report", *folders, "--out", str(out)])
        assert isinstance(done.exception, StoreError)
        assert "generation: strategy is greedy in a, beam in b" in str(done.exception)
        assert "--mix" in str(done.exception)
        assert not out.exists()
        done = CliRunner().invoke(app, ["report", *folders, "--out", str(out), "--mix"])
        assert done.output == f"{out}/report.html\n"
        page = (out / "report.html").read_text("utf-8")
        assert "Why they cannot be ranked" in page
        assert "strategy is greedy in a, beam in b" in page
        assert page.count('class="tag good"') == 2

    def test_it_shows_every_method_and_links_each_report(self, twin: Twin, tmp_path: Path) -> None:
        one, two = twin("a"), twin("b", with_setting("name", to="<script>alert(1)</script>"))
        (one / "report.html").write_text("there")
        page = write_side_by_side([one, two], tmp_path / "deep" / "out").read_text("utf-8")
        assert page.count('<tr class="pick">') == 2
        # They are of the same base and rows, and stand there once.
        assert page.count('<tr class="baseline">') == 2
        assert 'data-value="a, &lt;script&gt;alert(1)&lt;/script&gt;"' in page
        assert '<a href="../../a/report.html">' in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert page.count("<script>") == 1
        figures = {path.name for path in (tmp_path / "deep" / "out" / "figures").iterdir()}
        assert {"rouge1.svg", "rouge1.png", "nll.svg"} <= figures

    def test_a_runs_own_report_is_never_overwritten(self, twin: Twin) -> None:
        one, two = twin("a"), twin("b")
        with pytest.raises(StoreError, match="is a run's own folder"):
            write_side_by_side([one, two], one)
        with pytest.raises(StoreError, match="named twice"):
            write_side_by_side([one, one], two.parent / "out")

    def test_options_for_several_are_refused_for_one(self, twin: Twin, tmp_path: Path) -> None:
        done = CliRunner().invoke(app, ["report", str(twin("a")), "--out", str(tmp_path / "x")])
        assert "--out: is for several studies" in str(done.exception)

    def test_rows_of_one_group_count_once(self, twin: Twin) -> None:
        """Every row four times: no more is known than of the four."""
        folders = [twin("a", by_rouge), twin("b", by_rouge)]
        for by, folder in zip((0.0, 0.1), folders, strict=True):
            for path in (folder / "candidates").glob("full-*/predictions.jsonl"):
                rows = rows_of(path)
                for row in rows:
                    row["rouge1"] = 0.3 + by * (1 + row["index"] % 4)
                write_rows(path, rows)
        (alone,) = self._by_rouge(loaded(*folders))
        groups = {"test": [index % 4 for index in range(16)]}
        (folders[0] / "groups.json").write_text(json.dumps(groups), encoding="utf-8")
        (grouped,) = self._by_rouge(loaded(*folders))
        assert (alone.examples, grouped.examples) == (16, 4)
        assert alone.difference == pytest.approx(grouped.difference)
        assert alone.error is not None and grouped.error is not None
        assert alone.error < 0.6 * grouped.error

    @staticmethod
    def _by_rouge(runs: dict[str, Run]) -> list[Comparison]:
        found = rank_studies(runs, comparability(runs))
        return [one for one in found.comparisons if one.metric == "rouge1"]
