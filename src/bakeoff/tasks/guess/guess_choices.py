"""Whether rows are questions with choices of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from bakeoff.data.columns import Column, Table, folded
from bakeoff.tasks.guess.guesses import (
    CERTAIN,
    FORCED,
    Guess,
    may_be_field,
    quoted,
    texts_of,
    unread_gaps,
    without_gaps,
)
from bakeoff.tasks.right_choice import RULES, Answer, AnswerRule
from bakeoff.tasks.role_names import (
    ANSWER,
    CHOICE,
    DOCUMENT,
    INPUT,
    LABEL,
    QUESTION,
    first_called,
    is_called,
)
from bakeoff.tasks.texts import choices_in, whole_number

_MOST_OF: Final = 0.95
_LAST: Final = re.compile(r"(.*?)[\W_]*([a-h]|\d)")
_FEWEST, _MOST = 2, 10
_UNLIKELY: Final = FORCED + 0.15
"""Below every guess that a column of labels makes."""


def guess_choices(table: Table) -> Guess | None:
    """See ``Task.guess``; lists, or columns in a row, of which another column names one."""
    for choices in _choices(table.columns):
        names = {c.name for c in choices}
        rest = [c for c in table.columns if c.name not in names]
        lists = _lists(choices)
        if not _differ(lists):
            continue
        fitting = [(c, rule) for c in rest if (rule := _rule(c, lists)) is not None]
        fitting.sort(key=lambda found: not is_called(found[0], ANSWER | LABEL))
        texts = tuple(c for c in rest if c.shape == "text" and not c.is_constant)
        for answer, rule in fitting:
            asked = tuple(c for c in texts if c is not answer and not c.is_reference)
            question = first_called(asked, QUESTION) or first_called(asked, INPUT)
            question = question or max(asked, key=lambda c: c.chars, default=None)
            if question is not None:
                others = [c for c, _ in fitting if c is not answer]
                prose = [c for c in asked if c.is_prose and c is not question]
                # By their names alone: others, as an explanation, may say which choice is right.
                read = [
                    c
                    for c in prose
                    if is_called(c, DOCUMENT | INPUT) and may_be_field(c, ("question", "answer"))
                ]
                read, gaps = without_gaps(read)
                found = _guess(question, choices, answer, rule, lists, others, read)
                found = replace(found, notes=(*found.notes, *unread_gaps(gaps)))
                return (
                    found if _are_choices(choices, rule) else replace(found, likelihood=_UNLIKELY)
                )
    return None


def _guess(
    question: Column,
    choices: Sequence[Column],
    answer: Column,
    rule: AnswerRule,
    lists: Sequence[Any],
    others: Sequence[Column],
    read: Sequence[Column],
) -> Guess:
    is_list = len(choices) == 1
    sizes = {len(found[0]) for found in lists if found is not None}
    count = f"{min(sizes)}" if len(sizes) == 1 else f"{min(sizes)} to {max(sizes)}"
    notes = []
    if others:
        notes.append(f"The answer could also be {quoted([c.name for c in others])}")
    counted = {whole_number(str(value).strip()) for value in answer.present}
    if rule in ("index", "number") and 0 not in counted and max(sizes) not in counted:
        notes.append(
            "No answer is 0 and none is the last number, so they may count from 0 or from 1; "
            "look at task.answer_is"
        )
    options: dict[str, Any] = {
        "question": question.name,
        "choices": choices[0].name if is_list else [c.name for c in choices],
        "answer": answer.name,
        "answer_is": rule,
    }
    reasons = {
        "kind": f"{answer.name!r} names one of the {count} choices of its row",
        "question": texts_of(question),
        "choices": "lists of texts" if is_list else "a column for each",
        "answer_is": RULES[rule],
    }
    if read:
        options["template"] = (
            "".join(f"{{{c.name}}}\n\n" for c in read) + "Question: {question}\nAnswer: {answer}"
        )
        names = quoted([*(c.name for c in read), question.name])
        reasons["template"] = f"{names} are all read"
    return Guess(
        kind="choose",
        options=options,
        likelihood=CERTAIN + 0.02,
        reasons=reasons,
        notes=tuple(notes),
    )


def _choices(columns: Sequence[Column]) -> Iterator[list[Column]]:
    """Columns that may hold choices: one of lists, or several whose names count."""
    for column in columns:
        if column.shape in ("list", "object") or column.share(_is_list) >= _MOST_OF:
            yield [column]
    families: dict[str, list[Column]] = {}
    # What is called as choices are goes before what is merely numbered.
    for column in columns:
        found = _LAST.fullmatch(folded(column.name))
        if found and column.shape not in ("list", "object", "empty"):
            families.setdefault(found[1], []).append(column)
    for family in sorted(families.values(), key=lambda family: not _are_called_choices(family)):
        is_readable = _are_called_choices(family) or all(c.shape == "text" for c in family)
        if is_readable and _FEWEST <= len(family) <= _MOST:
            yield sorted(family, key=lambda c: folded(c.name))


def _are_called_choices(family: Sequence[Column]) -> bool:
    """Whether columns are called ``a`` to ``h``, or after choices or answers."""
    found = _LAST.fullmatch(folded(family[0].name))
    if found is None:
        return False
    called = Column(name=found[1], values=[])
    return is_called(called, CHOICE) or (not found[1] and not found[2].isdigit())


def _are_choices(columns: Sequence[Column], rule: AnswerRule) -> bool:
    """Whether nothing else is meant: numbered columns with a number beside them may be anything."""
    if len(columns) == 1 or _are_called_choices(columns):
        return True
    return rule in ("letter", "text") and all(c.is_prose for c in columns)


def _differ(lists: Sequence[Choices | None]) -> bool:
    """Whether the choices of nearly each row differ from each other, as those of one question do.

    Those that several annotators gave, or the words of a sentence, are often equal.
    """
    found = [choices for choices, _ in filter(None, lists)]
    return sum(len(set(one)) == len(one) for one in found) >= _MOST_OF * len(found)


Choices = tuple[tuple[str, ...], tuple[str, ...] | None]


def _lists(columns: Sequence[Column]) -> list[Choices | None]:
    """Each row's choices with their labels; None where it has none."""
    if len(columns) > 1:
        rows = zip(*(c.values for c in columns), strict=True)
        return [_choices_of(list(row)) for row in rows]
    return [_choices_of(value) for value in columns[0].values]


def _choices_of(value: Any) -> Choices | None:
    value, given = choices_in(value)
    if given is not None and not isinstance(given, list | tuple):
        return None
    labels = None if given is None else tuple(str(label).strip() for label in given)
    if not isinstance(value, list | tuple) or len(value) < _FEWEST:
        return None
    if not all(isinstance(one, str | int | float) for one in value):
        return None
    return tuple(str(one).strip() for one in value), labels


def _is_list(text: str) -> bool:
    """Whether a text spells a list of choices, as CSV files have it."""
    return _choices_of(text) is not None


def _rule(column: Column, lists: Sequence[Choices | None]) -> AnswerRule | None:
    """By which rule the column names a choice in nearly all rows."""
    if column.shape not in ("text", "number", "boolean"):
        return None
    answers = [
        Answer(value=str(value).strip(), text=str(value).strip(), choices=found[0], labels=found[1])
        for value, found in zip(column.values, lists, strict=True)
        if value is not None and found is not None
    ]
    if len(answers) < max(2, 0.5 * len(lists)):
        return None
    rules: tuple[AnswerRule, ...] = ("label", "text", "index", "number", "letter")
    shares = {
        rule: sum(answer.place(rule) is not None for answer in answers) / len(answers)
        for rule in rules
    }
    fitting = [rule for rule in rules if shares[rule] >= _MOST_OF]
    if "index" in fitting and "number" in fitting:
        # Both fit only where neither 0 nor the last number is there, or nearly never.
        return "index" if shares["index"] >= shares["number"] else "number"
    return fitting[0] if fitting else None
