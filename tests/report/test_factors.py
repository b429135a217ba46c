"""What mattered, in the report, as Markdown and in the terminal."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from bakeoff.page.palette import looks
from bakeoff.report.factors import factors_view
from bakeoff.report.figures.candidates import learning_figures
from bakeoff.report.terminal import print_summary
from bakeoff.report.write import write_report
from bakeoff.runs.factors import CellRecord, FactorsRecord, VarianceComponent
from bakeoff.runs.records import Results
from tests.golden_folders import copy_of, golden

LAYOUT = "<b>Read</b>: {document}\nIn short: {summary}"


def component(name: str, share: float, low: float, high: float, *factors: str) -> VarianceComponent:
    return VarianceComponent(
        name=name, factors=factors, deviation=0.2 * share, share=share, low=low, high=high
    )


def crossed(results: Results) -> Results:
    """The golden run as if two of its methods were one over two bases."""
    methods = dict(results.methods)
    for name, base in (("lora", "small"), ("lora_small", "large")):
        methods[name] = replace(methods[name], base=base, template="long", plain_name="lora")
    record = FactorsRecord(
        levels={"method": ("lora",), "base": ("small", "large"), "template": ("long",)},
        bases={"small": "org/small", "large": "org/large"},
        templates={"long": LAYOUT},
        cells={
            "small@long": CellRecord(base="small", template="long", folder="x", status="partial")
        },
        metric="nll",
        components=(
            component("base", 0.7, 0.55, 0.8, "base"),
            component("method × base", 0.297, 0.2, 0.4, "method", "base"),
            component("seeds", 0.003, 0.0, 0.01),
        ),
        left_out=("full",),
        level=0.95,
        rows=results.data.test.examples,
        one_tokenizer=False,
    )
    return replace(results, methods=methods, factors=record)


def test_the_view_says_what_mattered() -> None:
    view = factors_view(crossed(golden("four")))
    assert view is not None
    assert view.sentence == (
        "Of the variance of the test scores, the base makes 70 % (55 % to 80 %), which method and "
        "base go together 30 %."
    )
    assert view.parts[0] == ("Base", "70 %", "55 % to 80 %", "0.14 nats per token")
    assert view.parts[1][0] == "Which method and base go together"
    assert view.parts[2] == ("Another seed", "0.3 %", "0 % to 1.0 %", "0.0006 nats per token")
    assert "different tokenizers" in view.lead and "nothing is said of other bases" in view.lead
    # Of the one factor that has levels to choose from.
    assert [line[:2] for line in view.levels] == [("Base", "small"), ("Base", "large")]
    assert view.texts[0] == ("base small", "org/small") and view.texts[-1][1] == LAYOUT
    assert view.notes == ["full was not tested with every base and prompt, and is not counted."]


def test_a_study_of_one_base_and_prompt_has_no_section() -> None:
    assert factors_view(golden("four")) is None


def test_page_markdown_and_terminal_show_it(tmp_path: Path) -> None:
    copy_of("four", tmp_path, crossed)
    page = write_report(tmp_path).read_text("utf-8")
    assert '<h2 id="factors-head">What mattered</h2>' in page and '<a href="#factors">' in page
    section = page.partition('id="factors"')[2].partition("</section>")[0]
    assert "70 %" in section and "&lt;b&gt;Read&lt;/b&gt;" in section and "<b>Read" not in section
    assert "compares within one base" in page
    text = (tmp_path / "report.md").read_text("utf-8")
    assert "## What mattered" in text and "Which method and base go together" in text
    out = io.StringIO()
    print_summary(tmp_path, Console(file=out, width=80))
    shown = out.getvalue()
    assert "what mattered" in shown and "the base makes 70 % (55 % to 80 %)" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_what_is_not_known_is_said() -> None:
    results = crossed(golden("four"))
    assert results.factors is not None
    record = replace(results.factors, components=(), why="4 test rows are too few")
    view = factors_view(replace(results, factors=record))
    assert view is not None and view.parts == []
    assert view.sentence == "What mattered is not known: 4 test rows are too few."


def test_curves_per_token_are_of_one_base_each() -> None:
    results = crossed(golden("four"))
    [figure] = learning_figures(results, looks(results.methods))
    assert figure.caption.endswith("within one base, and never between two.")
    [plain] = learning_figures(golden("four"), looks(results.methods))
    assert "tokenizers" not in plain.caption
