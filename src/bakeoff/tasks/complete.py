"""A prompt in, its completion out; a template makes both of whatever columns there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from bakeoff.data.cleaning import is_blank
from bakeoff.data.columns import Table
from bakeoff.data.examples import Example
from bakeoff.data.template import Template, field_names
from bakeoff.errors import ConfigError, DataError
from bakeoff.formatting import join
from bakeoff.tasks.contract import ZERO_SHOT, Baseline, Row
from bakeoff.tasks.from_template import (
    FromTemplate,
    FromTemplateOptions,
    check_cut,
    check_fields,
    column_of,
)
from bakeoff.tasks.guess.guess_texts import guess_completions
from bakeoff.tasks.guess.guesses import Guess
from bakeoff.tasks.texts import plain_text_of, plain_texts_of

ROLES: Final = ("prompt", "completion")
_DEFAULT: Final = "{prompt}{completion}"
_EXAMPLE: Final = "{context}\\n\\nQ: {question}\\nA: {answer}"


@dataclass(frozen=True, kw_only=True)
class CompleteOptions(FromTemplateOptions):
    """The options of ``complete``."""

    kind: str = "complete"
    """A prompt in, its completion out."""

    prompt: str = "prompt"
    """The column that {prompt} stands for in the template."""

    completion: str = "completion"
    """The column that {completion} stands for: texts, or lists of them, whose first one is learnt
    and all of which count as right."""

    template: str = _DEFAULT
    """The layout of one example: columns of the data by their names in braces, each once, the one
    that is learnt last. {{ and }} are braces. Nothing is put between two columns but what stands
    there."""

    target: str = "completion"
    """What is learnt, as it stands in the template's braces."""

    def validate(self, path: str = "task") -> None:
        """See ``TaskOptions.validate``."""
        for role in ROLES:
            if not getattr(self, role):
                raise ConfigError(
                    f"{path}.{role} is empty: it must name a column. Set {path}.{role}."
                )
        names = list(dict.fromkeys(field_names(self.template)))
        if self.target not in names:
            remedy = (
                f"such as {names[-1]!r}" if names else f"and name it there, as {_EXAMPLE!r} does"
            )
            raise ConfigError(
                f"{path}.target is {self.target!r}, which {path}.template ({self.template!r}) does "
                f"not have in braces. Set {path}.target to what is learnt, {remedy}."
            )
        template = _template_of(self, path)
        check_fields(self, template, ROLES, path)
        inputs = template.fields[:-1]
        if not inputs:
            raise ConfigError(
                f"{path}.template is {self.template!r}: it has no column before {{{self.target}}}, "
                f"so there is nothing to read. A good one is {_EXAMPLE!r}."
            )
        used = {column_of(self, field, ROLES) for field in template.fields}
        for role in ROLES:
            column = getattr(self, role)
            if column != role and column not in used:
                raise ConfigError(
                    f"{path}.{role} is {column!r}, but {path}.template "
                    f"({self.template!r}) does not have {{{role}}}. Put it there, or remove "
                    f"{path}.{role}."
                )
        check_cut(self.cut, inputs, path)
        super().validate(path)


class Complete(FromTemplate):
    """A prompt in, its completion out."""

    kind = "complete"
    options_type = CompleteOptions
    input_word, output_word = "prompt", "completion"
    takes_numbers = True
    fine_widths = True
    prefers_text_scores = True
    roles = ROLES
    options: CompleteOptions

    @classmethod
    def guess(cls, table: Table) -> Guess | None:
        """See ``Task.guess``."""
        return guess_completions(table)

    @cached_property
    def template(self) -> Template:
        """The study's, taken apart."""
        return _template_of(self.options, "task")

    def input_of(self, row: Row, field: str) -> str:
        """See ``FromTemplate.input_of``; the only input must hold something."""
        return plain_text_of(
            row,
            self.column_of(field),
            self._word_of(field),
            self.options.cleaning,
            may_be_empty=len(self.inputs) > 1,
        )

    def answers_of(self, row: Row) -> tuple[str, ...]:
        """All that count as right; the first is learnt."""
        column, word = self.column_of(self.answer_field), self._word_of(self.answer_field)
        return plain_texts_of(row, column, word, self.options.cleaning)

    def _word_of(self, field: str) -> str:
        return field if field in ROLES else "value"

    def values_of(self, row: Row) -> dict[str, str]:
        """See ``FromTemplate.values_of``; one of several inputs must hold something."""
        values = super().values_of(row)
        if all(is_blank(value) for value in values.values()):
            columns = [repr(self.column_of(field)) for field in values]
            raise DataError(f"the values of the columns {join(columns)} are all empty")
        return values

    def warnings(self, train: Sequence[Example]) -> list[str]:
        """Prompts and completions that run into one word."""
        count = sum(_run_together(example) for example in train)
        if 2 * count < len(train):
            return []
        return [
            f"In {count} of {len(train)} training rows nothing stands between the last word of the "
            "prompt and the first one of the completion. If they are not meant to be one word, let "
            'task.template have a space or a line end there, as in "{prompt}\\n{completion}".'
        ]

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Likelihood decides; what is written is compared with the references."""
        return ("nll", "exact_match", "f1", "rougeL")

    @property
    def baselines(self) -> tuple[Baseline, ...]:
        """The untuned base."""
        return (ZERO_SHOT,)


def _run_together(example: Example) -> bool:
    edge = len(example.prompt)
    return example.text[edge - 1 : edge].isalnum() and example.text[edge : edge + 1].isalnum()


def _template_of(options: CompleteOptions, path: str) -> Template:
    return Template.parse(
        options.template,
        inputs=(),
        target=options.target,
        example=_EXAMPLE,
        path=f"{path}.template",
    )
