"""What a kind of task makes of data that no one has described yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bakeoff.data.columns import Column
from bakeoff.formatting import counted, join, shown_share
from bakeoff.tasks.role_names import explains

CERTAIN: Final = 0.95
"""The data have the kind's own form."""
LIKELY: Final = 0.8
"""Names and contents agree."""
POSSIBLE: Final = 0.5
"""Contents alone, or names alone."""
FORCED: Final = 0.2
"""It can be read so where the user asks for it."""
_NAMES_SHOWN: Final = 6
_MANY_GAPS: Final = 0.2
"""What few rows lack is worth more than these rows; what many lack would cost most of the data."""


@dataclass(frozen=True, kw_only=True)
class Guess:
    """How a kind would read a table.

    Attributes:
        kind: whose. options: keys of the task section, without ``kind`` and ``source``.
        likelihood: from 0 to 1, to be compared with other kinds'; see ``CERTAIN`` and the like.
        reasons: by key (``kind`` too), why it was chosen: a sentence without its full stop.
        notes: what else could have been meant, as sentences.
        plain_template: the layout where the base has no chat template; None is the kind's own.
    """

    kind: str
    options: Mapping[str, Any]
    likelihood: float
    reasons: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    plain_template: str | None = None


def may_be_field(column: Column, roles: Sequence[str]) -> bool:
    """Whether a template can name the column; the names of the kind's own fields come first."""
    return not set("{}") & set(column.name) and column.name not in roles


def without_explanations(columns: Sequence[Column]) -> tuple[list[Column], list[Column]]:
    """(columns that may be read, those that explain an answer); all may be where all explain."""
    read = [c for c in columns if not explains(c)]
    return (read, [c for c in columns if explains(c)]) if read else (list(columns), [])


def unread_explanations(columns: Sequence[Column], answer: str) -> list[str]:
    """That columns are not read, and why, if there are any.

    Args:
        answer: what a row's answer is called.
    """
    if not columns:
        return []
    they = "it" if len(columns) == 1 else "they"
    return [f"{unread([c.name for c in columns])}, as {they} may give the {answer} away"]


def without_gaps(
    columns: Sequence[Column], needed: Column | None = None
) -> tuple[list[Column], list[Column]]:
    """(columns that may be read together, those that too many rows lack: a row needs all of them).

    Args:
        needed: the one that says what is asked, which is read whatever rows lack it.
    """
    read = [c for c in columns if c is needed or c.gaps <= _MANY_GAPS]
    return read, [c for c in columns if c not in read]


def unread_gaps(columns: Sequence[Column]) -> list[str]:
    """That columns are not read, and why, if there are any."""
    if not columns:
        return []
    it, share = "it" if len(columns) == 1 else "them", shown_share(max(c.gaps for c in columns))
    return [
        f"{unread([c.name for c in columns])}, as rows without {it} would be left out ({share} of "
        f"all); to have {it} read, write an empty text where there is nothing, as an empty cell of "
        "CSV is"
    ]


def quoted(names: Sequence[str]) -> str:
    """Names of columns in a sentence."""
    return join([repr(name) for name in names])


def shown_words(column: Column) -> str:
    """Words of a value on average: ``1 word``, ``12 words``."""
    return counted(round(column.words), "word", "words")


def texts_of(column: Column) -> str:
    """What a column of texts holds."""
    return f"texts of {shown_words(column)}"


def unread(names: Sequence[str]) -> str:
    """That columns are not read, as a sentence without its full stop; of many the first ones."""
    more = len(names) - _NAMES_SHOWN
    shown = quoted(names) if more <= 1 else f"{', '.join(map(repr, names[:_NAMES_SHOWN]))} and "
    shown += f"{more} more columns" if more > 1 else ""
    return f"{shown} {'is' if len(names) == 1 else 'are'} not read"
