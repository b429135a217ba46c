"""Texts out of rows, cleaned and checked."""

from __future__ import annotations

from collections.abc import Mapping

from bakeoff.data.cleaning import clean
from bakeoff.data.options import CleaningStep
from bakeoff.data.rows import text_problem
from bakeoff.errors import DataError


def text_of(
    row: Mapping[str, object], key: str, column: str, cleaning: tuple[CleaningStep, ...]
) -> str:
    """A column's text, cleaned.

    Args:
        row: values by column. key: the option that names the column, for the error.

    Raises:
        DataError: it is missing, no text, or empty.
    """
    value = row.get(column)
    problem = text_problem(value)
    if problem is None and isinstance(value, str):
        text = clean(value, cleaning)
        if text:
            return text
        problem = "is empty after task.cleaning"
    raise DataError(f"the {key} (column {column!r}) {problem}")


def label_of(row: Mapping[str, object], column: str) -> tuple[str, int]:
    """A column's label as a word, and as a number; -1 where it is none.

    Raises:
        DataError: it is missing, no label, or empty.
    """
    value = row.get(column)
    if isinstance(value, int):  # as booleans are
        return str(value).lower(), int(value)
    word = text_of(row, "label", column, ()).strip()
    return word, int(word) if word.isdecimal() and len(
        word
    ) < 10 else -1  # a CSV file's numbers are texts


def group_of(row: Mapping[str, object], column: str) -> str:
    """A column's group: a text that is not empty, a number or a boolean.

    Raises:
        DataError: it is missing, empty, or nothing that two rows can be seen to share.
    """
    value = row.get(column)
    if value is None or value != value:  # NaN equals nothing
        problem = "is missing"
    elif not isinstance(value, str | int | float):
        problem = f"is no text or number but {type(value).__name__}"
    elif not str(value).strip():
        problem = "is empty"  # as in all such rows, which do not hang together by it
    else:
        return str(value)
    raise DataError(f"the group (column {column!r}) {problem}")
