"""Excel's .xlsx, read by openpyxl: one sheet, its first row that holds something the header.

A row's number is the sheet's own, as Excel shows it.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bakeoff.data.readers.records import (
    Columns,
    Record,
    missing_column,
    present,
    repeated_column,
)
from bakeoff.errors import DataError

_ERROR = "e"
"""openpyxl's type of a cell that holds an error, such as #DIV/0!."""


def read_excel(path: Path, columns: Columns) -> Iterator[Record]:
    """Rows of the only sheet that holds something.

    Raises:
        DataError: openpyxl is not installed, the file is torn, several sheets hold something, or
            a column is missing.
    """
    with _rows(path) as rows:
        header, _ = next(rows, ([], 0))
        names = [_name(cell) for cell in header]
        named = [name for name in names if name]
        if error := missing_column(f"{path}'s header", columns, named):
            raise error
        if twice := repeated_column(f"{path}'s header", columns.values(), named):
            raise twice
        places = {column: names.index(column) for column in present(columns, named)}
        for cells, row in rows:
            values: dict[str, object] = {}
            problem = None
            for column, place in places.items():
                cell = cells[place] if place < len(cells) else None
                if cell is not None and cell.data_type == _ERROR:
                    problem = f"its cell in column {column!r} holds the error {cell.value}"
                values[column] = None if cell is None else _value(cell)
            yield Record(row, problem=problem) if problem else Record(row, values)


def excel_names(path: Path) -> list[str]:
    """The header's columns, without a name those that the first row fills."""
    with _rows(path) as rows:
        (header, _), (first, _) = next(rows, ([], 0)), next(rows, ([], 0))
        names, filled = list(map(_name, header)), list(map(_name, first))
        while filled and not filled[-1]:
            filled.pop()
        while names and not names[-1]:
            names.pop()
        return names + [""] * (len(filled) - len(names))


@contextlib.contextmanager
def _rows(path: Path) -> Iterator[Iterator[tuple[Any, int]]]:
    """The rows that hold something, each with its number."""
    try:
        import openpyxl
    except ImportError:
        raise DataError(
            f"task.source: {path} is an Excel file, and openpyxl, which reads these, is not "
            "installed. Install it with: pip install 'bakeoff[excel]'"
        ) from None
    with path.open("rb") as file:
        if not file.read(1):
            raise DataError(f"task.source: {path} is empty. Give a file with at least one row.")
        try:
            # Values instead of formulas: those that Excel computed last.
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        except Exception as error:  # of zip, of XML and of openpyxl, without a common base
            raise _torn(path, error) from error
        try:
            yield _filled(path, book)
        finally:
            book.close()


def _filled(path: Path, book: Any) -> Iterator[tuple[Any, int]]:
    try:
        sheets = []
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # what the file says of its size may be wrong
            if next(_filled_rows(sheet), None) is not None:
                sheets.append(sheet)
        if len(sheets) > 1:
            names = ", ".join(repr(sheet.title) for sheet in sheets)
            raise DataError(
                f"task.source: {path} has {len(sheets)} sheets that hold something ({names}): "
                "which one is meant is not clear. Save the one to learn from as a file of its own "
                "(.xlsx or .csv), or empty the others."
            )
        for sheet in sheets:
            yield from _filled_rows(sheet)
    except DataError:
        raise
    except Exception as error:
        raise _torn(path, error) from error


def _filled_rows(sheet: Any) -> Iterator[tuple[Any, int]]:
    for row, cells in enumerate(sheet.iter_rows(), start=1):
        if any(cell.value is not None for cell in cells):
            yield cells, row


def _torn(path: Path, error: Exception) -> DataError:
    said = (str(error).splitlines() or [""])[0]
    return DataError(
        f"task.source: {path} is not a whole .xlsx file ({type(error).__name__}: {said}). Save it "
        "again in Excel's own format (.xlsx), or as .csv."
    )


def _name(cell: Any) -> str:
    value = _value(cell)
    return "" if value is None else str(value)


def _value(cell: Any) -> object:
    """A cell's value: whole numbers as int, dates and times as ISO text, an empty cell as None."""
    value = cell.value
    if isinstance(value, datetime.datetime):
        from openpyxl.styles.numbers import is_datetime

        # A date is kept as midnight; its format says that no time was meant.
        is_date = is_datetime(cell.number_format or "") == "date"
        return (value.date() if is_date else value).isoformat()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
