"""Texts out of rows, cleaned and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeGuard

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


def choice_text(
    row: Mapping[str, object],
    column: str,
    cleaning: tuple[CleaningStep, ...],
    key: str = "choice",
) -> str:
    """A column with a choice or an answer as a text without white space at its ends.

    Whole and other finite numbers are taken as they are written.

    Raises:
        DataError: it is missing, empty, or neither text nor number.
    """
    value = row.get(column)
    if _is_number(value):
        value = str(value)
    return text_of({column: value}, key, column, cleaning).strip()


def choice_texts(
    row: Mapping[str, object], column: str, cleaning: tuple[CleaningStep, ...]
) -> tuple[str, ...]:
    """A column's list of choices, each as by ``choice_text``.

    Raises:
        DataError: it is missing, no list, has fewer than two entries, or one that is no choice.
    """
    value = row.get(column)
    where = f"(column {column!r})"
    if value is None:
        raise DataError(f"the choices {where} are missing")
    if _has_labels(value):
        value = value["text"]
    if not isinstance(value, list | tuple):
        raise DataError(
            f"the choices {where} are not a list but {type(value).__name__}; where each choice has "
            "a column of its own, set task.choices to the list of these columns"
        )
    if len(value) < 2:
        raise DataError(f"the choices {where} are {len(value)}, and two or more are needed")
    found = []
    for index, entry in enumerate(value):
        try:
            found.append(choice_text({column: entry}, column, cleaning))
        except DataError as error:
            problem = str(error).partition(f"{where} ")[2]
            raise DataError(f"choice {index} {where} {problem}") from None
    return tuple(found)


def choice_labels(row: Mapping[str, object], column: str, count: int) -> tuple[str, ...] | None:
    """The labels of a column's choices, where it holds ``{text: a list, label: a list}``.

    Args:
        count: of choices.

    Raises:
        DataError: there are more or fewer labels, one is no label, or two are equal.
    """
    value = row.get(column)
    if not _has_labels(value):
        return None
    entries = value["label"]
    if not isinstance(entries, list | tuple) or len(entries) != count:
        raise DataError(f"the labels of the choices (column {column!r}) are not {count} in a list")
    labels = tuple(choice_text({column: entry}, column, (), key="label") for entry in entries)
    if len(set(labels)) < count:
        raise DataError(f"the labels of the choices (column {column!r}) hold one twice")
    return labels


def _has_labels(value: object) -> TypeGuard[Mapping[str, object]]:
    """As many sets on the hub have it."""
    return isinstance(value, Mapping) and set(value) == {"text", "label"}


def _is_number(value: object) -> bool:
    """Whether it is a finite number, and no boolean."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value)


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
