"""A question in, one of the row's own choices out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from bakeoff.data.cleaning import clean
from bakeoff.data.columns import Table
from bakeoff.data.examples import Example
from bakeoff.errors import ConfigError, DataError
from bakeoff.formatting import join
from bakeoff.tasks.contract import ZERO_SHOT, Baseline, Row
from bakeoff.tasks.from_template import FromTemplateOptions
from bakeoff.tasks.guess.guess_choices import guess_choices
from bakeoff.tasks.guess.guesses import Guess
from bakeoff.tasks.random_choice import random_baseline
from bakeoff.tasks.right_choice import RULES, Answer, found_rule
from bakeoff.tasks.starting import LABELS
from bakeoff.tasks.texts import choice_labels, choice_text, choice_texts
from bakeoff.tasks.two_columns import TwoColumns, check_columns


@dataclass(frozen=True, kw_only=True)
class ChooseOptions(FromTemplateOptions):
    """The options of ``choose``."""

    kind: str = "choose"
    """A question in, one of the row's own choices out."""

    question: str = "question"
    """The column with the question; where it is what gives way, its beginning does."""

    choices: str | tuple[str, ...] = "choices"
    """The column with the list of choices, with {text: a list, label: a list} or a list of {text,
    label}, each also spelt as a text; or a column for each: [a, b, c, d]."""

    answer: str = "answer"
    """The column with the right choice."""

    answer_is: Literal["index", "number", "letter", "label", "text"] | None = None
    """What the answer's column holds: the choice's index from 0, its number from 1, its letter
    (A, B, ...), the label that the row gives it, or its text. null takes what fits all training
    rows: label where choices have some, else index, letter or text."""

    template: str = "Question: {question}\nAnswer: {answer}"
    """The layout of one example: {question} once, then {answer}, the choice, once; before it also
    other columns of the data, such as a passage, by their names in braces. {{ and }} are braces."""

    max_target_tokens: int = 64
    """Tokens kept free for a choice; none may have more."""

    def validate(self, path: str = "task") -> None:
        """See ``TaskOptions.validate``."""
        check_columns(self, "question", "answer", path)
        columns = [self.choices] if isinstance(self.choices, str) else list(self.choices)
        if not all(columns):
            raise ConfigError(
                f"{path}.choices is {self.choices!r}: it must name a column with a list, or two "
                f"columns or more. Set {path}.choices."
            )
        if not isinstance(self.choices, str) and len(set(columns)) < max(2, len(columns)):
            raise ConfigError(
                f"{path}.choices is {columns}: it must name two columns or more, each once. Add "
                "one, or give the name of one column that holds a list."
            )
        for key in ("question", "answer"):
            if (column := getattr(self, key)) in columns:
                raise ConfigError(
                    f"{path}.{key} and {path}.choices are both {column!r}: they must be different "
                    f"columns. Correct one of them."
                )
        super().validate(path)


class Choose(TwoColumns):
    """A question in, one of the row's own choices out."""

    kind = "choose"
    options_type = ChooseOptions
    starting = LABELS
    input_key = input_word = "question"
    answer_key = "answer"
    output_word = "choice"
    has_free_answers = False
    ends = False  # end-of-text is no part of a choice's likelihood
    options: ChooseOptions

    @classmethod
    def guess(cls, table: Table) -> Guess | None:
        """See ``Task.guess``."""
        return guess_choices(table)

    @property
    def column_keys(self) -> Mapping[str, str]:
        """The question, the template's other columns, each column with choices, the answer."""
        options, found = self.options, dict(super().column_keys)
        if isinstance(options.choices, str):
            choices = {"choices": options.choices}
        else:
            choices = {f"choices[{i}]": column for i, column in enumerate(options.choices)}
        answer = found.pop("answer")
        return {**found, **choices, "answer": answer}

    def found(self, rows: Sequence[Row]) -> dict[str, Any]:
        """What the answer's column holds, where the study does not say it."""
        found = super().found(rows)
        if self.options.answer_is is not None:
            return found
        answers = [self._answer(row, self._choices(row)) for row in rows]
        return {**found, "answer_is": found_rule(answers, self.options.answer)}

    def warnings(self, train: Sequence[Example]) -> list[str]:
        """By which rule answers are read, where the training rows decided it."""
        rule = self.options.answer_is
        if rule is None or "answer_is" not in self.from_rows:
            return []
        return [
            f"task.answer_is was found to be {rule} ({RULES[rule]}), as all {len(train)} training "
            "rows fit it."
        ]

    def answer_of(self, row: Row) -> str:
        """The right choice."""
        choices = self._choices(row)
        answer = self._answer(row, choices)
        return choices[answer.place_or_error(self.options.answer_is, self.options.answer)]

    def _laid(self, row: Row, inputs: dict[str, str], answers: tuple[str, ...]) -> Example:
        laid, choices = super()._laid(row, inputs, answers), self._choices(row)
        return replace(
            laid,
            choices=tuple(self.template.answer(choice) for choice in choices),
            gold=choices.index(answers[0]) if answers else None,
            # What is asked stands at the end of a long question; of a text before it the end goes.
            cut_start=self.cut_field == self.input_key,
            shown="\n".join([laid.shown, *(f"- {choice}" for choice in choices)]),
        )

    def _choices(self, row: Row) -> tuple[str, ...]:
        """A row's choices, cleaned.

        Raises:
            DataError: there are fewer than two, or one is nested, missing, empty or there twice.
        """
        columns = self.options.choices
        if isinstance(columns, str):
            found = choice_texts(row, columns, self.options.cleaning)
        else:
            found = tuple(choice_text(row, column, self.options.cleaning) for column in columns)
        if len(set(found)) < len(found):
            twice = next(choice for choice in found if found.count(choice) > 1)
            place = (
                f"column {columns!r}" if isinstance(columns, str) else f"columns {join(columns)}"
            )
            raise DataError(
                f"the choices ({place}) hold {twice!r} twice, so that none is the right one alone"
            )
        return found

    def _answer(self, row: Row, choices: tuple[str, ...]) -> Answer:
        column = self.options.answer
        value = choice_text(row, column, (), key="answer")
        return Answer(
            value=value,
            text=clean(value, self.options.cleaning).strip(),
            choices=choices,
            labels=self._labels(row, choices),
        )

    def _labels(self, row: Row, choices: tuple[str, ...]) -> tuple[str, ...] | None:
        columns = self.options.choices
        return choice_labels(row, columns, len(choices)) if isinstance(columns, str) else None

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Accuracy decides."""
        return ("accuracy", "accuracy_norm", "nll")

    @property
    def baselines(self) -> tuple[Baseline, ...]:
        """A choice at random, and the untuned base."""
        return (random_baseline(self.options.seed), ZERO_SHOT)
