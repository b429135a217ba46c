"""`bakeoff report --format`: which files there are, and what programs find in them."""

from __future__ import annotations

import csv
import json
import re
import struct
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import bakeoff
from bakeoff.cli.main import app
from bakeoff.page.charts import Point, bars
from bakeoff.page.figure import Figure
from bakeoff.page.render import render
from bakeoff.page.sizes import sized_files
from bakeoff.report.figures import build
from bakeoff.report.paper.bibliography import bibliography, references_in
from bakeoff.report.paper.protocol import protocol_sentences
from bakeoff.runs.reading import results_from
from bakeoff.runs.records import SearchRecord
from tests.golden_folders import copy_of, golden


def one_figure(*_: Any) -> Iterator[Figure]:
    """In place of the report's, as drawing them all takes seconds."""
    points = [Point(label="lora", value=1.0, text="1", tip="1")]
    yield render(bars(points), name="cost", group="cost", title="t", caption="c", alt="a")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A complete run without a report."""
    monkeypatch.setattr(build, "each_figure", one_figure)
    copy_of("four", tmp_path)
    return tmp_path


def report(folder: Path, *arguments: str) -> Any:
    return CliRunner().invoke(app, ["report", str(folder), *arguments])


def made(folder: Path) -> set[str]:
    """The files that a report wrote."""
    names = {path.name for path in folder.iterdir() if path.is_file()}
    figures = {f"figures/{path.name}" for path in folder.glob("figures/*")}
    return (names | figures) - {"results.json", "study.yaml", "examples.jsonl"}


@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        ((), {"report.html", "report.md", "figures/cost.svg", "figures/cost.png"}),
        (("--format", "csv"), {"report.csv", "scores.csv", "scores.parquet"}),
        (("--format", "json,parquet"), {"report.json", "scores.parquet"}),
        (
            ("--format", "latex", "--format", "csv"),
            {"report.tex", "references.bib", "report.csv", "scores.csv", "scores.parquet"}
            | {f"figures/cost-{width}mm.pdf" for width in (85, 175)},
        ),
        (
            ("--format", "md"),
            {"report.md", "protocol.md", "figures/cost.svg", "figures/cost.png"},
        ),
        (
            ("--figures", "svg"),
            {"report.html", "report.md", "figures/cost.svg", "figures/cost.png"}
            | {f"figures/cost-{width}mm.svg" for width in (85, 175)},
        ),
    ],
)
def test_what_is_asked_for_is_written_and_nothing_else(
    folder: Path, arguments: tuple[str, ...], files: set[str]
) -> None:
    done = report(folder, *arguments)
    assert done.exit_code == 0, done.output
    assert made(folder) == files
    named = {str(folder / name) for name in files if "/" not in name} - {
        *([str(folder / "report.md")] if "--format" not in arguments else [])
    }
    assert named <= set(done.output.splitlines())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--format", "latx"), "--format: 'latx' is unknown; did you mean 'latex'?"),
        (("--format", ","), "--format: names nothing"),
        (("--figures", "gif"), "--figures: 'gif' is unknown"),
    ],
)
def test_an_unknown_form_is_refused_and_nothing_is_written(
    folder: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = report(folder, *arguments)
    assert words in str(done.exception)
    assert made(folder) == set()


def test_several_studies_have_one_page(folder: Path) -> None:
    done = report(folder, str(folder / "other"), "--format", "csv")
    assert "--format: is for one study" in str(done.exception)


def test_the_table_has_each_method_and_baseline_with_bounds_costs_and_verdict(
    folder: Path,
) -> None:
    assert report(folder, "--format", "csv").exit_code == 0
    results = golden("four")
    with (folder / "report.csv").open(newline="", encoding="utf-8") as stream:
        rows = {row["name"]: row for row in csv.DictReader(stream)}
    assert list(rows) == [*results.methods, "zero_shot", "lead"]
    for name, record in results.methods.items():
        nll = record.test["nll"]
        found = [float(rows[name][f"test_nll_{end}"]) for end in ("mean", "low", "high")]
        assert found == [nll.mean, nll.low, nll.high]
        assert int(rows[name]["trainable_parameters"]) == record.cost.trainable_parameters
        assert int(rows[name]["adapter_bytes"]) == record.cost.adapter_bytes
    assert rows["full"]["recommended"] == "true" and rows["full"]["verdict"] == ""
    assert (rows["lora"]["verdict"], rows["lora"]["verdict_against"]) == ("worse", "full")
    assert rows["zero_shot"]["role"] == "baseline" and rows["zero_shot"]["verdict"] == "worse"
    assert rows["lead"]["test_nll_mean"] == rows["lead"]["trainable_parameters"] == ""


def test_scores_are_those_of_python(folder: Path) -> None:
    import pandas as pd

    assert report(folder, "--format", "csv,parquet").exit_code == 0
    expected = bakeoff.load(folder).scores(baselines=True)
    found = pd.read_parquet(folder / "scores.parquet")
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    again = pd.read_csv(folder / "scores.csv", keep_default_na=True)
    assert list(again.columns) == list(expected.columns)
    assert len(again) == len(expected) == 16 * (4 * 3 + 2)
    assert again["nll"].sum() == pytest.approx(expected["nll"].sum())


def test_json_is_the_results_within_the_limits(folder: Path) -> None:
    assert report(folder, "--format", "json", "--max-adapter-size", "300kB").exit_code == 0
    content = json.loads((folder / "report.json").read_text("utf-8"))
    found = results_from(content, where="report.json")
    stored = golden("four")
    assert found.recommendation.method == "lora_small"
    assert found.recommendation.limits
    assert replace(found, recommendation=stored.recommendation) == stored


@pytest.mark.parametrize("width", [85, 175])
def test_figures_are_as_wide_as_they_say(width: int) -> None:
    [figure] = one_figure()
    files = sized_files(figure, ("pdf", "svg", "png"), (width,))
    name = f"cost-{width}mm"
    assert set(files) == {f"{name}.pdf", f"{name}.svg", f"{name}.png"}
    box = re.search(rb"/MediaBox ?\[0 0 ([\d.]+) ([\d.]+)\]", files[f"{name}.pdf"])
    assert box is not None
    assert float(box[1]) == pytest.approx(width / 25.4 * 72, abs=0.5)
    root = ET.fromstring(files[f"{name}.svg"])
    assert root.attrib["width"] == f"{width}mm"
    png = files[f"{name}.png"]
    pixels, high = struct.unpack(">II", png[16:24])
    assert pixels == pytest.approx(width / 25.4 * 300, abs=2)
    assert float(box[2]) / float(box[1]) == pytest.approx(high / pixels, abs=0.01)
    at = png.index(b"pHYs") + 4
    assert struct.unpack(">II", png[at : at + 8]) == (11811, 11811)


def test_text_does_not_grow_with_the_page() -> None:
    [figure] = one_figure()
    files = sized_files(figure, ("svg",))
    boxes = {
        width: ET.fromstring(files[f"cost-{width}mm.svg"]).attrib["viewBox"].split()
        for width in (85, 175)
    }
    # In the drawing's own units the page is wider, so that 11 of them stay small.
    assert float(boxes[175][2]) == pytest.approx(175 / 25.4 * 96, abs=1)
    assert float(boxes[175][3]) == float(boxes[85][3])


class TestReferences:
    @pytest.mark.parametrize(
        ("text", "key", "author", "arxiv"),
        [
            ("Hu et al. 2021, arXiv:2106.09685", "hu2021-2106.09685", "Hu, Edward J.",
             "2106.09685"),
            ("feature-based transfer, as in Howard & Ruder 2018, arXiv:1801.06146",
             "howard2018-1801.06146", "Howard, Jeremy and Ruder", "1801.06146"),
            ("Ben Zaken et al. 2022, arXiv:2106.10199", "benzaken2022-2106.10199",
             "Ben Zaken, Elad and", "2106.10199"),
        ],
    )  # fmt: skip
    def test_a_paper_is_taken_apart(self, text: str, key: str, author: str, arxiv: str) -> None:
        [found] = references_in(text)
        assert (found.key, found.arxiv) == (key, arxiv)
        assert str(found.author).startswith(author)

    def test_what_names_no_paper_has_no_entry(self) -> None:
        assert references_in("the ordinary fine-tuning that the others are compared with") == []

    def test_only_what_took_part_is_there_once(self) -> None:
        text = bibliography(golden("four"))
        keys = re.findall(r"@\w+\{([^,]+),", text)
        assert len(keys) == len(set(keys))
        for key in ("hu2021-2106.09685", "howard2018-1801.06146", "holm1979", "lin2004",
                    "schuirmann1987"):  # fmt: skip
            assert key in keys
        assert "eprint = {2106.09685},\n  archivePrefix = {arXiv}" in text
        assert "lester" not in text and "sacrebleu" not in text and "li2020" not in text
        assert text.count("{") == text.count("}")

    def test_tests_are_left_out_where_nothing_was_tested(self) -> None:
        assert "holm" not in bibliography(replace(golden("four"), comparisons=()))


class TestProtocol:
    def test_figures_are_those_of_the_records(self) -> None:
        text = " ".join(protocol_sentences(golden("four")))
        for words in (
            "192 rows to train on, 32 to choose by and 16 to test on",
            "at most 3 epochs with 4 rows per update",
            "the seeds 0, 1 and 2",
            "There was no search",
            "all 10 pairs",
            "0.358 nats per token",
            "lead-3 and zero-shot",
        ):
            assert words in text, words

    def test_pairs_that_were_not_tested_are_named(self) -> None:
        results = golden("four")
        silent = replace(results.comparisons[0], why="they differ on 1 row only")
        some = replace(results, comparisons=(silent, *results.comparisons[1:]))
        text = " ".join(protocol_sentences(some))
        assert "For 9 of 10 pairs" in text and "all 10 pairs" not in text
        assert "(they differ on 1 row only)." in text.partition("Not tested were ")[2]
        none = tuple(replace(one, why="too few rows") for one in results.comparisons)
        text = " ".join(protocol_sentences(replace(results, comparisons=none)))
        assert "No pair was tested: " in text and "at 95 %" in text

    def test_a_search_is_told_as_it_was(self) -> None:
        results = golden("four")
        study = {**results.study, "search": {"strategy": "random", "learning_rates": 6,
                                             "pruner": None, "reduction_factor": 2}}  # fmt: skip
        search = SearchRecord(
            seed=1000, seeds=(0, 1), rungs=(), epochs_trained=1, epochs_full_grid=1,
            tokens_trained=1, tokens_full_grid=1,
        )  # fmt: skip
        text = " ".join(protocol_sentences(replace(results, study=study, search=search)))
        assert "Each method tried 6 settings at first, drawn at random." in text
        assert "with the seed 1000; the chosen ones were trained afresh" in text
        assert "halving" not in text and "There was no search" not in text

    def test_nothing_is_claimed_of_tests_that_were_not_made(self) -> None:
        text = " ".join(protocol_sentences(replace(golden("four"), comparisons=())))
        assert "No pair was tested." in text
        assert "Holm" not in text and "one-sided" not in text
