"""The report as Markdown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bakeoff.report.markdown import escape
from tests.golden_folders import golden


def tables(text: str) -> list[list[list[str]]]:
    """Every table as rows of cells, cut at pipes that are not escaped."""
    found: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            found[-1].append([c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif found[-1]:
            found.append([])
    return [table for table in found if table]


@pytest.mark.parametrize("name", ["complete", "partial", "hostile"])
def test_every_row_of_a_table_has_as_many_cells_as_its_head(
    request: pytest.FixtureRequest, name: str
) -> None:
    folder: Path = request.getfixturevalue(name)
    found = tables((folder / "report.md").read_text("utf-8"))
    assert len(found) > 10
    for table in found:
        assert {len(row) for row in table} == {len(table[0])}
        assert set(table[1]) == {"---"}


def test_the_main_table_is_the_pages(complete: Path) -> None:
    (main,) = (t for t in tables((complete / "report.md").read_text()) if t[0][0] == "method")
    assert [row[0] for row in main[2:]] == [
        "full", "lora", r"lora\_small", "traditional", "zero-shot", "lead-3",
    ]  # fmt: skip
    nll = golden("four").methods["full"].test["nll"]
    assert main[2][1] == rf"{nll.mean:.3f} \({nll.low:.3f} to {nll.high:.3f}\) best"
    assert main[3][2].endswith("undecided")
    assert any(cell.endswith(" least") for cell in main[4])


def test_every_pair_of_the_shown_metrics_is_in_a_table(complete: Path) -> None:
    text = (complete / "report.md").read_text()
    (pairs,) = (t for t in tables(text) if t[0][-1] == "verdict")
    assert len(pairs) == 2 + 10 + 15  # lead-3 has no NLL
    by_sides = {tuple(row[:3]): row for row in pairs[2:]}
    assert by_sides["ROUGE-1", "lead-3", "full"][-1] == "undecided"
    row = by_sides["Test NLL", "lora", "full"]
    assert row[3].startswith("0.404 ") and row[-2:] == ["0.358", "worse"]
    assert "corrected step by step" in text


def test_it_links_every_figure(complete: Path) -> None:
    linked = re.findall(r"\]\(figures/(\w+\.svg)\)", (complete / "report.md").read_text())
    assert sorted(linked) == sorted(p.name for p in (complete / "figures").glob("*.svg"))


def test_it_says_what_is_missing(partial: Path) -> None:
    text = (partial / "report.md").read_text("utf-8")
    assert "**Undecided.** The best baseline, zero-shot, reaches a test NLL of 5.554" in text
    assert "Nothing is recommended yet: lora and lora\\_small have not finished" in text
    assert "| traditional \\(failed\\) | – |" in text
    note = "candidates/full-lr0.001-s1/predictions.jsonl: 1 unreadable line left out"
    assert f"- {note}" in text


def test_ten_examples_with_a_line_a_method(complete: Path) -> None:
    text = (complete / "report.md").read_text()
    assert text.count("\n### Row ") == 10
    examples = [t for t in tables(text) if t[0][1:] == ["ROUGE-1", "summary"]]
    assert [row[0] for row in examples[0][2:]] == [
        "reference", "traditional", "lora", r"lora\_small", "full", "zero-shot", "lead-3",
    ]  # fmt: skip


def test_hostile_text_is_no_markup(hostile: Path) -> None:
    text = (hostile / "report.md").read_text("utf-8")
    assert not re.search(r"<[a-z/!]", text)
    assert r"&lt;script&gt;alert\(1\)&lt;/script&gt;" in text
    assert re.search(r"'single' \\`back\\` \\\| pipe \\\| &amp;amp;", text)


def test_escape_covers_pipes_lines_and_backslashes() -> None:
    assert escape("a|b\nc") == r"a\|b c"
    assert escape("\\|") == r"\\\|"
    assert escape("# *x* [y](z)") == r"\# \*x\* \[y\]\(z\)"
