"""What tasks share that lay a row out by a template over its columns."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bakeoff.data.examples import Example
from bakeoff.data.layout import cut_tail
from bakeoff.data.options import TaskOptions
from bakeoff.data.shots import after_shots
from bakeoff.data.template import Template
from bakeoff.errors import ConfigError
from bakeoff.formatting import join
from bakeoff.tasks.contract import Row, Task
from bakeoff.tasks.texts import plain_text_of


@dataclass(frozen=True, kw_only=True)
class FromTemplateOptions(TaskOptions):
    """The options of every kind that lays a row out by a template."""

    cut: str | None = None
    """What gives way where a row is too long, as it stands in the template's braces; null takes
    the one that is longest on average in the training rows."""


class FromTemplate(Task):
    """Columns in, the template's last field out.

    A field is one of the kind's roles, whose column the option of that name gives, or a column of
    the data by its own name.

    Attributes:
        ends: whether an end-of-text token follows the answer.
    """

    ends: bool = True

    @property
    @abstractmethod
    def roles(self) -> tuple[str, ...]:
        """Options that name columns, and may stand in the template for them."""

    @property
    @abstractmethod
    def template(self) -> Template:
        """The study's, taken apart."""

    @property
    def cut_field(self) -> str:
        """The field that gives way where a row is too long: the study's, or the training rows'."""
        # A kind of an extension may have no such option: its first input gives way.
        return getattr(self.options, "cut", None) or self.inputs[0]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The fields that are read."""
        return self.template.fields[:-1]

    def found(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Which input is longest on average, where there are several and the study says nothing."""
        is_open = getattr(self.options, "cut", "") is None
        if not is_open or len(self.inputs) == 1:
            return {}
        lengths = {
            field: sum(len(self.input_of(row, field)) for row in rows) for field in self.inputs
        }
        return {"cut": max(lengths, key=lambda field: lengths[field])}

    def may_take(self, key: str, value: Any) -> bool:
        """What gives way must be an input of this template."""
        return key != "cut" or (len(self.inputs) > 1 and value in self.inputs)

    @abstractmethod
    def answers_of(self, row: Row) -> tuple[str, ...]:
        """Answers that count as right; the first is learnt.

        Raises:
            DataError: there is none.
        """

    @property
    def answer_field(self) -> str:
        """The field that is learnt."""
        return self.template.fields[-1]

    @property
    def column_keys(self) -> Mapping[str, str]:
        """The columns of the template, in its order."""
        return {key_of(field, self.roles): self.column_of(field) for field in self.template.fields}

    def column_of(self, field: str) -> str:
        """The column that a field of the template names."""
        return column_of(self.options, field, self.roles)

    def input_of(self, row: Row, field: str) -> str:
        """What a field before the answer's is filled with.

        Raises:
            DataError: the row has nothing of the kind.
        """
        column = self.column_of(field)
        what = field if field in self.roles else "value"
        return plain_text_of(row, column, what, self.options.cleaning, may_be_empty=True)

    def values_of(self, row: Row) -> dict[str, str]:
        """What all fields before the answer's are filled with.

        Raises:
            DataError: see ``input_of``.
        """
        return {field: self.input_of(row, field) for field in self.template.fields[:-1]}

    def details(self, answer: str | None) -> dict[str, Any]:
        """Further fields of the example; ``answer`` is None where it is not known."""
        return {}

    def shown(self, row: Row, prompt: str) -> str:
        """The input as a reader is shown it."""
        return prompt

    def answer_shown(self, choice: str) -> str:
        """The choice without what the template puts around it."""
        return self.template.value_of(choice).strip()

    def example(self, row: Row, shots: Sequence[Example] = ()) -> Example:
        """See ``Task.example``."""
        return after_shots(self._laid(row, self.values_of(row), self.answers_of(row)), shots)

    def prompt(self, row: Row, shots: Sequence[Example] = ()) -> Example:
        """See ``Task.prompt``."""
        return after_shots(self._laid(row, self.values_of(row), ()), shots)

    def _laid(self, row: Row, inputs: dict[str, str], answers: tuple[str, ...]) -> Example:
        answer = answers[0] if answers else None
        known = {} if answer is None else {self.answer_field: answer}
        filled = self.template.fill({**inputs, **known})
        prompt = filled.text[: filled.prompt_end]
        return Example(
            text=filled.text,
            # What follows the prompt is learnt: white space, the answer, and the template's end.
            target_spans=((filled.prompt_end, len(filled.text)),) if known else (),
            literal_spans=tuple(filled.spans[field] for field in (*inputs, *known)),
            prompt=prompt,
            cut_span=filled.spans[self.cut_field],
            references=answers,
            ends=self.ends,
            shown=self.shown(row, prompt),
            **self.details(answer),
        )

    def shorten(self, example: Example) -> Example | None:
        """Less of the data that gives way."""
        return cut_tail(example)


def column_of(options: Any, field: str, roles: Sequence[str]) -> str:
    """The column that a field of a template names: a role's, or its own name."""
    if field not in roles:
        return field
    column: str = getattr(options, field)
    return column


def key_of(field: str, roles: Sequence[str]) -> str:
    """How an error names the place of a field: an option of the task."""
    return field if field in roles else f"template's {{{field}}}"


def check_cut(cut: str | None, inputs: Sequence[str], path: str) -> None:
    """Raises ConfigError where what gives way is none of the template's inputs."""
    if cut is not None and cut not in inputs:
        raise ConfigError(
            f"{path}.cut is {cut!r}, which is none of {join([repr(i) for i in inputs])}: "
            f"it must stand in {path}.template before what is learnt. Name one of these, or "
            "leave it out."
        )


def check_fields(options: Any, template: Template, roles: Sequence[str], path: str) -> None:
    """Raises ConfigError where two fields of the template are one column."""
    seen: dict[str, str] = {}
    for field in template.fields:
        column = column_of(options, field, roles)
        if (other := seen.setdefault(column, field)) != field:
            raise ConfigError(
                f"{path}.template is {options.template!r}: {{{other}}} and {{{field}}} are both "
                f"the column {column!r}, and each column may stand there once. Remove one of them."
            )
