"""Several studies on one page: what may be ranked, what may not, and why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bakeoff.cli.main import app
from bakeoff.errors import StoreError
from bakeoff.report import write_side_by_side
from bakeoff.report.comparable import comparability, differing_settings, labels_of
from bakeoff.report.load import Run, all_scores, load_run
from bakeoff.report.ranking import rank_studies

Writer = Callable[..., dict[str, Any]]
Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def twin(run_writer: Writer, tmp_path: Path) -> Callable[..., Path]:
    """Writes a run of two methods; what ``change`` does to its results is all that differs."""

    def written(name: str, change: Change | None = None) -> Path:
        folder = tmp_path / name
        if not (tmp_path / "model").exists():
            (tmp_path / "model").mkdir()
            run_writer(tmp_path / "model", num_methods=2, examples=40, seeds=2, epochs=1)
        shutil.copytree(tmp_path / "model", folder)
        results = json.loads((folder / "results.json").read_text())
        results["study"]["name"] = name
        if change is not None:
            change(results)
        (folder / "results.json").write_text(json.dumps(results))
        return folder

    return written


def shift(folder: Path, by: float) -> None:
    """Moves ROUGE-1 of all rows that lora wrote."""
    for path in (folder / "candidates").glob("lora-*/predictions.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            row["rouge1"] += by
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def loaded(*folders: Path) -> dict[str, Run]:
    runs = [load_run(folder) for folder in folders]
    return dict(zip(labels_of(runs), runs, strict=True))


def set_at(*path: str, to: Any) -> Change:
    def change(results: dict[str, Any]) -> None:
        *way, last = path
        for key in way:
            results = results[key]
        results[last] = to

    return change


class TestWhatIsAlike:
    def test_studies_of_the_same_rows_are(self, twin: Callable[..., Path]) -> None:
        found = comparability(loaded(twin("a"), twin("b")))
        assert (found.obstacles, found.remarks) == ([], [])
        assert found.same_tokens and found.same_machine

    def test_one_other_word_in_one_test_row_is_an_obstacle(self, twin: Callable[..., Path]) -> None:
        one, two = twin("a"), twin("b")
        path = two / "examples.jsonl"
        path.write_text(path.read_text().replace(" months ", " years ", 1))
        (told,) = comparability(loaded(one, two)).obstacles
        assert told == (
            "test data: the test rows differ (a: abisee/cnn_dailymail, 40 rows; "
            "b: abisee/cnn_dailymail, 40 rows)"
        )

    def test_rows_that_are_not_kept_show_nothing(self, twin: Callable[..., Path]) -> None:
        one, two = twin("a"), twin("b")
        (two / "examples.jsonl").unlink()
        (told,) = comparability(loaded(one, two)).obstacles
        assert told.startswith("test data: b has no examples.jsonl")

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            (
                set_at("study", "generation", "no_repeat_ngram", to=0),
                "generation: no_repeat_ngram is 3 in a, 0 in b",
            ),
            (set_at("status", to="partial"), "unfinished: b was cut off"),
        ],
    )
    def test_other_obstacles_are_named(
        self, twin: Callable[..., Path], change: Change, told: str
    ) -> None:
        assert comparability(loaded(twin("a"), twin("b", change))).obstacles == [told]

    def test_other_metrics(self, twin: Callable[..., Path]) -> None:
        def without_rouge(results: dict[str, Any]) -> None:
            for entry in results["methods"].values():
                entry["rougeLsum"] = None

        (told,) = comparability(loaded(twin("a"), twin("b", without_rouge))).obstacles
        assert told.startswith("metrics: not the same were measured (a: test NLL, ROUGE-1")

    def test_another_tokenizer_or_machine_is_only_remarked(self, twin: Callable[..., Path]) -> None:
        def change(results: dict[str, Any]) -> None:
            results["environment"]["device"] = "NVIDIA H100"
            results["data"]["test"]["tokens_supervised"] = 1

        found = comparability(loaded(twin("a"), twin("b", change)))
        assert found.obstacles == []
        assert not found.same_tokens and not found.same_machine
        assert "nats a token are of different units" in found.remarks[0]
        assert "NVIDIA T4, float16, 2 threads; b: NVIDIA H100" in found.remarks[1]

    def test_settings_that_differ_are_listed(self, twin: Callable[..., Path]) -> None:
        runs = loaded(twin("a"), twin("b", set_at("study", "base", to="other")))
        assert differing_settings(runs) == [("base", ["EleutherAI/gpt-neo-125m", "other"])]

    def test_studies_called_alike_get_their_folders_name(self, twin: Callable[..., Path]) -> None:
        runs = loaded(twin("a"), twin("b", set_at("study", "name", to="a")))
        assert list(runs) == ["a (a)", "a (b)"]


class TestRanking:
    def test_equal_studies_tie(self, twin: Callable[..., Path]) -> None:
        runs = loaded(twin("a"), twin("b"))
        found = rank_studies(runs, comparability(runs))
        assert found.best == "a" and found.ties == ["b"]
        assert found.verdict == "a and b tie"
        assert {c.metric for c in found.comparisons} == {"rouge1", "test_nll"}

    def test_a_difference_that_is_one_is_said(self, twin: Callable[..., Path]) -> None:
        runs = loaded(twin("a"), b := twin("b"))
        shift(b, 0.4)
        found = rank_studies(runs, comparability(runs))
        assert (found.best, found.ties, found.verdict) == ("b", [], "b leads")
        scores = all_scores(runs["b"], "lora")
        assert scores is not None and scores.rouge1_SN.shape == (2, 40)
        assert f"{100 * scores.rouge1_SN.mean():.1f}" in found.sentence
        assert "it is ahead of a's lora" in found.sentence

    def test_nats_of_other_tokens_are_not_compared(self, twin: Callable[..., Path]) -> None:
        change = set_at("data", "test", "tokens_supervised", to=1)
        runs = loaded(twin("a"), twin("b", change))
        found = rank_studies(runs, comparability(runs))
        assert {c.metric for c in found.comparisons} == {"rouge1"}

    def test_nothing_is_ranked_over_an_obstacle(self, twin: Callable[..., Path]) -> None:
        runs = loaded(twin("a"), b := twin("b", set_at("status", to="partial")))
        shift(b, 0.4)
        found = rank_studies(runs, comparability(runs))
        assert (found.best, found.comparisons) == (None, [])
        assert found.verdict == "Side by side only"


class TestPage:
    def test_it_refuses_and_says_why_and_mixes_when_asked(
        self, twin: Callable[..., Path], tmp_path: Path
    ) -> None:
        change = set_at("study", "generation", "strategy", to="beam")
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

    def test_it_shows_every_method_and_links_each_report(
        self, twin: Callable[..., Path], tmp_path: Path
    ) -> None:
        one, two = twin("a"), twin("b", set_at("study", "name", to="<script>alert(1)</script>"))
        (one / "report.html").write_text("there")
        page = write_side_by_side([one, two], tmp_path / "deep" / "out").read_text("utf-8")
        assert page.count('<tr class="pick">') == 2
        assert page.count('<tr class="baseline">') == 4
        assert '<a href="../../a/report.html">' in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert page.count("<script>") == 1
        figures = {path.name for path in (tmp_path / "deep" / "out" / "figures").iterdir()}
        assert {"rouge1.svg", "rouge1.png", "test_nll.svg"} <= figures

    def test_a_runs_own_report_is_never_overwritten(self, twin: Callable[..., Path]) -> None:
        one, two = twin("a"), twin("b")
        with pytest.raises(StoreError, match="is a run's own folder"):
            write_side_by_side([one, two], one)
        with pytest.raises(StoreError, match="named twice"):
            write_side_by_side([one, one], two.parent / "out")

    def test_options_for_several_are_refused_for_one(
        self, twin: Callable[..., Path], tmp_path: Path
    ) -> None:
        done = CliRunner().invoke(app, ["report", str(twin("a")), "--out", str(tmp_path / "x")])
        assert "--out: is for several studies" in str(done.exception)
