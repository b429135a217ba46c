"""Texts out of rows, cleaned and checked."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

from bakeoff.data.cleaning import clean, clean_inside, is_blank
from bakeoff.data.columns import parsed_list
from bakeoff.data.options import CleaningStep
from bakeoff.data.rows import text_problem
from bakeoff.errors import DataError

_COUNT: Final = re.compile(r"(\d{1,9})(\.0*)?")


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


def plain_text_of(
    row: Mapping[str, object],
    column: str,
    what: str,
    cleaning: tuple[CleaningStep, ...],
    *,
    may_be_empty: bool = False,
) -> str:
    """A column's text, number or boolean as a text; white space at its ends stays.

    Args:
        row: values by column. what: what the row has there, for the error.
        may_be_empty: whether a text without letters will do.

    Raises:
        DataError: it is missing, nested, empty, or no text.
    """
    return _plain_text(row.get(column), column, what, cleaning, may_be_empty)


def plain_texts_of(
    row: Mapping[str, object], column: str, what: str, cleaning: tuple[CleaningStep, ...]
) -> tuple[str, ...]:
    """A column's texts: a list of them, or one.

    Args:
        row, column, what: as for ``plain_text_of``.

    Raises:
        DataError: one of them is missing, nested, empty, or no text; or there is none.
    """
    value = row.get(column)
    if not isinstance(value, list | tuple):
        return (_plain_text(value, column, what, cleaning, False),)
    if not value:
        raise DataError(f"the {what} (column {column!r}) is an empty list")
    return tuple(
        _plain_text(one, column, f"{what} {number} of {len(value)}", cleaning, False)
        for number, one in enumerate(value, start=1)
    )


def _plain_text(
    value: object, column: str, what: str, cleaning: tuple[CleaningStep, ...], may_be_empty: bool
) -> str:
    try:
        text = _as_text(value)
    except ValueError:  # an integer of more digits than Python writes
        raise DataError(f"the {what} (column {column!r}) is a number of too many digits") from None
    problem = text_problem(text)
    if problem == "is empty" and may_be_empty:
        problem = None
    if problem is None and isinstance(text, str):
        cleaned = clean_inside(text, cleaning)
        if may_be_empty or not is_blank(cleaned):
            return cleaned
        problem = "is empty after task.cleaning"
    raise DataError(f"the {what} (column {column!r}) {problem}")


def _as_text(value: object) -> object:
    """Numbers and booleans as texts; NaN is how tables say that a value is missing."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and math.isnan(value):
        return None
    return str(value) if isinstance(value, int | float) else value


def label_of(row: Mapping[str, object], column: str) -> tuple[str, int]:
    """A column's label as a word, and as a number; -1 where it is none.

    Raises:
        DataError: it is missing, no label, or empty.
    """
    value = row.get(column)
    if isinstance(value, float) and value.is_integer():
        # Tables write whole numbers so as soon as one of them is missing.
        value = int(value)
    if isinstance(value, int):  # as booleans are
        return str(value).lower(), int(value)
    word = text_of(row, "label", column, ()).strip()
    number = whole_number(word)  # a CSV file's numbers are texts
    return word, -1 if number is None else number


def whole_number(text: str) -> int | None:
    """The number that a text spells, also as ``2.0``, as tables do once one is missing; else None.

    Of up to nine digits, as nothing that is counted has more.
    """
    found = _COUNT.fullmatch(text)
    return int(found[1]) if found else None


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
    value, _ = choices_in(value)
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
    """The labels of a column's choices, where it gives them some; see ``choices_in``.

    Args:
        count: of choices.

    Raises:
        DataError: there are more or fewer labels, one is no label, or two are equal.
    """
    _, entries = choices_in(row.get(column))
    if entries is None:
        return None
    if not isinstance(entries, list | tuple) or len(entries) != count:
        raise DataError(f"the labels of the choices (column {column!r}) are not {count} in a list")
    labels = tuple(choice_text({column: entry}, column, (), key="label") for entry in entries)
    if len(set(labels)) < count:
        raise DataError(f"the labels of the choices (column {column!r}) hold one twice")
    return labels


def choices_in(value: object) -> tuple[object, object | None]:
    """(the list of choices that a value holds, the list of their labels; None without any).

    Choices are a list; ``{text: a list, label: a list}`` or a list of ``{text, label}``, as many
    sets on the hub have them; or any of these spelt as a text, as CSV files have them. What is
    none of it comes back as it is.
    """
    if isinstance(value, str):
        found = parsed_list(value)
        value = value if found is None else found
    if isinstance(value, Mapping) and set(value) == {"text", "label"}:
        return value["text"], () if value["label"] is None else value["label"]
    if (
        isinstance(value, list | tuple)
        and value
        and all(isinstance(one, Mapping) and {"text", "label"} <= set(one) for one in value)
    ):
        return [one["text"] for one in value], [one["label"] for one in value]
    return value, None


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
    elif is_blank(str(value)):
        problem = "is empty"  # as in all such rows, which do not hang together by it
    else:
        return str(value)
    raise DataError(f"the group (column {column!r}) {problem}")
