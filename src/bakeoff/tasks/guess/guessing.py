"""Which kind of task data are for: every kind is asked what it makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from bakeoff.data.columns import Column, Table
from bakeoff.data.readers.fields import MARK
from bakeoff.errors import DataError
from bakeoff.tasks.guess.guesses import FORCED, Guess, quoted
from bakeoff.tasks.registry import task_kinds, task_type
from bakeoff.tasks.role_names import LABEL, is_called

_NAMED_FROM: Final = 0.3
_FIELDS_SHOWN: Final = 6
_ASKING: Final = frozenset({"user", "human", "customer", "client", "prompter"})
_ANSWERING: Final = frozenset({"assistant", "gpt", "bot", "agent", "ai", "model", "support"})
_SPEAKERS: Final = _ASKING | _ANSWERING | {"system", "tool", "function", "observation"}


@dataclass(frozen=True, kw_only=True)
class Guesses:
    """The best guess, and other kinds that the data would do for."""

    best: Guess
    others: tuple[Guess, ...] = ()


def guess_task(table: Table, kind: str | None = None) -> Guesses:
    """Asks every kind what it makes of a table.

    Args:
        table: of the data. kind: the only one to ask, where the user names it.

    Raises:
        ConfigError: there is no such kind.
        DataError: no kind can read the table, or the one that is named cannot.
    """
    kinds = task_kinds() if kind is None else (kind,)
    found = [task_type(name, where="--kind").guess(table) for name in kinds]
    guesses = sorted((g for g in found if g is not None), key=lambda g: -g.likelihood)
    if not guesses or (kind is None and guesses[0].likelihood <= FORCED):
        asked = "none of the kinds can" if kind is None else f"--kind {kind}: the kind cannot"
        raise DataError(
            f"{asked} be learnt from these columns ({table.described()}). There must be a "
            "column of texts, and what is to be learnt from them: labels, answers, summaries, "
            "messages; or texts alone. Give such data, or write the study yourself"
            + "".join(f". {note}" for note in _unread(table, None))
        )
    best, *others = guesses
    if notes := _unread(table, best):
        best = replace(best, notes=(*best.notes, *notes))
    return Guesses(best=best, others=tuple(g for g in others if g.likelihood >= _NAMED_FROM))


def _unread(table: Table, guess: Guess | None) -> list[str]:
    """What the columns hold that no kind reads as it is, and how it could be read."""
    used = " ".join(map(str, guess.options.values())) if guess is not None else ""
    notes = []
    for nested in (c.name for c in table.columns if c.shape == "object" and c.name not in used):
        fields = [c.name for c in table.columns if c.name.startswith(f"{nested}{MARK}")]
        named = f"; a study may name its fields: {quoted(fields[:_FIELDS_SHOWN])}" if fields else ""
        notes.append(f"{nested!r} holds objects, which are not read{named}")
    for column in (c for c in table.columns if c.shape == "list" and c.name not in used):
        if _holds_objects(column):
            notes.append(
                f"{column.name!r} holds lists of objects; write a row for each of them, with what "
                "it is part of beside it"
            )
        elif any(c.name not in used and _tags(column, c) for c in table.columns):
            notes.append(
                f"{column.name!r} holds a value for each piece of another list, as tags of words "
                "do; no kind learns tags. To have them written, join each list into one text"
            )
    for column in table.columns:
        if column.is_references and is_called(column, LABEL) and column.name not in used:
            notes.append(
                f"{column.name!r} holds lists of labels, and a row has one label here; to learn to "
                "write them all, make a column of them joined as one text, such as 'a, b'"
            )
        spoken = {text.strip().lower() for text in column.texts} if column.is_label_like else set()
        if spoken & _ASKING and spoken & _ANSWERING and spoken <= _SPEAKERS:
            notes.append(
                f"{column.name!r} names who speaks, so that a row is one turn of a talk; to teach "
                "answers, join the rows of each talk into one row with a list of messages "
                '({"role": ..., "content": ...})'
            )
    return notes


def _holds_objects(column: Column) -> bool:
    """Whether its lists hold objects, such as paragraphs with questions of their own."""
    items = _items(column)
    return bool(items) and all(isinstance(item, dict) for item in items)


def _tags(column: Column, other: Column) -> bool:
    """Whether its lists are as long as another column's, and of fewer different values."""
    if column is other or other.shape != "list":
        return False
    sizes = {
        (len(a), len(b))
        for a, b in zip(column.values, other.values, strict=True)
        if isinstance(a, Sequence) and isinstance(b, Sequence)
    }
    # Lists of one length in all rows are choices, or what belongs to them.
    if len(sizes) < 2 or any(a != b for a, b in sizes):
        return False
    return len(set(map(str, _items(column)))) < len(set(map(str, _items(other))))


def _items(column: Column) -> list[object]:
    return [item for value in column.present if isinstance(value, Sequence) for item in value]
