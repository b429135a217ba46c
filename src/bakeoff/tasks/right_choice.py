"""Which of a row's choices its answer means: by index, number, letter, label or text.

The same value may mean different choices: "1" is the second one as an index, the first one as a
number, and perhaps the text of a third. So one rule holds for a whole data set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from bakeoff.errors import DataError
from bakeoff.formatting import join
from bakeoff.tasks.texts import whole_number

AnswerRule = Literal["index", "number", "letter", "label", "text"]
RULES: Final[Mapping[AnswerRule, str]] = {
    "index": "counted from 0",
    "number": "counted from 1",
    "letter": "from A on",
    "label": "one of those beside the choices",
    "text": "one of the choices",
}
"""What an answer may be, with words for messages."""

_FOUND: Final[tuple[AnswerRule, ...]] = ("index", "letter", "text")
"""Rules that rows without labels may decide; that numbers count from 1 is not taken for granted."""
_OF_LABELS: Final = "label"

_UNLIKELY: Final = 1e-3


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A row's answer as found, with the choices that it is one of.

    Attributes:
        value: for messages. text: to compare with ``choices``, cleaned as they are.
        choices: [M]. labels: [M] of the choices, where the row gives any.
    """

    value: str
    text: str
    choices: tuple[str, ...]
    labels: tuple[str, ...] | None = None

    def place(self, rule: AnswerRule) -> int | None:
        """The index of the choice that it means by a rule; None where it means none."""
        found = -1
        value = self.value
        if rule == "text":
            found = self.choices.index(self.text) if self.text in self.choices else -1
        elif rule == "label":
            labels = self.labels or ()
            found = labels.index(value) if value in labels else -1
        elif rule == "letter":
            found = ord(value.upper()) - ord("A") if len(value) == 1 and value.isascii() else -1
        elif value.isascii() and (number := whole_number(value)) is not None:
            found = number - (rule == "number")
        return found if 0 <= found < len(self.choices) else None

    def place_or_error(self, rule: AnswerRule | None, column: str) -> int:
        """As ``place``; without a rule, by any that is ever found, so that a bad row is seen.

        Raises:
            DataError: it means none.
        """
        rules = self.rules if rule is None else (rule,)
        for one in rules:
            if (place := self.place(one)) is not None:
                return place
        by_number = rule in (None, "index") and self.place("number") is not None
        hint = "; where numbers count from 1, set task.answer_is to number" if by_number else ""
        raise DataError(
            f"the answer (column {column!r}) is {self.value!r}, which is not "
            f"{join([self._named(one) for one in rules], 'or')}{hint}"
        )

    @property
    def rules(self) -> tuple[AnswerRule, ...]:
        """Those that rows may decide; where choices have labels, nothing else is meant."""
        return _FOUND if self.labels is None else (_OF_LABELS,)

    def _named(self, rule: AnswerRule) -> str:
        last = len(self.choices) - 1
        labels = join([repr(label) for label in self.labels or ()], "or")
        return {
            "index": f"an index from 0 to {last}",
            "number": f"a number from 1 to {last + 1}",
            "letter": f"a letter from A to {chr(ord('A') + min(last, 25))}",
            "label": f"one of the labels {labels}" if labels else "a label, as there are none",
            "text": "the text of one of its choices",
        }[rule]


def found_rule(answers: Sequence[Answer], column: str) -> AnswerRule:
    """The rule that fits the answers of all training rows.

    Args:
        answers: each means a choice by some rule. column: theirs, for messages.

    Raises:
        DataError: no rule fits all, several do and disagree, or the only one is in doubt.
    """
    places: dict[AnswerRule, list[int | None]] = {
        rule: [answer.place(rule) if rule in answer.rules else None for answer in answers]
        for rule in (*_FOUND, _OF_LABELS)
    }
    fitting = [rule for rule in places if None not in places[rule]]
    head = f"task.answer_is cannot be found from the training rows (column {column!r}): "
    if not fitting:
        raise DataError(f"{head}{_mixture(answers, places)}")
    first = fitting[0]
    for other in fitting[1:]:
        for answer, one, another in zip(answers, places[first], places[other], strict=True):
            if one != another:
                raise DataError(
                    f"{head}all fit {first} ({RULES[first]}) as well as {other} ({RULES[other]}), "
                    f"and {answer.value!r} means {answer.choices[one or 0]!r} by the former but "
                    f"{answer.choices[another or 0]!r} by the latter. Set task.answer_is to "
                    f"{first} or {other}."
                )
    if first == "index" and 0 not in places[first]:
        # How likely that is where the right choice has no preferred place.
        chance = math.exp(sum(math.log1p(-1 / len(answer.choices)) for answer in answers))
        if chance < _UNLIKELY:
            raise DataError(
                f"{head}none of the {len(answers)} answers is 0, so they may count from 1. Set "
                "task.answer_is to number if they do, else to index."
            )
    return first


def _mixture(answers: Sequence[Answer], places: Mapping[AnswerRule, Sequence[int | None]]) -> str:
    """What is there in place of one rule, with its remedy."""
    found, rules = [], []
    for rule, places_N in places.items():
        fitting = [a.value for a, place in zip(answers, places_N, strict=True) if place is not None]
        if fitting:
            rules.append(str(rule))
            found.append(f"{len(fitting)} fit {rule} (such as {fitting[0]!r})")
    return (
        f"of {len(answers)} answers {join(found)}, and no rule fits all. Write all in one way, or "
        f"set task.answer_is to {join(rules, 'or')} and task.on_bad_row to skip, which leaves the "
        "others out."
    )
