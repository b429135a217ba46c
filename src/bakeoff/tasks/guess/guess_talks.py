"""Whether rows are conversations, or instructions with their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from bakeoff.data.columns import Column, Table, parsed_list
from bakeoff.errors import DataError
from bakeoff.tasks.conversation.chat_templates import ASSISTANT
from bakeoff.tasks.conversation.conversations import messages_of, up_to_last_answer
from bakeoff.tasks.guess.guesses import CERTAIN, LIKELY, Guess, quoted, unread
from bakeoff.tasks.role_names import (
    ANSWER,
    HISTORY,
    INPUT,
    INSTRUCTION,
    SYSTEM,
    first_called,
    is_called,
)

_MOST_OF: Final = 0.9
_HALF: Final = 0.5
_SAMPLE: Final = 200


def guess_talks(table: Table) -> Guess | None:
    """See ``Task.guess``; messages by the keys that they have, or Alpaca's columns by name."""
    found = [c for c in table.columns if _holds_messages(c)]
    if found:
        column = next((c for c in found if _share(c, _may_be_learnt) >= _HALF), found[0])
        parts = _parts(table, found)
        read = parts or (column,)
        form = _form(read[0])
        reasons = {
            "kind": f"{_names([c for c in read if c in found])} messages ({form})",
            "messages": form,
        }
        options: dict[str, Any] = {"messages": column.name}
        if parts is not None:
            options["messages"] = [one.name for one in parts]
            reasons["messages"] = f"{form}; the second column answers the first, and is learnt"
        if any(c.name == "tools" and c.shape != "empty" for c in table.columns):
            options["tools"] = "tools"
            reasons["tools"] = "descriptions of what may be called"
        notes = []
        if further := [c for c in found if c not in read]:
            notes.append(f"{_names(further)} messages too")
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
    rest = tuple(
        c
        for c in table.columns
        if c.shape == "text" and c not in (instruction, output) and not is_called(c, SYSTEM)
    )
    asked = first_called(rest, INPUT)
    options = {"instruction": instruction.name, "output": output.name}
    if asked is not None:
        options = {
            "instruction": instruction.name,
            "input": asked.name,
            "output": output.name,
        }
    beside = [c.name for c in table.columns if is_called(c, SYSTEM | HISTORY) and not c.is_constant]
    remedy = '; to have all of a row read, write it as messages ({"role": ..., "content": ...})'
    return Guess(
        kind="chat",
        options=options,
        notes=(unread(beside) + remedy,) if beside else (),
        likelihood=LIKELY + 0.13,
        reasons={
            "kind": "instructions and their answers, as Alpaca has them",
            **{key: _column(table, name).described() for key, name in options.items()},
        },
    )


def _names(columns: Sequence[Column]) -> str:
    """``'a' and 'b' hold``."""
    return f"{quoted([c.name for c in columns])} {'holds' if len(columns) == 1 else 'hold'}"


def _column(table: Table, name: str) -> Column:
    return next(c for c in table.columns if c.name == name)


def _messages(value: object) -> list[Any] | None:
    found = parsed_list(value) if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not found:
        return None
    keys = [set(one) for one in found if isinstance(one, Mapping)]
    if len(keys) < len(found):
        return None
    return list(found) if all("role" in k or {"from", "value"} <= k for k in keys) else None


def _holds_messages(column: Column) -> bool:
    if column.shape not in ("list", "text"):
        return False
    return _share(column, lambda value: _messages(value) is not None) >= _MOST_OF


def _share(column: Column, holds: Callable[[Any], bool]) -> float:
    sample = column.present[:_SAMPLE]
    return sum(map(holds, sample)) / max(1, len(sample))


def _may_be_learnt(value: Any) -> bool:
    """Whether the assistant answers something in a list of messages."""
    try:
        up_to_last_answer(messages_of(value, ""), "")
    except DataError:
        return False
    return True


def _role(value: Any, place: int) -> str | None:
    """Who says a message of a list; None where it cannot be read."""
    try:
        return str(messages_of(value, "")[place]["role"])
    except DataError:
        return None


def _asks(value: Any) -> bool:
    """Whether the last message of a list is not the assistant's."""
    return _role(value, -1) not in (None, ASSISTANT)


def _parts(table: Table, found: Sequence[Column]) -> tuple[Column, Column] | None:
    """The column that ends with a question and the one that begins with its answer, if any.

    The answer may be a text that is called one.
    """
    answers = [c for c in found if _share(c, lambda value: _role(value, 0) == ASSISTANT) >= _HALF]
    asked = [c for c in found if c not in answers and _share(c, _asks) >= _HALF]
    # Many a log ends with the user's thanks; questions whose answer is a text all end with one.
    if not answers:
        asked = [c for c in asked if _share(c, _asks) >= _MOST_OF]
    if asked and not answers:
        prose = tuple(c for c in table.prose if c not in found)
        answers = [c for c in (first_called(prose, ANSWER),) if c is not None]
    return (asked[0], answers[0]) if asked and answers else None


def _form(column: Column) -> str:
    first = next(found for value in column.present if (found := _messages(value)))
    return "role and content, OpenAI's" if "role" in first[0] else "from and value, ShareGPT's"
