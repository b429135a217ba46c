"""Conversations out of rows: OpenAI's messages and ShareGPT's conversations."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Final

from bakeoff.data.cleaning import clean, is_blank
from bakeoff.data.columns import parsed_list
from bakeoff.data.options import CleaningStep
from bakeoff.errors import DataError
from bakeoff.formatting import join
from bakeoff.tasks.conversation.chat_templates import ASSISTANT, USER, WEIGHT, is_learnt

SYSTEM: Final = "system"
TOOL: Final = "tool"
CALL: Final = "function_call"

_ROLES: Final[Mapping[str, str]] = {
    "system": SYSTEM,
    "developer": SYSTEM,
    "user": USER,
    "human": USER,
    "assistant": ASSISTANT,
    "gpt": ASSISTANT,
    "function_call": CALL,
    "tool": TOOL,
    "function": TOOL,
    "observation": TOOL,
}
"""By the word that rows have."""

_KEPT: Final = ("name", "tool_call_id", "reasoning_content", "thinking", "reasoning")
"""What else of a message templates may read."""


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """One row.

    Attributes:
        messages: as templates read them: ``role``, ``content`` (None where there are only calls),
            ``tool_calls``. tools: what may be called, each ``{type: function, function: …}``.
        num_left_out: messages after the assistant's last one that is learnt.
        num_answering: how many of the last messages are the answer, and learnt, where these came
            apart from the others; 0 where all came together.
    """

    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...] = ()
    num_left_out: int = 0
    num_answering: int = 0

    @property
    def has_calls(self) -> bool:
        """Whether tools are described, called or answer."""
        return bool(self.tools) or any(
            m["role"] == TOOL or m.get("tool_calls") for m in self.messages
        )

    @property
    def before_answer(self) -> tuple[dict[str, Any], ...]:
        """All messages without an assistant's at the end."""
        answered = bool(self.messages) and self.messages[-1]["role"] == ASSISTANT
        return self.messages[:-1] if answered else self.messages

    def without_oldest_turn(self) -> Conversation | None:
        """The oldest user's message less, with all that follows it up to the next one.

        The system's message stays, and so do the last user's message and what follows it; None
        where there is nothing else.
        """
        first = 1 if self.messages and self.messages[0]["role"] == SYSTEM else 0
        asked = [i for i, m in enumerate(self.messages) if m["role"] == USER]
        if len(asked) < 2:
            return None
        # What an assistant says before anyone asks it goes with the first question.
        kept = (*self.messages[:first], *self.messages[asked[1] :])
        return replace(self, messages=kept)


_MESSAGE: Final = re.compile(r'\s*\[?\s*\{\s*"(role|from)"\s*:')
"""How JSON of messages begins."""


def messages_of(
    value: object, column: str, cleaning: Sequence[CleaningStep] = ()
) -> tuple[dict[str, Any], ...]:
    """A column's messages.

    Args:
        value: a list of ``{role, content}`` or ``{from, value}``, or one as JSON.
        column: for errors. cleaning: done to each content.

    Raises:
        DataError: naming column, message, value, rule and remedy.
    """
    where = f"column {column!r}"
    if value is None:
        raise DataError(f"the conversation ({where}) is missing")
    found = _parsed(value, where)
    if not isinstance(found, (list, tuple)):
        raise DataError(
            f"the conversation ({where}) is not a list of messages but {type(found).__name__}"
        )
    if not found:
        raise DataError(f"the conversation ({where}) has no messages")
    messages = []
    for number, given in enumerate(found, start=1):
        messages.append(_message(given, f"message {number} ({where})", cleaning))
    for number, message in enumerate(messages[1:], start=2):
        if message["role"] == SYSTEM:
            rule = (
                "there may be one system message only"
                if messages[0]["role"] == SYSTEM
                else "a system message must be the first one"
            )
            raise DataError(f"message {number} ({where}) is a system message, and {rule}")
    return tuple(messages)


def text_as_message(value: object, role: str) -> object:
    """A text that holds no list of messages as one message, which says it; else the value.

    A list of other objects, such as records in JSON, is a text. What begins as a message and is
    none, such as one that was cut off, stays as it is, so that its error is found.
    """
    if not isinstance(value, str) or is_blank(value) or _MESSAGE.match(value):
        return value
    found = parsed_list(value)
    if isinstance(found, list) and found and all(map(_may_be_message, found)):
        return found
    return [{"role": role, "content": value}]


def _may_be_message(value: object) -> bool:
    """Whether it has the keys of OpenAI's messages, or of ShareGPT's."""
    return isinstance(value, Mapping) and ("role" in value or {"from", "value"} <= set(value))


def tools_of(value: object, column: str) -> tuple[dict[str, Any], ...]:
    """A column's descriptions of tools; none where it is empty.

    Args:
        value: a list of OpenAI's tools or of functions, or one as JSON. column: for errors.

    Raises:
        DataError: it is nothing of the kind.
    """
    where = f"column {column!r}"
    if value is None or (isinstance(value, str) and not value.strip()):
        return ()
    found = _parsed(value, where)
    if not isinstance(found, (list, tuple)):
        raise DataError(f"the tools ({where}) are not a list but {type(found).__name__}")
    tools = []
    for number, given in enumerate(found, start=1):
        tool = _parsed(given, where)
        plain = _without_none(tool)
        function = plain.get("function", plain) if isinstance(plain, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise DataError(
                f"tool {number} ({where}) has no name: give {{name: …, description: …, "
                "parameters: …}, or that as OpenAI's function"
            )
        tools.append({"type": "function", "function": function})
    return tuple(tools)


def as_read(messages: Sequence[Mapping[str, Any]]) -> str:
    """Messages as one text, each after its role."""
    return "\n".join(f"{message['role']}: {message['content']}" for message in messages)


def calls_as_text(conversation: Conversation) -> Conversation:
    """Calls of tools spelt in the assistant's content, for templates without a place for them."""
    messages = []
    for message in conversation.messages:
        calls = message.get("tool_calls")
        if not calls:
            messages.append(message)
            continue
        texts = [
            f"<tool_call>\n{json.dumps(call['function'], ensure_ascii=False)}\n</tool_call>"
            for call in calls
        ]
        said = [message["content"]] if message["content"] else []
        rest = {key: value for key, value in message.items() if key != "tool_calls"}
        messages.append({**rest, "content": "\n".join([*said, *texts])})
    return replace(conversation, messages=tuple(messages))


def tools_as_text(conversation: Conversation, text: str) -> Conversation:
    """Tools described by the system's message, for templates without a place for them.

    Args:
        conversation: which. text: with ``{tools}`` where they are to stand, one a line.
    """
    if not conversation.tools:
        return conversation
    lines = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in conversation.tools)
    described = text.format(tools=lines)
    messages = list(conversation.messages)
    if messages and messages[0]["role"] == SYSTEM:
        messages[0] = {**messages[0], "content": f"{messages[0]['content']}\n\n{described}"}
    else:
        messages.insert(0, {"role": SYSTEM, "content": described})
    return replace(conversation, messages=tuple(messages), tools=())


def up_to_last_answer(messages: Sequence[dict[str, Any]], *columns: str) -> Conversation:
    """The conversation up to the assistant's last message that is learnt.

    Args:
        messages: all of them. columns: that they are from, for errors.

    Raises:
        DataError: the assistant says nothing to be learnt, or nothing is before it.
    """
    places = [i for i, message in enumerate(messages) if is_learnt(message)]
    named = join([repr(column) for column in columns])
    where = f"column {named}" if len(columns) == 1 else f"columns {named}"
    if not places and any(message["role"] == ASSISTANT for message in messages):
        raise DataError(
            f"all messages of the assistant ({where}) have weight 0, so there is nothing to learn; "
            "give one of them weight 1, or leave the row out"
        )
    if not places:
        raise DataError(
            f"the conversation ({where}) has no message of the assistant, so there is nothing to "
            "learn"
        )
    last = places[-1]
    answer = messages[last]
    if is_blank(answer["content"] or "") and not answer.get("tool_calls"):
        raise DataError(f"the assistant's last message ({where}) is empty")
    if not any(_asks(message) for message in messages[:last]):
        raise DataError(
            f"the conversation ({where}) has nothing before the assistant's last message, so there "
            "is nothing to answer"
        )
    return Conversation(messages=tuple(messages[: last + 1]), num_left_out=len(messages) - last - 1)


def _asks(message: Mapping[str, Any]) -> bool:
    """Whether there is anything in a message, and it is no instruction to the system."""
    if message["role"] == SYSTEM:
        return False
    return bool(message.get("tool_calls")) or not is_blank(message["content"] or "")


def _message(given: object, where: str, cleaning: Sequence[CleaningStep]) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise DataError(f"{where} is not an object but {type(given).__name__}")
    keys = ("role", "content") if "role" in given else ("from", "value")
    word = given.get(keys[0])
    role = _ROLES.get(word) if isinstance(word, str) else None
    if role is None:
        if word is None:
            raise DataError(
                f"{where} has neither a role nor a from; it has {join(sorted(map(repr, given)))}"
            )
        near = get_close_matches(str(word), _ROLES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise DataError(
            f"{where} has the {keys[0]} {word!r}, which is unknown{hint} There are "
            f"{', '.join(_ROLES)}"
        )
    value = given.get(keys[1])
    if role == CALL:
        calls = _calls(value, where)
        weight = _weight(given, where)
        return {"role": ASSISTANT, "content": None, **weight, "tool_calls": calls}
    listed = given.get("tool_calls")
    calls = _calls(listed, where) if listed and role == ASSISTANT else []
    content = None if value is None else _content(value, where)
    if content is None and not calls:
        raise DataError(
            f"{where} has no {keys[1]}, which only an assistant's message with tool_calls may lack"
        )
    if content is not None and cleaning:
        content = clean(content, cleaning)
    kept = {key: given[key] for key in _KEPT if isinstance(given.get(key), str)}
    return {
        "role": role,
        "content": content,
        **kept,
        **(_weight(given, where) if role == ASSISTANT else {}),
        **({"tool_calls": calls} if calls else {}),
    }


def _weight(given: Mapping[str, Any], where: str) -> dict[str, int]:
    """An assistant's weight where it is 0; without any, and with 1, its message is learnt."""
    weight = given.get(WEIGHT)
    if weight is None or (weight in (0, 1) and not isinstance(weight, bool)):
        return {WEIGHT: 0} if weight == 0 else {}
    raise DataError(
        f"{where} has the weight {weight!r}: a message is learnt (1) or not (0), as in OpenAI's "
        "files; write one of these, or leave it out"
    )


def _content(value: object, where: str) -> str:
    if isinstance(value, (list, tuple)):
        texts = []
        for part in value:
            kind = part.get("type", "text") if isinstance(part, Mapping) else None
            text = part.get("text") if isinstance(part, Mapping) else part
            if kind not in (None, "text") or not isinstance(text, str):
                raise DataError(
                    f"{where} has a part of the type {kind!r}, and only text can be learnt from; "
                    "leave such rows out"
                )
            texts.append(text)
        value = "\n".join(texts)
    if not isinstance(value, str):
        raise DataError(f"{where} has a content that is not text but {type(value).__name__}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"{where} has a content that is not UTF-8 text") from None
    return value


def _calls(value: object, where: str) -> list[dict[str, Any]]:
    """Calls as templates read them, their arguments as objects where they are JSON."""
    found = _parsed(value, f"{where}, its calls of tools")
    calls = []
    for given in found if isinstance(found, (list, tuple)) else [found]:
        plain = _without_none(given)
        function = plain.get("function", plain) if isinstance(plain, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise DataError(
                f"{where} calls a tool without a name: give {{name: …, arguments: …}}, or that as "
                "the function of OpenAI's tool_calls"
            )
        arguments = function.get("arguments", {})
        if isinstance(arguments, str):
            # Else it is a text of its own, and templates take it so.
            with contextlib.suppress(ValueError, RecursionError):
                arguments = json.loads(arguments)
        rest = {"id": plain["id"]} if isinstance(plain.get("id"), str) else {}
        call = {"name": function["name"], "arguments": arguments}
        calls.append({**rest, "type": "function", "function": call})
    return calls


def _parsed(value: object, where: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        if isinstance(spelt := parsed_list(value), list):  # as pandas writes lists to CSV files
            return spelt
        raise DataError(f"what is in {where} is a text that is not JSON ({error})") from None


def _without_none(value: Any) -> Any:
    """Without the keys that a Parquet file fills up with None."""
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_without_none(item) for item in value]
    return value
