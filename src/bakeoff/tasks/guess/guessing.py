"""Which kind of task data are for: every kind is asked what it makes of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bakeoff.data.columns import Column, Table
from bakeoff.data.readers.fields import MARK, root_of
from bakeoff.data.sources import ALIASES
from bakeoff.errors import DataError
from bakeoff.formatting import join
from bakeoff.tasks.guess.guesses import FORCED, Guess, quoted, unread
from bakeoff.tasks.registry import read_task, task_kinds, task_type
from bakeoff.tasks.role_names import (
    ANSWER,
    CHOSEN,
    LABEL,
    REFERENCES,
    REJECTED,
    first_called,
    is_called,
)
from bakeoff.types import SPLITS

_NAMED_FROM: Final = 0.3
_FIELDS_SHOWN: Final = 6
_ASKING: Final = frozenset({"user", "human", "customer", "client", "prompter"})
_ANSWERING: Final = frozenset({"assistant", "gpt", "bot", "agent", "ai", "model", "support"})
_TRAINING: Final = frozenset({*ALIASES["train"], "training"})
_TESTING: Final = frozenset({*ALIASES["validation"], *ALIASES["test"], "eval", "unsupervised"})
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
    table, aside = _apart(table)
    found = [task_type(name, where="--kind").guess(table) for name in kinds]
    guesses = sorted((g for g in found if g is not None), key=lambda g: -g.likelihood)
    if not guesses or (kind is None and guesses[0].likelihood <= FORCED):
        asked = "none of the kinds can" if kind is None else f"--kind {kind}: the kind cannot"
        raise DataError(
            f"{asked} be learnt from these columns ({table.described()}). There must be a "
            "column of texts, and what is to be learnt from them: labels, answers, summaries, "
            "messages; or texts alone. Give such data, or write the study yourself"
            + "".join(f". {note}" for note in [*aside, *_unread(table, (), aside)])
        )
    best, *others = guesses
    notes = [*best.notes, *aside]
    notes += _unread(table, _columns_of(best), notes)
    best = replace(best, notes=tuple(notes))
    return Guesses(best=best, others=tuple(g for g in others if g.likelihood >= _NAMED_FROM))


def _apart(table: Table) -> tuple[Table, list[str]]:
    """(the table without columns that no kind may take for what is read or learnt, why so)."""
    notes = []
    chosen = first_called(table.columns, CHOSEN)
    rejected = [c.name for c in table.columns if chosen and is_called(c, REJECTED)]
    if chosen is not None and rejected:
        notes.append(
            f"{unread(rejected)}, as no kind learns from what was rejected; {chosen.name!r} can be "
            "learnt alone"
        )
    splits = [c.name for c in table.columns if _names_splits(c)]
    if splits:
        notes.append(
            f"{unread(splits)}, as the values name splits; to split rows by them, write a file for "
            f"each ({join(SPLITS)})"
        )
    left = {*rejected, *splits}
    columns = tuple(c for c in table.columns if not _is_part(c.name, left))
    return Table(columns=columns, num_rows=table.num_rows), notes


def _names_splits(column: Column) -> bool:
    """Whether its values are names of splits."""
    found = {text.strip().lower() for text in column.texts} if column.is_label_like else set()
    return bool(found & _TRAINING) and found <= _TRAINING | _TESTING


def _columns_of(guess: Guess) -> set[str]:
    """The columns that a guess reads or learns."""
    return set(read_task({**guess.options, "kind": guess.kind, "source": "-"}).columns)


def _is_part(name: str, columns: Collection[str]) -> bool:
    """Whether a column is one of these, or a field of one."""
    return root_of(name, columns) is not None


def _unread(table: Table, used: Collection[str], said: Sequence[str]) -> list[str]:
    """What is in columns that are not read, and how they could be read.

    Args:
        table: of the data. used: columns that are read. said: notes that name columns already.
    """
    left = [
        c
        for c in table.columns
        if not (_is_part(c.name, used) or any(_is_part(name, {c.name}) for name in used))
        and not any(repr(c.name) in note for note in said)
    ]
    notes = [f"{c.name!r} {found}" for c in left if (found := _why_unread(table, c))]
    notes += [_turns(c.name) for c in table.columns if _names_speakers(c)]
    if not used:
        return notes
    # What is the same in all rows, a key or a date has nothing to read.
    rest = [
        c
        for c in left
        if c.shape != "empty"
        and not (c.is_constant or c.is_reference)
        and not any(repr(c.name) in note for note in notes)
        and root_of(c.name.rpartition(MARK)[0], {c.name for c in table.columns}) is None
    ]
    for is_list in (False, True):
        names = [c.name for c in rest if (c.shape == "list") is is_list]
        if names:
            remedy = "; to have lists read, join each into one text" if is_list else ""
            notes.append(f"{unread(names)}{remedy}")
    return notes


def _why_unread(table: Table, column: Column) -> str | None:
    """What a column holds that no kind reads as it is; None where it is nothing of the kind."""
    if column.holds_bytes:
        return (
            "holds bytes that are no text in UTF-8, which are not read; to have them read, write "
            "them as texts"
        )
    if column.shape == "object":
        fields = [c.name for c in table.columns if c.name.startswith(f"{column.name}{MARK}")]
        named = f"; a study may name its fields: {quoted(fields[:_FIELDS_SHOWN])}" if fields else ""
        return f"holds objects, which are not read{named}"
    if column.shape == "list" and _holds_objects(column):
        return (
            "holds lists of objects; write a row for each of them, with what it is part of beside "
            "it; or, to have each list read or written whole, write it as one text of JSON"
        )
    if column.shape == "list" and any(_tags(column, c) for c in table.columns):
        return (
            "holds a value for each piece of another list, as tags of words do; no kind learns "
            "tags. To have them written, join each list into one text"
        )
    if column.is_references and is_called(column, LABEL):
        return (
            "holds lists of labels, and a row has one label here; to learn to write them all, make "
            "a column of them joined as one text, such as 'a, b'"
        )
    if column.is_references and is_called(column, ANSWER | REFERENCES):
        return (
            "holds lists of answers, which are not read; as task.completion or task.target the "
            "first of each is learnt, and all count as right"
        )
    return None


def _names_speakers(column: Column) -> bool:
    """Whether its values say who speaks."""
    spoken = {text.strip().lower() for text in column.texts} if column.is_label_like else set()
    return bool(spoken & _ASKING and spoken & _ANSWERING and spoken <= _SPEAKERS)


def _turns(name: str) -> str:
    return (
        f"{name!r} names who speaks, so that a row is one turn of a talk; to teach answers, join "
        "the rows of each talk into one row with a list of messages "
        '({"role": ..., "content": ...})'
    )


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
