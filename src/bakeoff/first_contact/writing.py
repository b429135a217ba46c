"""A draft as a study's file with comments, and as lines for the screen."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Final

from bakeoff.config import dump_yaml
from bakeoff.data.given import GivenRows
from bakeoff.data.sources import named_files
from bakeoff.first_contact.drafting import Draft
from bakeoff.formatting import shown_rate
from bakeoff.tasks.guess.guesses import Guess

_WIDTH: Final = 96
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")


def study_text(draft: Draft, *, command: str) -> str:
    """The study's file.

    Args:
        draft: of the study. command: that runs it, for the first lines.
    """
    lines = [
        *_comment(f"Written by `bakeoff init`. Run it: {command}", ""),
        *_comment(f"The data: {draft.data.table.described()}", ""),
        *(line for note in draft.notes for line in _comment(f"{note}.", "")),
        *(line for text in _others(draft) for line in _comment(text, "")),
        "",
    ]
    for key, value in draft.mapping.items():
        if isinstance(value, Mapping) and key != "generation":
            lines.append(f"{key}:")
            if key == "methods":
                lines += _comment("All methods with their options: bakeoff methods", "  ")
            for name, item in value.items():
                why = draft.comments.get(f"{key}.{name}")
                lines += _comment(why, "  ") if why else []
                lines.append(f"  {_scalar(name)}: {_flow(item)}")
        else:
            why = draft.comments.get(key)
            lines += _comment(why, "") if why else []
            lines.append(f"{key}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def shown(draft: Draft) -> list[str]:
    """What was guessed and why, a line each; for the screen."""
    best, task = draft.guesses.best, draft.mapping["task"]
    lines = [
        f"{_shown_source(task['source'])}: {draft.comments['task.source']}",
        f"task: {best.kind}, as {best.reasons.get('kind', 'you asked for it')}",
    ]
    for key in (*best.options, "template"):
        if key in task and not any(line.startswith(f"  {key}: ") for line in lines):
            why = draft.comments.get(f"task.{key}")
            lines.append(f"  {key}: {_flow(task[key])}" + (f" ({why})" if why else ""))
    for key in ("max_length", "max_target_tokens"):
        if key in task:
            lines.append(f"  {key}: {task[key]} ({draft.comments[f'task.{key}']})")
    protocol = draft.mapping["protocol"]
    lines.append(
        f"protocol: {protocol['epochs']} epochs, {draft.comments['protocol.micro_batch_size']}"
    )
    rates = [
        f"{name} at {shown_rate(entry['learning_rate'])}"
        for name, entry in draft.mapping["methods"].items()
    ]
    lines.append(f"methods: {', '.join(rates)}; base: {draft.mapping['base']}")
    lines += [f"note: {note}." for note in draft.notes]
    return [*lines, *_others(draft)]


def _shown_source(source: Any) -> str:
    if isinstance(source, GivenRows):
        return "the rows that were given"
    return source if isinstance(source, str) else ", ".join(named_files(source))


def _others(draft: Draft) -> Iterator[str]:
    for guess in draft.guesses.others:
        yield f"It could also be {guess.kind} ({_columns(guess)}): --kind {guess.kind}"


def _columns(guess: Guess) -> str:
    return ", ".join(
        f"{key} {value!r}" for key, value in guess.options.items() if isinstance(value, str)
    )


def _comment(text: str, indent: str) -> list[str]:
    # Column names may hold anything, line ends too.
    plain = " ".join(text.split())
    return textwrap.wrap(
        "".join(c if c.isprintable() else "?" for c in plain),
        _WIDTH,
        initial_indent=f"{indent}# ",
        subsequent_indent=f"{indent}# ",
        break_on_hyphens=False,
    )


def _flow(value: Any) -> str:
    """A value in one line of YAML."""
    if isinstance(value, Mapping):
        items = (f"{_scalar(k)}: {_value(k, v)}" for k, v in value.items())
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value)


def _value(key: str, value: Any) -> str:
    if key == "learning_rate" and isinstance(value, float) and float(shown_rate(value)) == value:
        return shown_rate(value)
    return _flow(value)


def _scalar(value: Any) -> str:
    written = dump_yaml({"x": value}).removeprefix("x:").strip(" \n")
    if isinstance(value, str) and written == value and not _PLAIN.fullmatch(value):
        return _quoted(value)
    return written


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
