"""The report as Markdown: the same content in short."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields

from bakeoff.formatting import MISSING, scale_of, shown_p_value
from bakeoff.page import words
from bakeoff.page.figure import Figure
from bakeoff.report.also import also_tables
from bakeoff.report.answer import Answer
from bakeoff.report.confusion import confusion_tables
from bakeoff.report.data import LENGTH_HEADS, length_advice, length_rows, overlap_facts
from bakeoff.report.examples import Ranked, answers
from bakeoff.report.factors import PART_HEADS, factors_view
from bakeoff.report.figures.groups import CURVE_GROUP, GROUPS
from bakeoff.report.learning_curve import CURVE_LEAD, curve_table
from bakeoff.report.load import Run
from bakeoff.report.page import (
    compared,
    family_words,
    headline_facts,
    in_order,
    split_table,
    study_sections,
)
from bakeoff.report.searched import SEARCH_HEADS, search_cost, searched_methods
from bakeoff.report.table import Cell, Column, Row, build_marks, shown_columns
from bakeoff.runs.records import Results, SplitRecord

_NUM_EXAMPLES = 10
_INPUT_CHARACTERS = 600
_ANSWER_CHARACTERS = 12_000
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~$])")


def build_markdown(
    run: Run, rows: list[Row], answer: Answer, figures: list[Figure], examples: list[Ranked]
) -> str:
    """The whole of ``report.md``; figures are links into ``figures/``."""
    results = run.results
    lines = [f"# {escape(run.name)}", ""]
    lines += [f"**{escape(answer.verdict)}.** {escape(_whole(answer))}", ""]
    for title, items in (
        ("Limits", answer.limits),
        ("Outside the limits", answer.outside),
        ("Runners-up", [f"{r.name}: {r.text}" for r in answer.rivals]),
        ("What would change the answer", answer.changes),
        ("Before you rely on it" if answer.method else "What to know", answer.caveats),
    ):
        if items:
            lines += [f"{title}:", "", *(f"- {escape(item)}" for item in items), ""]
    lines += [*_table(["", ""], headline_facts(results)), "", "## Methods and baselines", ""]
    lines += [*_main_table(run, rows), "", *_factors(results)]
    for key, title in GROUPS.items():
        group = [figure for figure in figures if figure.group == key]
        if group:
            lines += [f"## {title}", ""]
        for figure in group:
            lines += [f"**{escape(figure.title)}.** {escape(figure.caption)}", ""]
            lines += [f"![{escape(figure.alt)}](figures/{figure.name}.svg)", ""]
    for table in confusion_tables(results):
        lines += [f"## Right and chosen {results.task.output_word}s: {escape(table.title)}", ""]
        lines += [*_table(table.heads, table.body), ""]
    lines += _pairs(run, answer)
    lines += _curve(run, figures)
    lines += _also(run)
    searched = searched_methods(results)
    if searched:
        lines += ["## How each learning rate was found", "", escape(search_cost(results) or ""), ""]
        lines += [*_table(SEARCH_HEADS, [row.cells for row in searched]), ""]
    if examples:
        where = f"Where the methods' {run.row_metric.title} differs most."
        lines += ["## Examples", "", escape(where), ""]
    for ranked in examples[:_NUM_EXAMPLES]:
        lines += _example(run, rows, ranked)
    lines += ["## How it was made", "", "`bakeoff run study.yaml` repeats the study.", ""]
    for title, pairs in study_sections(results):
        lines += [*_table([title, ""], pairs), ""]
    keys = [field.name for field in fields(SplitRecord)]
    body = [
        [split, *(words.plain(getattr(counts, key)) for key in keys)]
        for split, counts in split_table(results).items()
    ]
    lines += [*_table(["split", *(key.replace("_", " ") for key in keys)], body), ""]
    if lengths := length_rows(results):
        lines += [*_table(LENGTH_HEADS, lengths), "", escape(length_advice(results) or ""), ""]
    for title, pairs in (
        ("overlap", overlap_facts(results.data.overlap)),
        ("environment", words.flatten(asdict(results.environment))),
    ):
        if pairs:
            lines += [*_table([title, ""], pairs), ""]
    notes = [*results.notes, *run.notes]
    if notes:
        lines += ["## Notes", "", *(f"- {escape(note)}" for note in notes), ""]
    return "\n".join(lines)


def escape(text: str) -> str:
    """Text that no Markdown reader takes for markup, on one line."""
    flat = " ".join(text.split())
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", flat)


def _whole(answer: Answer) -> str:
    parts = (answer.sentence[:1].upper() + answer.sentence[1:], answer.why, answer.sure)
    return " ".join(part for part in parts if part)


def _main_table(run: Run, rows: list[Row]) -> list[str]:
    marks = build_marks(run.results, rows)
    columns = shown_columns(run.results.task.metrics, rows)
    heads = ["method", *(f"{c.label} {c.unit}".strip() for c in columns)]
    body = []
    for row in in_order(run.results, rows):
        name = row.label
        if row.state is not None and not row.ended_well:
            name += f" ({words.state(row.state)})"
        cells = [
            _cell(column, row.cells.get(column.key), marks.get((row.name, column.key)))
            for column in columns
        ]
        body.append([name, *cells])
    return _table(heads, body)


def _cell(column: Column, cell: Cell | None, mark: str | None) -> str:
    if cell is None or cell.value is None:
        return MISSING
    text = column.write(cell.value)
    if cell.low is not None and cell.high is not None:
        text += f" ({column.write(cell.low)} to {column.write(cell.high)})"
    return f"{text} {mark}" if mark else text


def _pairs(run: Run, answer: Answer) -> list[str]:
    """Every pair in the metrics that the answer speaks of."""
    shown = {metric.name for metric in (run.results.primary, run.row_metric)}
    found = [one for one in compared(run.results) if one.comparison.metric in shown]
    if not found:
        return []
    body = []
    for one in found:
        pair = one.comparison
        difference = one.write(pair.difference)
        if pair.low is not None and pair.high is not None:
            difference += f" ({one.write(pair.low)} to {one.write(pair.high)})"
        verdict = pair.verdict if pair.why is None else f"{pair.verdict}: {pair.why}"
        p_value = MISSING if pair.why else shown_p_value(pair.p_value).removeprefix("= ")
        body.append([one.title, one.first, one.second, difference, p_value, one.margin, verdict])
    heads = ["metric", "first", "second", "difference", "p", "margin", "verdict"]
    words = escape(family_words(run.results, answer))
    return ["## Every pair", "", words, "", *_table(heads, body), ""]


def _factors(results: Results) -> list[str]:
    """What mattered, of a study with several bases or prompts."""
    found = factors_view(results)
    if found is None:
        return []
    lines = ["## What mattered", "", f"**{escape(found.sentence)}** {escape(found.lead)}", ""]
    if found.parts:
        lines += [*_table(PART_HEADS, found.parts), ""]
    if found.levels:
        lines += [*_table(found.level_heads, found.levels), ""]
    lines += [*_table(["", ""], found.texts), ""]
    return [*lines, *(line for note in found.notes for line in (escape(note), ""))]


def _curve(run: Run, figures: list[Figure]) -> list[str]:
    """The learning curve."""
    table = curve_table(run.results)
    if table is None:
        return []
    lines = ["## Learning curve", "", escape(CURVE_LEAD), ""]
    for figure in figures:
        if figure.group == CURVE_GROUP:
            lines += [f"**{escape(figure.title)}.** {escape(figure.caption)}", ""]
            lines += [f"![{escape(figure.alt)}](figures/{figure.name}.svg)", ""]
    body = [
        [
            line.name,
            *(f"{c.value} ({c.interval})" if c.interval else c.value for c in line.cells),
        ]
        for line in table.lines
    ]
    lines += [*_table([table.title, *(f"{size} rows" for size in table.sizes)], body), ""]
    return [*lines, *(f"- {escape(line.sentence)}" for line in table.lines), ""]


def _also(run: Run) -> list[str]:
    """Further test sets."""
    tables = also_tables(run.results)
    lines = ["## Other test sets", "", "The change is against zero-shot.", ""] if tables else []
    for table in tables:
        change = ["change"] if table.has_changes else []
        heads = ["method", *(head for title in table.metrics for head in (title, *change))]
        body = []
        for label, cells in table.lines:
            line = [label]
            for cell in cells:
                line.append(f"{cell.value} ({cell.interval})" if cell.interval else cell.value)
                if change:
                    within = f" ({cell.change_interval})" if cell.change_interval else ""
                    verdict = f" {cell.verdict}" if cell.verdict else ""
                    line.append(f"{cell.change or MISSING}{within}{verdict}")
            body.append(line)
        lines += [f"### {escape(table.name)}", "", escape(table.lead), "", *_table(heads, body), ""]
        if table.warnings:
            lines += [*(f"- {escape(warning)}" for warning in table.warnings), ""]
    return lines


def _example(run: Run, rows: list[Row], ranked: Ranked) -> list[str]:
    example = ranked.example
    word = run.results.task.input_word.capitalize()
    shown = example.shown[:_INPUT_CHARACTERS]
    more = " …" if len(shown) < len(example.shown) else ""
    lines = [f"### Row {example.index}", "", f"{word}: {escape(shown)}{more}", ""]
    body = [["reference", "", example.reference]]
    write = scale_of(run.row_metric.unit).write
    body += [
        [row.label, write(score), text[:_ANSWER_CHARACTERS]]
        for row, text, score in answers(run, rows, example.index)
    ]
    return [*lines, *_table(["", run.row_metric.title, run.results.task.output_word], body), ""]


def _table(heads: Sequence[str], body: Iterable[Iterable[str]]) -> list[str]:
    rows = [f"| {' | '.join(map(escape, cells))} |" for cells in body]
    return [f"| {' | '.join(map(escape, heads))} |", "|" + " --- |" * len(heads), *rows]
