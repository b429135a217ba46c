"""The report as files: which there are, the same bytes twice, sizes, and errors."""

from __future__ import annotations

import json
import struct
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bakeoff.errors import StoreError
from bakeoff.page.charts import Point, bars
from bakeoff.page.render import render
from bakeoff.report import write_report

Writer = Callable[..., dict[str, Any]]

FIGURES = {
    "pareto_memory", "pareto_time", "pareto_parameters", "test_loss", "rouge1", "rouge2",
    "rougeL", "differences_test_nll", "differences_rouge1", "trainable_parameters",
    "longest_epoch", "peak_memory", "learning_curves", "wall_clock",
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

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("trainable_parameters", "294,912"),
            ("longest_epoch", "13.9 min"),
            ("peak_memory", "7.46 GiB"),
            ("test_loss", "2.431"),
            ("rouge1", "34.2"),
        ],
    )
    def test_the_five_comparisons_name_each_method_and_its_figure(
        self, complete: Path, name: str, value: str
    ) -> None:
        found = texts(complete / "figures" / f"{name}.svg")
        assert {"traditional", "lora", "soft_prompt", "full", value} <= set(found)

    def test_a_tie_is_written_into_the_figure(self, complete: Path) -> None:
        marks = ET.parse(complete / "figures" / "differences_test_nll.svg").iter()
        tips = {e.attrib["aria-label"] for e in marks if "aria-label" in e.attrib}
        assert any(t.startswith("full minus lora: ") and t.endswith(": a tie") for t in tips)
        assert any(t.startswith("traditional minus lora: ") and t.endswith(": behind lora")
                   for t in tips)  # fmt: skip
        found = texts(complete / "figures" / "differences_test_nll.svg")
        assert [found.count(word) for word in ("tie", "behind", "ahead")] == [1, 2, 0]


class TestSameBytes:
    def test_writing_twice_gives_the_same_bytes(self, tmp_path: Path, run_writer: Writer) -> None:
        run_writer(tmp_path, num_methods=1, epochs=2)
        write_report(tmp_path)
        first = contents(tmp_path)
        assert write_report(tmp_path) == tmp_path / "report.html"
        second = contents(tmp_path)
        assert set(second) == set(first)
        assert [name for name in first if first[name] != second[name]] == []
        assert not list(tmp_path.rglob(".*"))


class TestSizes:
    @pytest.mark.parametrize("num", [1, 10])
    def test_long_names_are_told_apart(self, tmp_path: Path, run_writer: Writer, num: int) -> None:
        names = [f"lora_on_all_linear_layers_of_{i}" for i in range(num)]
        assert {len(name) for name in names} == {30}
        run_writer(tmp_path, names=names, seeds=1, epochs=2)
        write_report(tmp_path)
        assert (tmp_path / "report.html").stat().st_size <= MAX_BYTES
        page = (tmp_path / "report.html").read_text("utf-8")
        assert page.count('<th scope="row" data-value="lora_on') == num + num  # and candidates
        root = ET.parse(tmp_path / "figures" / "peak_memory.svg").getroot()
        tips = {e.attrib.get("aria-label", "").partition(":")[0] for e in root.iter()}
        assert set(names) <= tips

    def test_names_of_the_greatest_length_keep_rows_of_their_own(self) -> None:
        points = [Point(label="a" * 63 + digit, value=1.0, text=digit, tip=digit) for digit in "12"]
        drawn = render(bars(points), name="x", group="cost", title="x", caption="x", alt="x")
        found = [e.text or "" for e in ET.fromstring(drawn.svg).iter(f"{SVG}text")]
        assert len([text for text in found if text.startswith("aaa")]) == 2

    def test_long_documents_are_cut(self, tmp_path: Path, run_writer: Writer) -> None:
        results = run_writer(tmp_path, num_methods=1, seeds=1, epochs=1)
        results["methods"], results["candidates"] = {}, {}
        (tmp_path / "results.json").write_text(json.dumps({"schema": 1}))
        row = {"document": "long " * 80_000, "reference": "short"}
        lines = [json.dumps({"index": i, **row}) for i in range(12)]
        (tmp_path / "examples.jsonl").write_text("\n".join(lines))
        write_report(tmp_path)
        assert (tmp_path / "report.html").stat().st_size < 300_000
        assert "[only the start is shown]" in (tmp_path / "report.html").read_text("utf-8")

    def test_the_other_runs_are_small_too(self, complete: Path, hostile: Path) -> None:
        for folder in (complete, hostile):
            assert (folder / "report.html").stat().st_size <= MAX_BYTES


NULLS: dict[str, Any] = {
    "schema": 1, "status": "partial", "study": None, "environment": None, "data": None,
    "baselines": None, "methods": {"lora": None}, "candidates": {"x": None},
    "comparisons": None, "recommendation": None, "notes": None,
}  # fmt: skip


class TestMissing:
    @pytest.mark.parametrize("results", [{"schema": 1}, NULLS], ids=["nothing", "nulls"])
    def test_a_run_without_any_figure_still_reports(
        self, tmp_path: Path, results: dict[str, Any]
    ) -> None:
        (tmp_path / "results.json").write_text(json.dumps(results))
        page = write_report(tmp_path).read_text("utf-8")
        assert "No recommendation" in page
        assert "Nothing is recommended: no method has a test result" in page
        assert not list((tmp_path / "figures").iterdir())

    def test_a_run_without_predictions_reports_the_rest(
        self, tmp_path: Path, run_writer: Writer
    ) -> None:
        run_writer(tmp_path, num_methods=1, seeds=1, epochs=1)
        for path in tmp_path.rglob("predictions.jsonl"):
            path.unlink()
        (tmp_path / "examples.jsonl").unlink()
        page = write_report(tmp_path).read_text("utf-8")
        assert "Use traditional" in page
        assert page.count('id="examples"') == 0
        assert (tmp_path / "report.md").read_text("utf-8").count("## Examples") == 0


class TestErrors:
    def test_no_results(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match=r"results\.json: not found; .* `bakeoff run` writes"):
            write_report(tmp_path)

    @pytest.mark.parametrize("content", [b'{"schema": 1, "meth', b"", b"\xff\xfe", b"[" * 200_000])
    def test_torn_results(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "results.json").write_bytes(content)
        with pytest.raises(StoreError, match=r"results\.json: not readable as JSON"):
            write_report(tmp_path)

    @pytest.mark.parametrize(
        ("content", "found"), [('{"schema": 2}', "2"), ("{}", "None"), ("[1]", "None")]
    )
    def test_another_schema(self, tmp_path: Path, content: str, found: str) -> None:
        (tmp_path / "results.json").write_text(content)
        with pytest.raises(StoreError, match=rf"results\.json: schema is {found}, .* reads 1;"):
            write_report(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["results.json"]

    def test_a_place_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "results.json").write_text('{"schema": 1}')
        (tmp_path / "figures").write_text("in the way")
        with pytest.raises(StoreError, match=r"figures: the report cannot be written"):
            write_report(tmp_path)
        assert not (tmp_path / "report.html").exists()
