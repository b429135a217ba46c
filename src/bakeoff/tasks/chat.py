"""Conversations, of which the assistant's turns are learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Literal

from bakeoff.data.cleaning import clean
from bakeoff.data.columns import Table
from bakeoff.data.examples import Example
from bakeoff.data.options import TaskOptions
from bakeoff.data.readers import OptionalColumn
from bakeoff.data.sources import SplitKey, content_of
from bakeoff.errors import ConfigError, DataError
from bakeoff.formatting import counted
from bakeoff.tasks.contract import ZERO_SHOT, Baseline, Row, Task
from bakeoff.tasks.conversation.chat_templates import (
    ASSISTANT,
    CHATML_TEMPLATE,
    USER,
    ChatTemplate,
    is_learnt,
)
from bakeoff.tasks.conversation.chatml import TOOLS_TEXT
from bakeoff.tasks.conversation.conversations import (
    SYSTEM,
    Conversation,
    as_read,
    calls_as_text,
    messages_of,
    text_as_message,
    tools_as_text,
    tools_of,
    up_to_last_answer,
)
from bakeoff.tasks.guess.guess_talks import guess_talks
from bakeoff.tasks.guess.guesses import Guess
from bakeoff.tasks.starting import StartingValues
from bakeoff.tasks.texts import text_of

_MESSAGES: Final = ("messages", "conversations")
_FORMS: Final = ("messages", "tools")
_ALPACA: Final = ("instruction", "input", "output")
_OPTIONAL: Final = ("tools", "input")
"""Keys of columns that hold nothing in some rows."""
_ANSWER: Final = "messages[1]"
"""The key of the second column of messages."""


@dataclass(frozen=True, kw_only=True)
class ChatOptions(TaskOptions):
    """The options of ``chat``. Which columns rows have is found out where none is named."""

    kind: str = "chat"
    """Conversations, of which the assistant's turns are learnt."""

    messages: str | tuple[str, ...] | None = None
    """The column with the messages: OpenAI's (role, content, tool_calls) or ShareGPT's (from,
    value); or two columns, of which the second answers the first and alone is learnt, such as
    [prompt, completion], messages or a text each; null takes `messages` or `conversations`,
    whichever there is."""

    tools: str | None = None
    """The column with descriptions of tools; null takes `tools` where there is one."""

    instruction: str | None = None
    """Alpaca's: the column with what is asked; null takes `instruction` where there are no
    messages."""

    input: str | None = None
    """Alpaca's: the column with what the instruction speaks of, which may be empty; null takes
    `input` where there is one."""

    output: str | None = None
    """Alpaca's: the column with the answer; null takes `output`."""

    train_on: Literal["assistant", "last", "all"] = "assistant"
    """What is learnt: every turn of the assistant, its last one, or the whole conversation."""

    max_length: int | None = None
    """Tokens of one conversation. A longer one loses its oldest turns, never its last answer. null
    takes what cuts 1 % of the training rows, at most 4,096."""

    max_target_tokens: int = 256
    """Tokens kept free for the last answer."""

    def validate(self, path: str = "task") -> None:
        """See ``TaskOptions.validate``."""
        named = {key: getattr(self, key) for key in ("messages", "tools", *_ALPACA)}
        for key, column in named.items():
            if column == "":
                raise ConfigError(
                    f"{path}.{key} is empty: it must name a column. Set it, or leave it out."
                )
        alpaca = [key for key in _ALPACA if named[key] is not None]
        if self.messages is not None and alpaca:
            raise ConfigError(
                f"{path}.messages and {path}.{alpaca[0]} are both given: a row has either messages "
                "or an instruction and its output. Leave one of them out."
            )
        if self.chat_template == "none":
            raise ConfigError(
                f"{path}.chat_template is none: conversations need a template. Set it to auto, to "
                "chatml or to a file."
            )
        if isinstance(self.messages, tuple):
            first, *rest = self.messages or ("",)
            if len(rest) != 1 or not all(self.messages) or first == rest[0]:
                raise ConfigError(
                    f"{path}.messages is {list(self.messages)}: it must name one column, or two "
                    "different ones, of which the second answers the first. Set "
                    f"{path}.messages."
                )
        super().validate(path)


class Chat(Task):
    """Conversations, of which the assistant's turns are learnt."""

    kind = "chat"
    options_type = ChatOptions
    starting = StartingValues(max_length=4096, source="two epochs, as in Tülu 3 (arXiv:2411.15124)")
    input_word = "conversation"
    output_word = "answer"
    chat_template_use = "always"
    takes_shots = False
    prefers_text_scores = True
    options: ChatOptions

    @classmethod
    def guess(cls, table: Table) -> Guess | None:
        """See ``Task.guess``."""
        return guess_talks(table)

    @property
    def _template(self) -> ChatTemplate:
        return self.chat or CHATML_TEMPLATE

    @property
    def _is_alpaca(self) -> bool:
        return self.options.instruction is not None

    @property
    def _may_lack(self) -> frozenset[str]:
        """Columns that the study does not name may be in some files and not in others."""
        return frozenset(_OPTIONAL) & self.from_rows

    @property
    def column_keys(self) -> Mapping[str, str]:
        """The messages and the tools, or Alpaca's three; the answer's last."""
        options = self.options
        named: dict[str, str | None]
        if self._is_alpaca:
            named = {key: getattr(options, key) for key in _ALPACA}
        elif isinstance(options.messages, tuple):
            asked, answer = options.messages
            named = {"messages": asked, "tools": options.tools, _ANSWER: answer}
        elif options.messages is not None:
            named = {"messages": options.messages, "tools": options.tools}
        else:
            return {"messages": OptionalColumn(_MESSAGES[0])}
        return {
            key: OptionalColumn(column) if key in self._may_lack else column
            for key, column in named.items()
            if column is not None
        }

    @property
    def input_keys(self) -> Mapping[str, str]:
        """Messages of one column hold the answer beside what it answers."""
        keys = {k: c for k, c in self.column_keys.items() if k not in ("output", _ANSWER)}
        # Nothing else stands there in some rows, so that who asks need not give them.
        return {k: OptionalColumn(c) if k in _OPTIONAL else c for k, c in keys.items()}

    @property
    def split_key(self) -> SplitKey | None:
        """See ``Task.split_key``; an answer beside what it answers has no say, nor has a column
        that a row may lack."""
        columns = self.column_keys
        if "messages" in columns and _ANSWER not in columns:
            return SplitKey(content=self._before_answer, rule="by what is before the last answer")
        if any(key in columns for key in _OPTIONAL):
            inputs = tuple(self.input_keys.values())
            return SplitKey(content=partial(content_of, columns=inputs), rule="by what is there")
        return None

    def _before_answer(self, row: Row) -> str | None:
        try:
            talk = self._talk(row, cleaned=False)
        except DataError:  # such a row is reported where it is laid out
            return None
        return as_read(calls_as_text(talk).messages[:-1])

    @property
    def may_read(self) -> tuple[str, ...]:
        """All names that columns are known by."""
        return (*_MESSAGES, "tools", *_ALPACA)

    def found_in_columns(self, names: Sequence[str]) -> dict[str, Any]:
        """Which columns hold what, where the study does not say so."""
        options = self.options
        if options.messages is None and not self._is_alpaca:
            column = next((name for name in _MESSAGES if name in names), None)
            if column is not None:
                return {"messages": column, **self._found_also(("tools",), names)}
            if options.output is None and not {"instruction", "output"} <= set(names):
                listed = ", ".join(map(repr, names)) or "none"
                raise DataError(
                    "task.messages: no column is called messages or conversations, nor are there "
                    f"an instruction and an output; the columns are {listed}. Set task.messages "
                    "to the column with the messages, or to two such as [prompt, completion], or "
                    "task.instruction and task.output."
                )
            return {
                "instruction": "instruction",
                "output": options.output or "output",
                **self._found_also(("input",), names),
            }
        if self._is_alpaca:
            return {
                "output": options.output or "output",
                **self._found_also(("input",), names),
            }
        return self._found_also(("tools",), names)

    @classmethod
    def shared_options(cls, shared: Mapping[str, Any], own: Mapping[str, Any]) -> Mapping[str, Any]:
        """Messages and Alpaca's columns are two forms; a set that names one has no other."""
        apart: tuple[str, ...] = ()
        if own.get("messages") is not None:
            apart = _ALPACA
        elif any(own.get(key) is not None for key in _ALPACA):
            apart = _FORMS
        return {key: value for key, value in shared.items() if key not in apart}

    def may_take(self, key: str, value: Any) -> bool:
        """Which columns hold what, each set's own columns say."""
        return key not in (*_FORMS, *_ALPACA)

    def _found_also(self, keys: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
        return {key: key for key in keys if getattr(self.options, key) is None and key in names}

    def found(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Which columns hold what, by the rows themselves."""
        return self.found_in_columns(list(dict.fromkeys(name for row in rows for name in row)))

    def warnings(self, train: Sequence[Example]) -> list[str]:
        """Ends that are left out, and tools that the template has no place for."""
        talks = [e.made_of for e in train if isinstance(e.made_of, Conversation)]
        found = []
        if cut := sum(talk.num_left_out > 0 for talk in talks):
            found.append(
                f"In {counted(cut, 'row', 'rows')} of train the last message is not the "
                "assistant's, or has weight 0; the conversation ends with the assistant's last one "
                "that is learnt."
            )
        template = self._template
        calls = sum(talk.has_calls for talk in talks)
        if calls and not (template.knows_calls and template.knows_tools):
            found.append(
                counted(calls, "row of train has", "rows of train have")
                + f" tools, for which {template.name} has no place: they are "
                "described in the system's message, and calls are written as <tool_call> and "
                "JSON. Set task.chat_template to chatml, or to a file with a place for them, for "
                "another layout."
            )
        return found

    def example(self, row: Row, shots: Sequence[Example] = ()) -> Example:
        """See ``Task.example``."""
        if not self._is_alpaca:
            return self._laid(self._with_tools(self._talk(row), row))
        answer = text_of(row, "output", self.column_keys["output"], self.options.cleaning)
        asked = self._asked(row)
        messages = (*asked, {"role": ASSISTANT, "content": answer})
        return self._laid(Conversation(messages=messages))

    def prompt(self, row: Row, shots: Sequence[Example] = ()) -> Example:
        """See ``Task.prompt``; a text that is no conversation is a user's message."""
        if self._is_alpaca:
            return self._laid(Conversation(messages=self._asked(row)), known=False)
        column = self.column_keys["messages"]
        value = row.get(column)
        is_alone = _ANSWER not in self.column_keys
        messages = messages_of(text_as_message(value, USER), column, self.options.cleaning)
        asked = Conversation(messages=messages).before_answer if is_alone else messages
        if not any(message["role"] != SYSTEM for message in asked):
            raise DataError(f"the conversation (column {column!r}) has nothing to answer")
        return self._laid(self._with_tools(Conversation(messages=asked), row), known=False)

    def asked(self, row: Row) -> dict[str, object]:
        """See ``Task.asked``; the messages before the assistant's last one."""
        found = super().asked(row)
        if not self._is_alpaca:
            column = self.column_keys["messages"]
            found[column] = list(self._talk(row, cleaned=False).messages[:-1])
        return found

    def _talk(self, row: Row, *, cleaned: bool = True) -> Conversation:
        """A row's conversation up to the last answer, out of one column or two."""
        cleaning = self.options.cleaning if cleaned else ()
        columns = self.column_keys
        messages: list[dict[str, Any]] = []
        read = [columns[key] for key in ("messages", _ANSWER) if key in columns]
        said: tuple[dict[str, Any], ...] = ()
        for role, column in zip((USER, ASSISTANT), read, strict=False):
            value = row.get(column)
            if len(read) > 1:
                value = text_as_message(value, role)
            said = messages_of(value, column, cleaning)
            if messages and said[0]["role"] == SYSTEM:
                raise DataError(
                    f"message 1 (column {column!r}) is a system message, and the messages of "
                    f"{read[0]!r} are before it"
                )
            messages += said
        if len(read) == 1:
            return up_to_last_answer(messages, *read)
        if not any(map(is_learnt, said)):
            raise DataError(
                f"the answer (column {read[1]!r}) has no message of the assistant that is learnt"
            )
        talk = up_to_last_answer(messages, *read)
        return replace(talk, num_answering=len(said) - talk.num_left_out)

    def _asked(self, row: Row) -> tuple[dict[str, Any], ...]:
        cleaning, columns = self.options.cleaning, self.column_keys
        asked = text_of(row, "instruction", columns["instruction"], cleaning)
        column = columns.get("input")
        more = None if column is None else row.get(column)
        if more is not None:
            if not isinstance(more, str):
                raise DataError(
                    f"the input (column {column!r}) is not text but {type(more).__name__}"
                )
            if text := clean(more, cleaning):
                asked = f"{asked}\n\n{text}"
        return ({"role": USER, "content": asked},)

    def _with_tools(self, talk: Conversation, row: Row) -> Conversation:
        column = self.column_keys.get("tools")
        if column is None:
            return talk
        tools = tools_of(row.get(column), column)
        return replace(talk, tools=tools)

    def _laid(self, talk: Conversation, *, known: bool = True) -> Example:
        template = self._template
        shown = talk if template.knows_calls else calls_as_text(talk)
        shown = shown if template.knows_tools else tools_as_text(shown, TOOLS_TEXT)
        said = calls_as_text(talk).messages
        asked = shown.messages[:-1] if known else shown.messages
        prompt = template.rendered(asked, shown.tools, asks=True)
        read = as_read(said[:-1] if known else said)
        if not known:
            return Example(
                text=prompt.text,
                target_spans=(),
                literal_spans=prompt.data,
                prompt=prompt.text,
                shown=read,
                beginning="auto" if template.starts else "never",
                made_of=talk,
            )
        whole = template.rendered(shown.messages, shown.tools)
        if self.options.train_on == "all":
            targets = template.all_but_passed(whole, shown.messages, shown.tools)
        else:
            learnt = 1 if self.options.train_on == "last" else shown.num_answering
            # A long one may have lost the beginning of its answer as well.
            since = max(0, len(shown.messages) - learnt) if learnt else 0
            targets = template.answers(whole, shown.messages, shown.tools, since=since)
        answer = said[-1]["content"]
        return Example(
            text=whole.text,
            target_spans=targets,
            literal_spans=whole.data,
            prompt=prompt.text,
            prompt_literal_spans=prompt.data,
            references=(answer.strip(),),
            # Else what follows the answer would have to end it, and nothing does.
            ends=not template.end,
            beginning="auto" if template.starts else "never",
            shown=read,
            made_of=talk,
        )

    def said_in(self, example: Example) -> tuple[str, ...]:
        """See ``Task.said_in``."""
        assert isinstance(example.made_of, Conversation)
        return tuple(as_read([one]) for one in calls_as_text(example.made_of).messages)

    def shorten(self, example: Example) -> Example | None:
        """The oldest turn less."""
        assert isinstance(example.made_of, Conversation)
        shorter = example.made_of.without_oldest_turn()
        if shorter is None:
            return None
        return self._laid(shorter, known=bool(example.target_spans))

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Likelihood decides; the last answer is compared as a text too."""
        return ("nll", "exact_match", "rougeL")

    @property
    def baselines(self) -> tuple[Baseline, ...]:
        """The untuned base."""
        return (ZERO_SHOT,)
