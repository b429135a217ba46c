"""Whether rows are conversations, or instructions with their answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bakeoff.data.columns import Column, Table, parsed_json
from bakeoff.tasks.guess.guesses import CERTAIN, LIKELY, Guess, quoted
from bakeoff.tasks.role_names import ANSWER, INPUT, INSTRUCTION, first_called

_MOST_OF: Final = 0.9


def guess_talks(table: Table) -> Guess | None:
    """See ``Task.guess``; messages by the keys that they have, or Alpaca's columns by name."""
    found = [c for c in table.columns if _holds_messages(c)]
    if found:
        column = found[0]
        form = _form(column)
        options = {"messages": column.name}
        reasons = {"kind": f"{column.name!r} holds messages ({form})", "messages": form}
        if any(c.name == "tools" and c.shape != "empty" for c in table.columns):
            options["tools"] = "tools"
            reasons["tools"] = "descriptions of what may be called"
        notes = []
        if further := [c.name for c in found[1:]]:
            notes.append(
                f"{quoted(further)} {'holds' if len(further) == 1 else 'hold'} messages too"
            )
        return Guess(
            kind="chat",
            options=options,
            likelihood=CERTAIN + 0.03,
            reasons=reasons,
            notes=tuple(notes),
        )
    instruction = first_called(table.prose, INSTRUCTION)
    if instruction is None:
        return None
    others = tuple(c for c in table.prose if c is not instruction)
    output = first_called(others, ANSWER)
    if output is None:
        return None
    rest = tuple(c for c in table.columns if c.shape == "text" and c not in (instruction, output))
    asked = first_called(rest, INPUT)
    options = {"instruction": instruction.name, "output": output.name}
    if asked is not None:
        options = {
            "instruction": instruction.name,
            "input": asked.name,
            "output": output.name,
        }
    return Guess(
        kind="chat",
        options=options,
        likelihood=LIKELY + 0.13,
        reasons={
            "kind": "instructions and their answers, as Alpaca has them",
            **{key: _column(table, name).described() for key, name in options.items()},
        },
    )


def _column(table: Table, name: str) -> Column:
    return next(c for c in table.columns if c.name == name)


def _messages(value: object) -> list[Any] | None:
    found = parsed_json(value) if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not found:
        return None
    keys = [set(one) for one in found if isinstance(one, Mapping)]
    if len(keys) < len(found):
        return None
    return list(found) if all("role" in k or {"from", "value"} <= k for k in keys) else None


def _holds_messages(column: Column) -> bool:
    if column.shape not in ("list", "text"):
        return False
    sample = column.present[:200]
    return sum(_messages(value) is not None for value in sample) >= _MOST_OF * len(sample)


def _form(column: Column) -> str:
    first = next(found for value in column.present if (found := _messages(value)))
    return "role and content, OpenAI's" if "role" in first[0] else "from and value, ShareGPT's"
