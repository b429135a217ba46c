"""``report.tex``: tables with intervals and verdicts, figures, protocol; to be \\input or alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bakeoff.decide.limits import Limits
from bakeoff.decide.sentences import margin_words
from bakeoff.formatting import MISSING, scale_of, shown_p_value, signed
from bakeoff.page.figure import Figure
from bakeoff.page.sizes import WIDTHS_MM
from bakeoff.report.answer import build_answer
from bakeoff.report.load import Run
from bakeoff.report.page import Compared, compared, in_order
from bakeoff.report.paper.bibliography import cited
from bakeoff.report.paper.latex import (
    ALONE,
    CHARACTER_MACRO,
    END,
    PREAMBLE,
    escaped,
    label_part,
    table,
)
from bakeoff.report.paper.protocol import protocol_sentences
from bakeoff.report.table import MONEY, Column, Row, build_marks, build_rows, shown_columns
from bakeoff.runs.records import Results

_METRICS_A_TABLE: Final = 3
_METHODS_A_TABLE: Final = 3  # as wide as one column of `article` with intervals
_SIGNS: Final = {"equivalent": r"\textsuperscript{=}", "undecided": r"\textsuperscript{?}"}


def latex_text(run: Run, figures: Sequence[Figure], limits: Limits | None = None) -> str:
    """The whole file.

    Args:
        run: as read. figures: of its report. limits: of the recommended method's costs.
    """
    results = run.results
    rows = build_rows(results)
    answer = build_answer(results, rows, limits)
    label = label_part(run.name)
    parts = [
        _head(run),
        f"\\subsection*{{{escaped(run.name)}}}",
        f"\\textbf{{{escaped(answer.verdict)}:}} {escaped(answer.sentence)} {escaped(answer.why)}",
        *_quality(results, rows, label),
        *_costs(results, rows, label),
        *_pairs(run, label),
        r"\paragraph{Protocol.} " + " ".join(map(escaped, protocol_sentences(results))),
        _citations(results),
        *(_figure(figure, label) for figure in figures),
        END,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(run: Run) -> str:
    return (
        f"% Made by bakeoff {label_part(run.results.environment.bakeoff)}, for \\input{{report}} "
        "or alone.\n"
        f"% A document that reads it needs:\n{PREAMBLE}\n"
        "% Figures are read from figures/, references from references.bib.\n"
        f"{ALONE}\n{CHARACTER_MACRO}"
    )


def _quality(results: Results, rows: Sequence[Row], label: str) -> list[str]:
    marks = build_marks(results, rows)
    columns = [c for c in shown_columns(results.task.metrics, rows) if c.metric is not None]
    ordered = in_order(results, rows)
    chunks = range(0, len(columns), _METRICS_A_TABLE)
    tables = []
    for number, start in enumerate(chunks):
        shown = columns[start : start + _METRICS_A_TABLE]
        body = [
            [
                _name(row),
                *(_value(row, column, marks.get((row.name, column.key))) for column in shown),
            ]
            for row in ordered
        ]
        tables.append(
            table(
                ["", *(_title(column) for column in shown)],
                body,
                caption="Test results: mean over rows and seeds with its interval. Bold: the best "
                "method of the metric; \\textsuperscript{=}: shown equivalent to it; "
                "\\textsuperscript{?}: undecided against it. Intervals are of each row alone.",
                label=f"tab:{label}-quality{number or ''}",
                columns="l" + "r" * len(shown),
            )
        )
    return tables


def _title(column: Column) -> str:
    return escaped(f"{column.label}, {column.unit}" if column.unit else column.label)


def _name(row: Row) -> str:
    return rf"\textit{{{escaped(row.label)}}}" if row.is_baseline else escaped(row.label)


def _value(row: Row, column: Column, mark: str | None) -> str:
    cell = row.cells.get(column.key)
    if cell is None or cell.value is None:
        return escaped(MISSING)
    shown = escaped(column.write(cell.value))
    if mark in ("best", "least"):
        shown = rf"\textbf{{{shown}}}"
    shown += _SIGNS.get(str(mark), "")
    if cell.low is None or cell.high is None:
        return shown
    bounds = [column.write(cell.low), column.write(cell.high)]
    units = {text.partition(" ")[2] for text in (column.write(cell.value), *bounds)}
    if len(units) == 1:
        bounds = [text.partition(" ")[0] for text in bounds]  # the unit stands beside the value
    return f"{shown} {escaped(f'[{bounds[0]}, {bounds[1]}]')}"


def _costs(results: Results, rows: Sequence[Row], label: str) -> list[str]:
    """Turned round, as there are more costs than fit beside each other."""
    shown = [c for c in shown_columns(results.task.metrics, rows) if c.metric is None]
    # Baselines have costs in money alone, and those only that ask the base.
    priced = [
        row
        for row in in_order(results, rows)
        if not row.is_baseline or any(row.value(c.key) is not None for c in MONEY)
    ]
    marks = build_marks(results, rows)
    tables = []
    for number, start in enumerate(range(0, len(priced), _METHODS_A_TABLE)):
        beside = priced[start : start + _METHODS_A_TABLE]
        body = [
            [_title(c), *(_value(row, c, marks.get((row.name, c.key))) for row in beside)]
            for c in shown
        ]
        tables.append(
            table(
                ["", *map(_name, beside)],
                body,
                caption="Costs of each method alone: medians of repeats with intervals where "
                "there are any. Bold: the least.",
                label=f"tab:{label}-costs{number or ''}",
                columns="l" + "r" * len(beside),
            )
        )
    return tables


def _pairs(run: Run, label: str) -> list[str]:
    results = run.results
    found = [c for c in compared(results) if c.comparison.metric == results.primary.name]
    if not found:
        return []
    scale = scale_of(results.primary.unit)
    body = []
    for one in found:
        pair = one.comparison
        bounds = (
            MISSING
            if pair.low is None or pair.high is None
            else f"[{_signed(scale.factor * pair.low, scale.digits)}, "
            f"{_signed(scale.factor * pair.high, scale.digits)}]"
        )
        body.append(
            [
                escaped(one.first),
                escaped(one.second),
                escaped(scale.signed(pair.difference)),
                escaped(bounds),
                escaped(MISSING if pair.why else shown_p_value(pair.p_value).removeprefix("= ")),
                escaped(pair.verdict),
            ]
        )
    margin = (
        None if results.decision is None else results.decision.margins.get(results.primary.name)
    )
    level = 100 * found[0].comparison.level
    caption = (
        f"Pairs by test {results.primary.title}: first minus second; the verdict speaks of the "
        f"first, at the {level:.3g} % level for all pairs together."
    )
    if margin is not None:
        caption += f" Margin of equivalence: {margin_words(results.primary, margin)}."
    return [
        table(
            ["First", "Second", "Difference", "Interval", "$p$", "Verdict"],
            body,
            caption=escaped(caption),
            label=f"tab:{label}-pairs",
            columns="llrrrl",
            note=_not_judged(found),
        )
    ]


def _not_judged(pairs: Sequence[Compared]) -> str:
    """Why some pairs have no p-value, in LaTeX; empty where all have one."""
    reasons = dict.fromkeys(one.comparison.why for one in pairs if one.comparison.why)
    return rf"Without $p$, as not judged: {escaped('; '.join(reasons))}." if reasons else ""


def _signed(value: float, digits: int) -> str:
    return signed(value, digits)


def _citations(results: Results) -> str:
    said = [f"{escaped(what)}~\\cite{{{','.join(keys)}}}" for what, keys in cited(results).items()]
    return f"References: {', '.join(said)}." if said else ""


def _figure(figure: Figure, label: str) -> str:
    narrow = WIDTHS_MM[0]
    return "\n".join(
        [
            r"\begin{figure}[htbp]",
            r"\centering",
            rf"\includegraphics[width={narrow}mm]{{figures/{figure.name}-{narrow}mm}}",
            rf"\caption{{{escaped(f'{figure.title}. {figure.caption}')}}}",
            rf"\label{{fig:{label}-{label_part(figure.name)}}}",
            r"\end{figure}",
        ]
    )
