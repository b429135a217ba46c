"""Whether rows are texts with labels."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, Final

from bakeoff.data.columns import MOST_LABELS, Column, Table
from bakeoff.errors import DataError
from bakeoff.tasks.guess.guesses import (
    CERTAIN,
    FORCED,
    LIKELY,
    POSSIBLE,
    Guess,
    may_be_field,
    quoted,
    texts_of,
    unread_explanations,
    unread_gaps,
    without_explanations,
    without_gaps,
)
from bakeoff.tasks.role_names import DOCUMENT, LABEL, WEAK_LABEL, is_called

_MANY_COLUMNS: Final = 3
_WORDS_SHOWN: Final = 6
_NONE: Final = re.compile(r"-1(\.0*)?")


def guess_labels(table: Table) -> Guess | None:
    """See ``Task.guess``; a column of few short values, and one of texts or more.

    Raises:
        DataError: the column that is called a label cannot be one.
    """
    labels = sorted(table.label_like, key=_fitness, reverse=True)
    if not labels:
        _refuse_labels(table)
        return None
    label, others = labels[0], labels[1:]
    texts = list(table.prose)
    from_words = not texts
    if from_words:  # a few words each, and the same ones again and again
        texts = [c for c in others if c.shape == "text"]
        others = [c for c in others if c not in texts]
    if not texts:
        return None
    texts, explanations = without_explanations(texts)
    text = max(texts, key=lambda c: (is_called(c, DOCUMENT), c.chars))
    texts, gaps = without_gaps(texts, needed=text)
    beside = [c for c in texts if c is not text and may_be_field(c, ("text", "label"))][
        : _MANY_COLUMNS - 1
    ]
    texts = [c for c in texts if c is text or c in beside]
    strong, weak = is_called(label, LABEL), is_called(label, WEAK_LABEL)
    likelihood = LIKELY + 0.12 if strong else LIKELY if weak else POSSIBLE + 0.1
    if label.shape == "number" and not strong:
        likelihood -= 0.15
    if from_words:
        likelihood = FORCED + 0.2
    notes = [*unread_explanations(explanations, "label"), *unread_gaps(gaps)]
    if others:
        notes.append(
            f"The label could also be {quoted([c.name for c in others])}, which "
            f"{'holds' if len(others) == 1 else 'hold'} few values too"
        )
    words = sorted({value.strip() for value in label.texts})
    if label.shape == "number" and any(map(_NONE.fullmatch, words)):
        notes.append(
            f"{label.name!r} is -1 in some rows, which often says that a row has no label; here it "
            "is a label of its own. Take such rows out if it is none"
        )
    if alike := _alike(words):
        notes.append(
            f"{quoted(alike)} are labels of their own, and differ in capitals alone; write them "
            "alike where one is meant"
        )
    in_order = sorted(words, key=float) if label.shape == "number" else words
    shown = ", ".join(in_order[:_WORDS_SHOWN]) + (", ..." if len(words) > _WORDS_SHOWN else "")
    options: dict[str, Any] = {"text": text.name, "label": label.name}
    reasons = {
        "kind": f"{label.name!r} holds {label.distinct} different values in "
        f"{len(label.present):,} rows",
        "text": texts_of(text),
        "label": shown,
    }
    inputs = [c.name for c in texts]
    ends = "\n" if _runs_on(words) else ""
    if len(texts) > 1 or ends:
        fields = ["{text}" if c is text else f"{{{c.name}}}" for c in texts]
        options["template"] = "\n\n".join(fields) + "\n\nLabel: {label}" + ends
        reasons["template"] = (
            f"{quoted(inputs)} are all read; {text.name!r} gives way where a row is too long"
            if len(texts) > 1
            else "the line end after a label, as one label begins with another"
        )
    return Guess(
        kind="classify",
        options=options,
        likelihood=min(likelihood, CERTAIN),
        reasons=reasons,
        notes=tuple(notes),
    )


def _fitness(column: Column) -> float:
    score = 2.0 * is_called(column, LABEL) + 1.0 * is_called(column, WEAK_LABEL)
    # Of columns that say nothing by their names, words are labels rather than numbers.
    return score + 0.2 * (column.shape != "number") - 0.1 * (column.distinct > 100)


def _alike(words: list[str]) -> list[str]:
    """The first labels that differ in capitals alone."""
    groups: dict[str, list[str]] = {}
    for word in words:
        groups.setdefault(word.casefold(), []).append(word)
    return next((found for found in groups.values() if len(found) > 1), [])


def _runs_on(words: list[str]) -> bool:
    """Whether one label begins with another, so that it could never be chosen."""
    return any(b.startswith(a) for a, b in pairwise(words))


def _refuse_labels(table: Table) -> None:
    if not table.prose:
        return
    for column in table.columns:
        if column.names & LABEL != column.names or column.shape not in ("text", "number"):
            continue
        if column.is_constant:
            raise DataError(
                f"the column {column.name!r} holds {column.texts[0]!r} in all {table.num_rows} "
                "rows, so there is nothing to tell apart. Give rows with two labels or more; or, "
                "with --kind text, learn the texts alone"
            )
        if column.is_whole or (column.shape == "text" and column.words <= 2):
            raise DataError(
                f"the column {column.name!r} holds {column.distinct:,} different values in "
                f"{table.num_rows:,} rows: labels must come back, four times each on average, and "
                f"be at most {MOST_LABELS:,}. Give more rows or fewer labels; or, with --kind "
                "complete, learn to write the values"
            )
