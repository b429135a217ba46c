"""The answer and the table as one piece of HTML, without scripts or styles of a page's own."""

from __future__ import annotations

from markupsafe import Markup, escape

from bakeoff.decide.recommendation import shown_recommendation
from bakeoff.formatting import MISSING
from bakeoff.report.answer import lowered, verdict_words
from bakeoff.report.table import Cell, Column, build_marks, build_rows, shown_columns
from bakeoff.runs.records import Results

_RIGHT = Markup(' style="text-align: right"')


def summary_html(results: Results) -> str:
    """What to use and why, then a row for each method and baseline."""
    given = shown_recommendation(results)
    rows = build_rows(results)
    columns = shown_columns(results.task.metrics, rows)
    marks = build_marks(results, rows)
    head = Markup("").join(
        Markup("<th{}>{}</th>").format(_RIGHT, f"{c.label} ({c.unit})" if c.unit else c.label)
        for c in columns
    )
    body = Markup("").join(
        Markup("<tr><th>{}</th>{}</tr>").format(
            row.label,
            Markup("").join(
                Markup("<td{}>{}</td>").format(
                    _RIGHT, _cell(c, row.cells.get(c.key), marks.get((row.name, c.key)))
                )
                for c in columns
            ),
        )
        for row in rows
    )
    partial = "" if results.status == "complete" else Markup("<p>The study is not complete.</p>")
    return str(
        Markup(
            "<div><p><b>{}</b>: {}</p>{}<table><thead><tr><th>method</th>{}</tr></thead>"
            "<tbody>{}</tbody></table></div>"
        ).format(verdict_words(given), lowered(given.why), partial, head, body)
    )


def _cell(column: Column, cell: Cell | None, mark: str | None) -> Markup:
    if cell is None or cell.value is None:
        return escape(MISSING)
    text = escape(column.write(cell.value))
    if cell.low is not None and cell.high is not None:
        between = f" [{column.write(cell.low)}, {column.write(cell.high)}]"
        text += Markup("<small>{}</small>").format(between)
    return text if mark is None else text + Markup(" <i>{}</i>").format(mark)
