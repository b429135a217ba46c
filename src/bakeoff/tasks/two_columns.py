"""What tasks share that read one text and learn to write what another column holds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

from bakeoff.data.options import TaskOptions
from bakeoff.data.template import Template
from bakeoff.errors import ConfigError
from bakeoff.tasks.contract import Row
from bakeoff.tasks.from_template import FromTemplate, check_cut, check_fields
from bakeoff.tasks.texts import text_of


class TwoColumns(FromTemplate):
    """An input column and an answer's, laid out by a template that may have other columns too.

    The options name both columns under these keys, and have a ``template``.

    Attributes:
        input_key, answer_key: options that name the columns, and the template's fields.
    """

    input_key: ClassVar[str]
    answer_key: ClassVar[str]

    @property
    def roles(self) -> tuple[str, ...]:
        """The two keys."""
        return (self.input_key, self.answer_key)

    @property
    def column_keys(self) -> Mapping[str, str]:
        """The input's column, the template's others, the answer's."""
        found = dict(super().column_keys)
        return {self.input_key: found.pop(self.input_key), **found}

    @cached_property
    def template(self) -> Template:
        """The study's, taken apart."""
        return read_template(self.options, self.input_key, self.answer_key, "task")

    @property
    def cut_field(self) -> str:
        """See ``FromTemplate.cut_field``; the input where nothing says another."""
        return getattr(self.options, "cut", None) or self.input_key

    def answer_of(self, row: Row) -> str:
        """The right answer as a text.

        Raises:
            DataError: there is none.
        """
        column = self.column_of(self.answer_key)
        return text_of(row, self.answer_key, column, self.options.cleaning)

    def answers_of(self, row: Row) -> tuple[str, ...]:
        """The right one."""
        return (self.answer_of(row),)

    def input_of(self, row: Row, field: str) -> str:
        """The input must be a text, and have one; other columns may hold numbers or nothing."""
        if field != self.input_key:
            return super().input_of(row, field)
        return text_of(row, field, self.column_of(field), self.options.cleaning)

    def shown(self, row: Row, prompt: str) -> str:
        """The input as found; where answers are not made from it alone, with all that is read."""
        fields = (self.input_key,) if self.has_free_answers else self.inputs
        found = [row.get(self.column_of(field)) for field in fields]
        return "\n".join(str(value) for value in found if value is not None)


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
    template = read_template(options, input_key, answer_key, path)
    check_fields(options, template, (input_key, answer_key), path)
    check_cut(getattr(options, "cut", None), template.fields[:-1], path)
