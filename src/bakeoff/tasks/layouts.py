"""A study's ``templates``: one task, laid out in several ways.

A layout names the data's columns in braces, as a user sees them. A task's own template names what
they are to the task, so that ``{body} {tag}`` becomes ``{prompt} {completion}``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bakeoff.config import from_mapping
from bakeoff.data.template import split_template
from bakeoff.errors import ConfigError
from bakeoff.tasks.contract import Task
from bakeoff.tasks.from_template import FromTemplate
from bakeoff.tasks.registry import DEFAULT_KIND, present_keys, task_type

_TEMPLATE: Final = "template"
OF_LAYOUT: Final = ("target", "cut")
"""Options that name what stands in a layout."""


def with_layout(given: Mapping[str, Any], text: str, where: str) -> dict[str, Any]:
    """A ``task`` section with another layout; its columns stay as they are.

    Args:
        given: the section, without a template of its own.
        text: the layout: columns by their names in braces, what is learnt last.
        where: how an error names the layout.

    Raises:
        ConfigError: the kind has no layout, or the text breaks a rule.
    """
    kind, task = _laid_out(given, where)
    roles = {task.column_of(role): role for role in task.roles}
    rest = present_keys(given)
    pieces, columns = split_template(text, type(task.options).template, where)
    fields = [roles.get(column, column) for column in columns]
    answer = str(given.get("target") or task.roles[-1])
    answer = roles.get(answer, answer)
    _check(fields, columns, answer, task.column_of(answer), text, where)
    inputs = fields[:-1]
    needed = () if kind == "complete" else task.roles[:-1]
    for role in needed:
        if role not in inputs:
            raise ConfigError(
                f"{where} is {text!r}: it does not have {{{task.column_of(role)}}}, the column of "
                f"task.{role}, without which there is nothing to read; put it there"
            )
    found = {**rest, "kind": kind, _TEMPLATE: _joined(pieces, fields)}
    if kind == "complete":
        # What a layout leaves out is no column of the study as long as that layout is used.
        found |= {"target": answer}
        for role in task.roles:
            if role not in fields:
                found.pop(role, None)
        cut = found.get("cut")
        cut = roles.get(str(cut), cut)
        found["cut"] = cut if len(inputs) > 1 and cut in inputs else None
    return found


def _laid_out(given: Mapping[str, Any], where: str) -> tuple[str, FromTemplate]:
    kind = str(given.get("kind", DEFAULT_KIND))
    found: type[Task] = task_type(kind)
    if not issubclass(found, FromTemplate):
        raise ConfigError(
            f"{where}: a task of the kind {kind} has no template, as its rows are laid out by "
            "themselves or by the base's chat template; remove templates"
        )
    if given.get(_TEMPLATE) is not None:
        raise ConfigError(
            f"task.template and {where} both lay rows out; keep templates, with that layout as one "
            "of them, or task.template alone"
        )
    # These two name parts of a layout, and the kind's own is not the one that is used.
    rest = {key: value for key, value in present_keys(given).items() if key not in OF_LAYOUT}
    options = from_mapping(found.options_type, {**rest, "kind": kind}, path="task")
    options.validate()
    return kind, found(options)


def _check(
    fields: Sequence[str],
    columns: Sequence[str],
    answer: str,
    shown: str,
    text: str,
    where: str,
) -> None:
    for field, column in zip(fields, columns, strict=True):
        if fields.count(field) > 1:
            raise ConfigError(
                f"{where} is {text!r}: the column {column!r} appears "
                f"{fields.count(field)} times, and each may stand there once; remove one of them"
            )
    if answer not in fields:
        raise ConfigError(
            f"{where} is {text!r}: it does not have {{{shown}}}, which is what is learnt; put it "
            "last"
        )
    if fields[-1] != answer:
        raise ConfigError(
            f"{where} is {text!r}: {{{columns[-1]}}} comes after {{{shown}}}, and what is learnt "
            "must come last, because the model reads the input first; swap them"
        )
    if len(fields) == 1:
        raise ConfigError(
            f"{where} is {text!r}: no column comes before {{{shown}}}, so there is nothing to "
            "read; put one there"
        )


def _joined(pieces: Sequence[str], fields: Sequence[str]) -> str:
    """The template whose parts these are; braces that are text are doubled again."""
    plain = [piece.replace("{", "{{").replace("}", "}}") for piece in pieces]
    return (
        "".join(f"{piece}{{{field}}}" for piece, field in zip(plain, fields, strict=False))
        + plain[-1]
    )
