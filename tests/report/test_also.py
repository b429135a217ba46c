"""Further test sets in the report: what was reached on them, and the change against zero-shot."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bakeoff.report.also import also_tables
from bakeoff.report.answer import build_answer
from bakeoff.report.examples import build_browser, rank_examples
from bakeoff.report.load import load_run
from bakeoff.report.markdown import build_markdown
from bakeoff.report.page import build_page
from bakeoff.report.table import build_rows
from bakeoff.report.terminal import print_summary
from bakeoff.runs.records import Outputs, Results
from tests.decide.made import study_of, with_set
from tests.golden_folders import copy_of


@pytest.fixture
def results() -> Results:
    methods = {"lora": 3.0, "head": 3.5}
    means = {"lora": 2.3, "head": 1.98, "zero_shot": 2.0}
    return with_set(study_of(methods), means, 0.05, name="plain-text")


def test_a_table_shows_each_change_with_its_verdict(results: Results) -> None:
    [table] = also_tables(results)
    assert table.lead.startswith("400 rows of the kind text. NLL may be at most 0.05 nats per")
    assert table.metrics == ["NLL nats per token"]
    lines = {label: cells[0] for label, cells in table.lines}
    assert set(lines) == {"lora", "head", "zero-shot"}
    assert (lines["lora"].value, lines["lora"].change, lines["lora"].verdict) == (
        *("2.300", "+0.300", "worse"),
    )
    assert lines["head"].change == "\N{MINUS SIGN}0.020" and " to " in lines["head"].change_interval
    assert (lines["zero-shot"].value, lines["zero-shot"].change) == ("2.000", "")
    assert lines["zero-shot"].verdict is None


def test_what_is_not_written_on_a_set_is_said(results: Results) -> None:
    [(name, record)] = results.also_test.items()
    counted = {
        "lora": Outputs(examples=1000, empty=600, unfinished=31),
        "head": Outputs(examples=1000, empty=20, unfinished=0),
        "zero_shot": Outputs(examples=1000, empty=900, unfinished=None),
    }
    quiet = replace(results, also_test={name: replace(record, outputs=counted)})
    [table] = also_tables(quiet)
    assert table.warnings == [
        "Of what was written here: lora: 60 % empty and 3.1 % unfinished; head: 2 % empty; "
        "zero-shot: 90 % empty."
    ]
    said = [
        text for text in build_answer(quiet, build_rows(quiet)).caveats if "writes nothing" in text
    ]
    assert said == [f"lora writes nothing in 60 % of its answers to also_test.{name}."]
    [table] = also_tables(results)
    assert table.warnings == []


def test_a_study_without_further_sets_has_no_section() -> None:
    assert also_tables(study_of({"lora": 3.0})) == []


def test_page_markdown_and_terminal_show_the_sets(tmp_path: Path, results: Results) -> None:
    copy_of("searched", tmp_path, lambda _: results)
    run = load_run(tmp_path)
    rows = build_rows(run.results)
    answer, ranked = build_answer(run.results, rows), rank_examples(run, rows)
    page = build_page(run, rows, answer, [], build_browser(run, rows, ranked))
    assert '<h2 id="also-head">Other test sets</h2>' in page and "+0.300" in page
    assert '<a href="#also">' in page
    text = build_markdown(run, rows, answer, [], ranked)
    section = text.replace("\\", "").partition("## Other test sets")[2]
    assert "### plain-text" in section and "| lora | 2.300 (" in section
    assert ") worse |" in section
    assert "lora: NLL on plain-text 0.3 nats per token worse than zero-shot's" in text.replace(
        "\\", ""
    )
    out = io.StringIO()
    print_summary(tmp_path, Console(file=out, width=100))
    assert "plain-text" in out.getvalue() and "+0.300" in out.getvalue()
    assert "Use head" in out.getvalue()
