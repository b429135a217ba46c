"""Tables on terminals of any width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

NARROW: Final = 60
"""Below so many columns no table is drawn."""
_NAME_WIDTH: Final = 12
"""Of the first column, at least, where a table is drawn; longer names take more lines."""
_UNBOUNDED: Final = 1000


def print_table(
    table: Table, console: Console, labels: Sequence[str] | None = None, *, names: int = 0
) -> None:
    """Prints a table, or a block for each of its rows where there is no room for it.

    A block is the cell that names the row, and a line ``title: figure`` for each other
    cell that is not empty, so that no figure is broken and none is without its name.

    Args:
        table: without rows that span columns.
        console: where to.
        labels: of all columns, for blocks; the columns' titles without. Markup, as all cells are.
        names: the column that names the rows.
    """
    if fits(table, console, names=names):
        console.print(table)
        return
    titles = list(labels or [str(column.header) for column in table.columns])
    cells = [list(column.cells) for column in table.columns]
    for index, row in enumerate(table.rows):
        style = str(row.style or "")
        name = cells[names][index]
        if isinstance(name, str):
            name = name.replace("\n", "")
        console.print(_text(name, f"bold {style}"), soft_wrap=True, highlight=False)
        for position, (title, column) in enumerate(zip(titles, cells, strict=True)):
            text = _text(column[index], style)
            if position != names and text.plain.strip():
                label = _text(f"  {title}: " if title else "  ", style)
                console.print(label + text, soft_wrap=True, highlight=False)


def fits(table: Table, console: Console, *, names: int = 0) -> bool:
    """Whether every figure of a table has its width, and its names have enough of theirs."""
    if console.width < NARROW:
        return False
    texts = [_text(cell, "") for cell in table.columns[names].cells]
    lengths = [line.cell_len for text in texts for line in text.split("\n")]
    spare = max(0, max(lengths, default=0) - _NAME_WIDTH)
    unbounded = console.options.update(max_width=_UNBOUNDED)
    return Measurement.get(console, unbounded, table).maximum - spare <= console.width


def _text(cell: object, style: str) -> Text:
    if isinstance(cell, Text):
        return cell
    return Text.from_markup(str(cell), style=style.strip())
