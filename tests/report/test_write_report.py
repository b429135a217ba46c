"""The report as files: which there are, the same bytes twice, sizes, and errors."""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from bakeoff.errors import StoreError
from bakeoff.formatting import shown_bytes, shown_seconds, shown_whole
from bakeoff.page.charts import Point, bars
from bakeoff.page.render import render
from bakeoff.report import write_report
from bakeoff.runs.records import SCHEMA, CostRecord, Results
from bakeoff.types import RunState
from tests.golden_folders import copy_of, golden, with_methods, write_rows
from tests.grown_runs import write_grown

FIGURES = {
    "pareto_memory", "pareto_time", "pareto_parameters", "test_nll", "test_rouge1",
    "test_rouge2", "test_rougeL", "test_rougeLsum", "differences_nll", "differences_rouge1",
    "margins_nll", "margins_rouge1", "trainable_parameters", "longest_epoch", "latency",
    "peak_memory", "learning_curves", "best_so_far", "wall_clock",
}  # fmt: skip
SVG = "{http://www.w3.org/2000/svg}"
MAX_BYTES = 3_000_000


def texts(path: Path) -> list[str]:
    """What an SVG file writes."""
    return [e.text or "" for e in ET.parse(path).iter(f"{SVG}text")]


def contents(folder: Path) -> dict[str, bytes]:
    paths = [folder / "report.html", folder / "report.md", *(folder / "figures").iterdir()]
    return {path.name: path.read_bytes() for path in paths}


class TestFiles:
    def test_a_complete_run_gives_page_text_and_every_figure(self, complete: Path) -> None:
        for name in ("report.html", "report.md"):
            assert (complete / name).stat().st_size > 10_000
        names = {path.name for path in (complete / "figures").iterdir()}
        assert names == {f"{name}.{kind}" for name in FIGURES for kind in ("svg", "png")}

    @pytest.mark.parametrize("name", sorted(FIGURES))
    def test_a_figure_is_a_readable_svg_and_png(self, complete: Path, name: str) -> None:
        root = ET.parse(complete / "figures" / f"{name}.svg").getroot()
        assert root.tag == f"{SVG}svg"
        assert len(list(root.iter(f"{SVG}path"))) >= 4
        png = (complete / "figures" / f"{name}.png").read_bytes()
        assert png.startswith(b"\x89PNG\r\n\x1a\n")
        assert png.endswith(b"IEND\xaeB`\x82")
        width, height = struct.unpack(">II", png[16:24])
        assert width == pytest.approx(2 * float(root.attrib["width"]), abs=2)
        assert height > 100

    def test_the_five_comparisons_name_each_method_and_its_figure(self, complete: Path) -> None:
        lora = golden("four").methods["lora"]
        assert lora.cost.epoch_seconds is not None
        for name, value in (
            ("trainable_parameters", shown_whole(lora.cost.trainable_parameters)),
            ("longest_epoch", shown_seconds(lora.cost.epoch_seconds.max)),
            ("peak_memory", shown_bytes(lora.cost.peak_memory_bytes)),
            ("test_nll", f"{lora.test['nll'].mean:.3f}"),
            ("test_rouge1", f"{100 * lora.test['rouge1'].mean:.1f}"),
        ):
            found = texts(complete / "figures" / f"{name}.svg")
            assert {"traditional", "lora", "lora_small", "full", value} <= set(found), name

    def test_verdicts_are_written_into_the_figure(self, limited: Path) -> None:
        path = limited / "figures" / "differences_nll.svg"
        tips = {e.attrib["aria-label"] for e in ET.parse(path).iter() if "aria-label" in e.attrib}
        said = {t.partition("\u2063")[2] or t for t in tips}
        for name, verdict in (
            ("lora_small", "equivalent"), ("full", "better"), ("zero-shot", "worse"),
            ("traditional", "worse"),
        ):  # fmt: skip
            assert any(
                t.startswith(f"{name} minus lora: ") and t.endswith(f": {verdict}") for t in said
            ), name
        found = texts(path)
        assert [found.count(word) for word in ("equivalent", "worse", "better")] == [1, 2, 1]

    def test_every_baseline_has_a_difference_in_the_metrics_that_it_has(
        self, complete: Path
    ) -> None:
        nll, rouge = (
            texts(complete / "figures" / f"differences_{key}.svg") for key in ("nll", "rouge1")
        )
        assert "zero-shot" in nll and "lead-3" not in nll
        assert "zero-shot" in rouge and "lead-3" in rouge


class TestSameBytes:
    def test_writing_twice_gives_the_same_bytes(self, tmp_path: Path) -> None:
        copy_of("schema1_partial", tmp_path)
        write_report(tmp_path)
        first = contents(tmp_path)
        assert write_report(tmp_path) == tmp_path / "report.html"
        second = contents(tmp_path)
        assert set(second) == set(first)
        assert [name for name in first if first[name] != second[name]] == []
        assert not list(tmp_path.rglob(".*"))


class TestSizes:
    @pytest.mark.parametrize("num", [1, 10])
    def test_long_names_are_told_apart(self, tmp_path: Path, num: int) -> None:
        names = [f"lora_on_all_linear_layers_of_{i}" for i in range(num)]
        assert {len(name) for name in names} == {30}
        results = write_grown(tmp_path, names, 20)
        write_report(tmp_path)
        assert (tmp_path / "report.html").stat().st_size <= MAX_BYTES
        page = (tmp_path / "report.html").read_text("utf-8")
        assert page.count('<th scope="row" data-value="lora_on') == num + len(results.candidates)
        root = ET.parse(tmp_path / "figures" / "peak_memory.svg").getroot()
        tips = {e.attrib.get("aria-label", "").partition(":")[0] for e in root.iter()}
        assert set(names) <= tips

    def test_names_of_the_greatest_length_keep_rows_of_their_own(self) -> None:
        points = [Point(label="a" * 63 + digit, value=1.0, text=digit, tip=digit) for digit in "12"]
        drawn = render(bars(points), name="x", group="cost", title="x", caption="x", alt="x")
        found = [e.text or "" for e in ET.fromstring(drawn.svg).iter(f"{SVG}text")]
        assert len([text for text in found if text.startswith("aaa")]) == 2

    def test_long_documents_are_cut(self, tmp_path: Path) -> None:
        copy_of("schema1_partial", tmp_path)
        row = {"document": "long " * 80_000, "reference": "short"}
        write_rows(tmp_path / "examples.jsonl", [{"index": i, **row} for i in range(12)])
        write_report(tmp_path)
        assert (tmp_path / "report.html").stat().st_size < 500_000
        assert "[only the start is shown]" in (tmp_path / "report.html").read_text("utf-8")

    def test_the_other_runs_are_small_too(self, complete: Path, hostile: Path) -> None:
        for folder in (complete, hostile):
            assert (folder / "report.html").stat().st_size <= MAX_BYTES


class TestGolden:
    """Every golden run is reported, of each schema and in each state."""

    @pytest.mark.parametrize("name", ["schema1", "searched"])
    def test_a_searched_run_shows_how_its_rates_were_found(self, tmp_path: Path, name: str) -> None:
        results = copy_of(name, tmp_path)
        page = write_report(tmp_path).read_text("utf-8")
        assert "Use lora" in page
        assert "How each learning rate was found" in page
        assert f"Every candidate ({len(results.candidates)})" in page
        assert (tmp_path / "figures" / "learning_rate.svg").is_file()

    @pytest.mark.parametrize("name", ["schema1_partial", "partial"])
    def test_an_interrupted_run_shows_what_there_is(self, tmp_path: Path, name: str) -> None:
        copy_of(name, tmp_path)
        page = write_report(tmp_path).read_text("utf-8")
        assert "<strong>Undecided</strong>" in page
        assert "Nothing is recommended: no method has a test result" in page
        assert "head is not started." in page
        assert (tmp_path / "figures" / "learning_curves.svg").is_file()


class TestMetrics:
    def test_a_primary_metric_of_which_more_is_better_turns_order_and_figures(
        self, tmp_path: Path
    ) -> None:
        def by_rouge(results: Results) -> Results:
            metrics = tuple(
                replace(metric, primary=metric.name == "rouge1") for metric in results.task.metrics
            )
            return replace(results, task=replace(results.task, metrics=metrics))

        results = copy_of("four", tmp_path, by_rouge)
        page = write_report(tmp_path).read_text("utf-8")
        text = (tmp_path / "report.md").read_text("utf-8")
        assert "Test ROUGE-1 against peak memory" in page and "Upper left is better." in page
        assert "the best baseline, lead-3, reaches a test ROUGE-1 of 31.9 points" in page
        best = max(results.methods, key=lambda name: results.methods[name].test["rouge1"].mean)
        table = text[text.index("| method |") :].splitlines()
        assert "Test ROUGE-1 × 100" in table[0]
        # lead-3 trains nothing and writes better than all.
        assert table[2].startswith("| lead-3 |") and table[3].startswith(f"| {best} |")
        tips = (tmp_path / "figures" / "differences_rouge1.svg").read_text("utf-8")
        assert "left of the line is worse" in page and "minus" in tips


class TestMissing:
    def test_a_run_in_which_nothing_was_done_still_reports(self, tmp_path: Path) -> None:
        def emptied(results: Results) -> Results:
            untouched = {"state": RunState.WAITING, "test": {}, "validation": {},
                         "cost": CostRecord(), "candidates": ()}  # fmt: skip
            return replace(
                with_methods(results, **dict.fromkeys(results.methods, untouched)),
                status="partial",
                environment=replace(results.environment, wall_seconds={}),
                baselines={},
                candidates={},
                comparisons=(),
            )

        copy_of("four", tmp_path, emptied)
        page = write_report(tmp_path).read_text("utf-8")
        assert "Nothing is recommended: no method has a test result" in page
        assert not list((tmp_path / "figures").iterdir())

    def test_a_run_without_predictions_reports_the_rest(self, tmp_path: Path) -> None:
        copy_of("four", tmp_path)
        for path in tmp_path.rglob("predictions.jsonl"):
            path.unlink()
        (tmp_path / "examples.jsonl").unlink()
        page = write_report(tmp_path).read_text("utf-8")
        assert "Use full" in page
        assert page.count('id="examples"') == 0
        assert (tmp_path / "report.md").read_text("utf-8").count("## Examples") == 0


class TestErrors:
    def test_results_of_a_newer_schema_leave_the_folder_alone(self, tmp_path: Path) -> None:
        (tmp_path / "results.json").write_text(f'{{"schema": {SCHEMA + 1}}}')
        with pytest.raises(StoreError, match=r"results\.json: schema is .* reads up to"):
            write_report(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["results.json"]

    def test_a_place_that_cannot_be_written(self, tmp_path: Path) -> None:
        copy_of("schema1_partial", tmp_path)
        (tmp_path / "figures").write_text("in the way")
        with pytest.raises(StoreError, match=r"figures: the report cannot be written"):
            write_report(tmp_path)
        assert not (tmp_path / "report.html").exists()
