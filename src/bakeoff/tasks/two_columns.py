"""What tasks share that read one column and learn to write another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from bakeoff.data.examples import Example
from bakeoff.data.layout import cut_tail
from bakeoff.data.options import TaskOptions
from bakeoff.data.template import Filled, Template
from bakeoff.errors import ConfigError
from bakeoff.tasks.contract import Row, Task
from bakeoff.tasks.texts import text_of


class TwoColumns(Task):
    """An input column and an answer's, laid out by a template.

    The options name both columns under these keys, and have a ``template``.

    Attributes:
        input_key, answer_key: options that name the columns, and the template's fields.
        ends: whether an end-of-text token follows the answer.
    """

    input_key: ClassVar[str]
    answer_key: ClassVar[str]
    ends: bool = True

    @property
    def column_keys(self) -> Mapping[str, str]:
        """Two columns."""
        return {key: getattr(self.options, key) for key in (self.input_key, self.answer_key)}

    @cached_property
    def template(self) -> Template:
        """The study's, taken apart."""
        return read_template(self.options, self.input_key, self.answer_key, "task")

    def answer_of(self, row: Row) -> str:
        """The right answer as a text.

        Raises:
            DataError: there is none.
        """
        column = self.column_keys[self.answer_key]
        return text_of(row, self.answer_key, column, self.options.cleaning)

    def details(self, answer: str | None) -> dict[str, Any]:
        """Further fields of the example; ``answer`` is None where it is not known."""
        return {}

    def answer_shown(self, choice: str) -> str:
        """The choice without what the template puts around it."""
        return self.template.value_of(choice).strip()

    def example(self, row: Row, shots: Sequence[Example] = ()) -> Example:
        """See ``Task.example``."""
        values = {self.input_key: self._input(row), self.answer_key: self.answer_of(row)}
        return self._laid(row, self.template.fill(values), values[self.answer_key])

    def prompt(self, row: Row, shots: Sequence[Example] = ()) -> Example:
        """See ``Task.prompt``."""
        return self._laid(row, self.template.fill({self.input_key: self._input(row)}), None)

    def _input(self, row: Row) -> str:
        column = self.column_keys[self.input_key]
        return text_of(row, self.input_key, column, self.options.cleaning)

    def _laid(self, row: Row, filled: Filled, answer: str | None) -> Example:
        data = filled.spans[self.input_key]
        known = answer is not None
        return Example(
            text=filled.text,
            # What follows the prompt is learnt: white space, the answer, and the template's end.
            target_spans=((filled.prompt_end, len(filled.text)),) if known else (),
            literal_spans=(data, filled.spans[self.answer_key]) if known else (data,),
            prompt=filled.text[: filled.prompt_end],
            cut_span=data,
            references=() if answer is None else (answer,),
            ends=self.ends,
            shown=str(row[self.column_keys[self.input_key]]),
            **self.details(answer),
        )

    def shorten(self, example: Example) -> Example | None:
        """The input gives way."""
        return cut_tail(example)


def read_template(options: Any, input_key: str, answer_key: str, path: str) -> Template:
    """The options' template, taken apart; raises ConfigError where it breaks a rule."""
    return Template.parse(
        options.template,
        inputs=(input_key,),
        target=answer_key,
        example=type(options).template,
        path=f"{path}.template",
    )


def check_columns(options: TaskOptions, input_key: str, answer_key: str, path: str) -> None:
    """Raises ConfigError where the columns or the template break a rule."""
    for key in (input_key, answer_key):
        if not getattr(options, key):
            raise ConfigError(f"{path}.{key} is empty: it must name a column. Set {path}.{key}.")
    column = getattr(options, input_key)
    if column == getattr(options, answer_key):
        raise ConfigError(
            f"{path}.{input_key} and {path}.{answer_key} are both {column!r}: they must be two "
            f"columns. Set {path}.{answer_key} to the column with what is to be learnt."
        )
    read_template(options, input_key, answer_key, path)
