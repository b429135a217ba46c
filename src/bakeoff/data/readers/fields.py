"""Fields of columns that hold objects: ``answers.text`` where no column is called so."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping
from typing import Final

MARK: Final = "."
"""Between the name of a column and the name of a field."""


def root_of(column: str, names: Container[str]) -> str | None:
    """The column that holds what a name stands for, or None.

    Args:
        column: the name of a column, or a path into one. names: of the columns that there are; the
            whole name comes before its parts, and a longer part before a shorter one.
    """
    end = len(column)
    while end > 0:
        if column[:end] in names:
            return column[:end]
        end = column.rfind(MARK, 0, end)
    return None


def field_of(row: Mapping[str, object], column: str) -> object:
    """A row's value under a name; None where there is none.

    A path goes into objects, and into texts that hold one as JSON, as CSV files do. Of a list of
    objects it takes the field of each: of ``[{"text": "a"}, {"text": "b"}]`` the list of both.
    """
    root = root_of(column, row)
    if root is None:
        return None
    value: object = row[root]
    for name in column[len(root) :].split(MARK)[1:]:
        if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                return None
        if isinstance(value, list | tuple):
            value = [one.get(name) if isinstance(one, Mapping) else None for one in value]
        elif isinstance(value, Mapping):
            value = value.get(name)
        else:
            return None
    return value


def with_fields(row: Mapping[str, object], columns: Iterable[str]) -> Mapping[str, object]:
    """A row with the paths among ``columns`` as columns of their own."""
    missing = [column for column in columns if MARK in column and column not in row]
    return {**row, **{column: field_of(row, column) for column in missing}} if missing else row
