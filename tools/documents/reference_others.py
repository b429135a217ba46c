"""The references of commands, records, errors and exit codes, from the code that has them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import typer.main
from tools.documents.fields import fields_of, markdown, summary
from tools.documents.tables import table

from bakeoff import errors
from bakeoff.cli.app import app
from bakeoff.cli.exit_codes import MEANINGS
from bakeoff.runs.events import CohortJob
from bakeoff.runs.records import Results

_VALUES = {"Path": "PATH", "float": "NUMBER", "int": "N"}
"""What stands for a value, by what is in its type."""


def commands_page() -> str:
    """Every command with its arguments and options."""
    parts = [
        "# Every command\n",
        "Each ends with one of [these exit codes](errors.md#exit-codes). What is asked for goes to "
        "the standard output, errors and progress to the standard error.\n",
        "Of `bakeoff` itself:\n",
        _options(typer.main.get_command(app)),
    ]
    for name, command in commands():
        parts += [f"## `bakeoff {name}`\n", _text(command.help or ""), _options(command)]
    return "\n".join(parts)


def commands() -> Iterator[tuple[str, Any]]:
    """All commands by name, those of groups after their group."""

    def below(group: Any, before: str) -> Iterator[tuple[str, Any]]:
        for name, command in group.commands.items():
            yield f"{before}{name}", command
            if hasattr(command, "commands"):
                yield from below(command, f"{before}{name} ")

    return below(typer.main.get_command(app), "")


def _options(command: Any) -> str:
    rows = []
    for parameter in command.params:
        if getattr(parameter, "hidden", False) or parameter.name == "help":
            continue
        is_option = parameter.opts[0].startswith("-")
        names = [*parameter.opts, *parameter.secondary_opts]
        value = "" if getattr(parameter, "is_flag", False) else _value(parameter, is_option)
        shown = ", ".join(names) if is_option else value
        if is_option and value:
            shown += f" {value}"
        default = "" if parameter.default in (None, False, ()) else f"`{parameter.default}`"
        if callable(parameter.default):
            default = ""
        if parameter.required:
            default = "must be given"
        rows.append((f"`{shown}`", default, _text(parameter.help or "").strip()))
    if not rows:
        return "It takes no options.\n"
    return table(("argument or option", "default", "meaning"), rows)


def _value(parameter: Any, is_option: bool) -> str:
    if parameter.metavar:
        return str(parameter.metavar).replace("|", " or ")
    if not is_option:
        return str(parameter.name).upper()
    annotation = str(getattr(getattr(parameter, "type_descriptor", None), "annotation", ""))
    return next((word for kind, word in _VALUES.items() if kind in annotation), "TEXT")


def _text(text: str) -> str:
    """Help as Markdown: paragraphs of one line each."""
    paragraphs = inspect.cleandoc(text.replace("\f", "")).split("\n\n")
    return "\n\n".join(markdown(part) for part in paragraphs) + "\n"


def errors_page() -> str:
    """Every class of error, and every exit code."""
    found = [
        cls
        for _, cls in inspect.getmembers(errors, inspect.isclass)
        if issubclass(cls, errors.BakeoffError)
    ]
    found.sort(key=lambda cls: inspect.getsourcelines(cls)[1])
    rows = [
        (
            f"`{cls.__name__}`",
            ", ".join(f"`{base.__name__}`" for base in cls.__bases__),
            markdown(cls.__doc__ or ""),
        )
        for cls in found
    ]
    codes = [(str(code), meaning) for code, meaning in MEANINGS.items()]
    return "\n".join(
        [
            "# Every error and exit code\n",
            "Errors that bakeoff raises on purpose are those of `bakeoff.errors`. A message names "
            "the place, the value that was found, the rule and the remedy "
            "([ten wrong studies](../errors.md) and what each prints). The command line prints it "
            "on one line and exits with 2.\n",
            "## Errors\n",
            table(("class", "also is a", "means"), rows),
            "## Exit codes\n",
            table(("exit code", "means"), codes),
        ]
    )


def records_page() -> str:
    """Every field of ``results.json``, and what the run's other files hold."""
    parts = [
        "# Every field of the records\n",
        "`results.json` in a run's folder is a `Results`, described for programs by "
        "`bakeoff/runs/results.schema.json` in the package; in Python it is "
        "`bakeoff.load(DIR).record`. Losses are in nats per supervised token, shares in 0..1, "
        "times in seconds, sizes in bytes; what is not known is null. [A run's folder](../guide/"
        "run-folder.md) has the other files.\n",
    ]
    seen: dict[type, None] = {}
    _collect(Results, seen)
    _collect(CohortJob, seen)
    for cls in seen:
        rows = [(f"`{f.name}`", _linked(f.kind, seen), f.meaning) for f in fields_of(cls)]
        parts += [f"## {cls.__name__}\n", summary(cls) + "\n", table(("field", "type", ""), rows)]
    return "\n".join(parts)


def record_classes() -> list[type]:
    """The classes of ``results.json``, the whole before its parts."""
    seen: dict[type, None] = {}
    _collect(Results, seen)
    return list(seen)


def _collect(cls: type, seen: dict[type, None]) -> None:
    if cls in seen:
        return
    seen[cls] = None
    for field in fields_of(cls):
        for inner in field.classes:
            _collect(inner, seen)


def _linked(kind: str, known: dict[type, None]) -> str:
    """A type whose records lead to their section."""
    names = {cls.__name__ for cls in known}
    return re.sub(
        r"`(\w+)`",
        lambda m: f"[`{m[1]}`](#{m[1].lower()})" if m[1] in names else m[0],
        kind,
    )
