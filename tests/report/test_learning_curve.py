"""The learning curve in the report: its words, its table and its figure."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bakeoff.page.palette import looks
from bakeoff.report.figures.learning_curve import rows_figures
from bakeoff.report.learning_curve import curve_table
from bakeoff.report.terminal import print_summary
from bakeoff.report.write import write_report
from bakeoff.runs.records import Comparable, Estimate, LearningCurvePoint, Results, RowsGain
from tests.golden_folders import copy_of, golden

SIZES = (12, 24, 48)
MINUS = "\N{MINUS SIGN}"


def points(
    means: list[float], verdict: Comparable, *, why: str | None = None, sizes: Any = SIZES
) -> tuple[LearningCurvePoint, ...]:
    """A method's curve, of whose last gain something is said."""
    found: list[LearningCurvePoint] = []
    for rows, mean in zip(sizes, means, strict=True):
        before = found[-1] if found else None
        gain = None
        if before is not None:
            change = mean - before.metrics["nll"].mean
            bounds = (None, None) if why else (change - 0.02, change + 0.02)
            gain = RowsGain(
                rows=before.rows,
                difference=change,
                low=bounds[0],
                high=bounds[1],
                margin=0.05,
                level=0.95,
                verdict=verdict,
                why=why,
            )
        found.append(
            LearningCurvePoint(
                rows=rows,
                candidates=("lora-lr0.01-s0",),
                seeds=(0,),
                metrics={"nll": Estimate(mean=mean, low=mean - 0.03, high=mean + 0.03)},
                gain=gain,
            )
        )
    return tuple(found)


def with_curve(results: Results) -> Results:
    """The golden run with a curve of each of its methods, each with another end."""
    ends: list[tuple[list[float], Comparable, str | None]] = [
        ([3.4, 3.1, 2.9], "better", None),
        ([3.2, 3.0, 2.99], "equivalent", None),
        ([3.3, 3.2, 3.15], "undecided", None),
        ([3.0, 2.8, 2.85], "undecided", "48 rows and 24 rows have fewer than 3 seeds"),
    ]
    curves = {
        name: points(means, verdict, why=why)
        for name, (means, verdict, why) in zip(results.methods, ends, strict=False)
    }
    return replace(results, learning_curve=curves)


def test_each_method_has_a_sentence_on_what_more_rows_bring() -> None:
    table = curve_table(with_curve(golden("four")))
    assert table is not None
    assert table.sizes == ["12", "24", "48"] and table.title == "Test NLL nats per token"
    first, second, third, fourth = (line.sentence for line in table.lines)
    assert f"from 24 to 48 rows Test NLL changed by {MINUS}0.200 ({MINUS}0.220 to" in first
    assert "for each doubling" not in first and first.endswith("More rows would likely help.")
    assert second.endswith("less than 0.05 nats per token: more rows would change little.")
    assert third.endswith("No difference is shown, so nothing says that more rows would help.")
    assert fourth.endswith(
        "No difference is shown, as 48 rows and 24 rows have fewer than 3 seeds."
    )
    assert table.lines[3].verdict == "" and table.lines[3].change_interval == ""
    assert table.lines[0].cells[0].interval == "3.370 to 3.430"


def test_what_is_not_a_doubling_is_said_by_doublings_too() -> None:
    curve = points([3.0, 2.8], "better", sizes=(12, 48))
    [line] = curve_table(replace(golden("four"), learning_curve={"lora": curve})).lines  # type: ignore[union-attr]
    assert f"{MINUS}0.200" in line.sentence
    assert f"or {MINUS}0.100 for each doubling" in line.sentence


def test_a_study_without_one_has_no_section(complete: Path) -> None:
    assert curve_table(golden("four")) is None
    assert not list(rows_figures(golden("four"), looks(golden("four").methods)))
    assert "Learning curve</h2>" not in (complete / "report.html").read_text("utf-8")


def test_page_markdown_figure_and_terminal_show_it(tmp_path: Path) -> None:
    copy_of("four", tmp_path, with_curve)
    page = write_report(tmp_path).read_text("utf-8")
    assert '<h2 id="curve-head">Learning curve</h2>' in page and '<a href="#curve">' in page
    section = page.partition('id="curve"')[2].partition("</section>")[0]
    assert "More rows would likely help." in section and "fewer updates" in section
    assert "<svg" in section and "24 rows" in section
    assert 'data-tip="' in section and "48 rows: 2.900 (2.870 to 2.930)" in section
    assert (tmp_path / "figures/learning_curve_rows.svg").exists()
    text = (tmp_path / "report.md").read_text("utf-8")
    assert "## Learning curve" in text and "](figures/learning_curve_rows.svg)" in text
    out = io.StringIO()
    print_summary(tmp_path, Console(file=out, width=80))
    shown = out.getvalue()
    assert "last change" in shown and f"{MINUS}0.200" in shown and "better" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_the_terminal_shows_the_largest_sizes_where_not_all_have_room(tmp_path: Path) -> None:
    sizes = tuple(2**i * 16 for i in range(14))
    curve = points([3.0 - 0.01 * i for i in range(14)], "better", sizes=sizes)
    copy_of("four", tmp_path, lambda results: replace(results, learning_curve={"lora": curve}))
    out = io.StringIO()
    print_summary(tmp_path, Console(file=out, width=80))
    shown = out.getvalue()
    assert "131,072" in shown and "better" in shown
    line = next(line for line in shown.splitlines() if "last change" in line)
    assert len(line) <= 80 and " 16 " not in line


def test_baselines_are_level_lines_unless_they_would_flatten_the_curves() -> None:
    results = with_curve(golden("four"))
    zero = results.baselines["zero_shot"]

    def at(mean: float) -> Results:
        record = replace(zero, test={**zero.test, "nll": Estimate(mean=mean)})
        return replace(results, baselines={"zero_shot": record})

    [near] = rows_figures(at(3.5), looks(results.methods))
    [far] = rows_figures(at(30.0), looks(results.methods))
    assert "Dashed: baselines" in near.caption and "zero-shot, not trained" in str(near.spec)
    assert "Outside the figure: zero-shot 30.000." in far.caption
    assert "not trained" not in str(far.spec)


@pytest.mark.parametrize("number", [1, 10])
def test_one_method_and_ten_are_drawn(number: int) -> None:
    results = golden("four")
    names = [f"method_{i}" for i in range(number)]
    curves = {name: points([3.0 + 0.1 * i, 2.9, 2.8], "better") for i, name in enumerate(names)}
    [figure] = rows_figures(replace(results, learning_curve=curves), looks(names))
    assert figure.svg.count("<path") > 3 * number
    assert all(name in figure.svg for name in names)
