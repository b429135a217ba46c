"""A chat template: conversations as texts, and where in them the data and the answers are.

Templates run in Transformers' sandbox; nothing of a base's own code ever does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Final

from bakeoff.data.examples import Span
from bakeoff.errors import DataError
from bakeoff.limits import OverLimitError, limited
from bakeoff.tasks.conversation.chat_marks import Marks, Message, changed, common_length, texts_of
from bakeoff.tasks.conversation.chatml import IM_END, chatml_text

_TAGS: Final = re.compile(r"\{%-?\s*generation\s*-?%\}")
_SHOWN: Final = 40
_MOST_CHARACTERS: Final = 1_000_000
_MOST_TIMES: Final = 20
"""What a template may make of each character that it is given, besides ``_MOST_CHARACTERS``."""
_READ: Final = ("content", "reasoning_content", "arguments", "description")
_DATE: Final = "26 Jul 2024"
"""Llama 3's own fallback: a rendering must be the same tomorrow."""

CHATML: Final = "ChatML"
"""What messages call our own template."""

USER: Final = "user"
ASSISTANT: Final = "assistant"
WEIGHT: Final = "weight"
"""The key of an assistant's message that says whether it is learnt, as in OpenAI's files."""


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """A conversation as one text.

    Attributes:
        text: all of it. data: what messages and tools say, in rising order.
        generated: what ``{% generation %}`` marks; None where the template has no such mark.
    """

    text: str
    data: tuple[Span, ...]
    generated: tuple[Span, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class ChatTemplate:
    """A template with what it needs of a tokenizer.

    Attributes:
        name: how messages call it. text: in Jinja.
        variables: special tokens that the template may ask for, by name.
        end: the token that ends an assistant's turn, empty where none does.
        lead: what stands between the prompt for an answer and the answer.
        starts: whether the tokenizer's own beginning of a text is put before a rendering; templates
            of bases have theirs in them.
    """

    name: str
    text: str
    variables: Mapping[str, str] = field(default_factory=dict)
    end: str = ""
    lead: str = ""
    starts: bool = False

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ChatTemplate:
        """What ``record`` took down."""
        return cls(**record)

    @property
    def record(self) -> dict[str, Any]:
        """As plain values, for caches and results."""
        return {**asdict(self), "variables": dict(self.variables)}

    @cached_property
    def has_tags(self) -> bool:
        """Whether it marks by itself what the assistant writes."""
        return _TAGS.search(self.text) is not None

    @property
    def knows_calls(self) -> bool:
        """Whether it has a place for the assistant's calls of tools."""
        return "tool_calls" in self.text

    @property
    def knows_tools(self) -> bool:
        """Whether it has a place for descriptions of tools."""
        return re.search(r"\btools\b", self.text) is not None

    def plain(
        self, messages: Sequence[Message], tools: Sequence[Message] = (), *, asks: bool = False
    ) -> str:
        """The text alone.

        Args:
            messages: with role and content. tools: what may be called.
            asks: whether the beginning of an answer follows.

        Raises:
            DataError: the template refuses the conversation.
        """
        return self._run(messages, tools, asks)[0]

    def rendered(
        self, messages: Sequence[Message], tools: Sequence[Message] = (), *, asks: bool = False
    ) -> Rendering:
        """The text with its spans; arguments as of ``plain``.

        Raises:
            DataError: the template refuses the conversation.
        """
        text, indices = self._run(messages, tools, asks)
        whole = [*messages, *tools]
        for keys in (_READ, ("content",)):
            texts = list(texts_of(whole, keys))
            marks = Marks.for_texts([text, *texts])
            try:
                marked, marked_indices = self._run(
                    changed(messages, marks.around, keys), changed(tools, marks.around, keys), asks
                )
            except DataError:
                continue  # what the template looks for in a text is hidden by a mark
            found = marks.found(marked, [core for t in texts if (core := t.strip())])
            if found.text == text:
                spans = tuple(
                    (found.without_marks(a), found.without_marks(b)) for a, b in marked_indices
                )
                return Rendering(
                    text=text, data=found.data, generated=spans if self.has_tags else None
                )
        return Rendering(
            text=text,
            data=_in_order(text, list(texts_of(messages, ("content",)))),
            generated=tuple(indices) if self.has_tags else None,
        )

    def answers(
        self,
        whole: Rendering,
        messages: Sequence[Message],
        tools: Sequence[Message] = (),
        *,
        since: int = 0,
    ) -> tuple[Span, ...]:
        """What of a rendering the assistant writes and is learnt: each turn with its end token.

        Args:
            whole: of all ``messages``, of which the last one is the assistant's.
            since: only turns from this message on, counted from 0.

        Raises:
            DataError: the rendering of the first messages is not the beginning of the whole's.
        """
        if whole.generated is not None:
            return self._marked_answers(whole, messages, tools, since)
        spans: list[Span] = []
        for place in range(since, len(messages)):
            if not is_learnt(messages[place]):
                continue
            head = self.plain(messages[:place], tools, asks=True) if place else ""
            self._check_beginning(head, whole.text, place)
            turn = (
                whole.text
                if place == len(messages) - 1
                else self.plain(messages[: place + 1], tools)
            )
            stop = self._end_of(turn, len(head))
            self._check_beginning(turn[:stop], whole.text, place)
            spans.append((len(head), stop))
        return tuple(spans)

    def all_but_passed(
        self, whole: Rendering, messages: Sequence[Message], tools: Sequence[Message] = ()
    ) -> tuple[Span, ...]:
        """A whole rendering without the assistant's turns that are not learnt.

        Args, Raises: as of ``answers``.
        """
        if all(is_learnt(message) or message["role"] != ASSISTANT for message in messages):
            return ((0, len(whole.text)),)
        every = self.answers(whole, [_without_weight(message) for message in messages], tools)
        learnt = set(self.answers(whole, messages, tools))
        edges = [0, *(edge for span in every if span not in learnt for edge in span)]
        edges.append(len(whole.text))
        spans = zip(edges[::2], edges[1::2], strict=True)
        return tuple((start, stop) for start, stop in spans if start < stop)

    def _marked_answers(
        self,
        whole: Rendering,
        messages: Sequence[Message],
        tools: Sequence[Message],
        since: int,
    ) -> tuple[Span, ...]:
        assert whole.generated is not None
        spans = tuple(span for span in whole.generated if span[0] < span[1])
        passed = [
            (
                self._num_marked(messages[:place], tools),
                self._num_marked(messages[: place + 1], tools),
            )
            for place in range(since, len(messages))
            if messages[place]["role"] == ASSISTANT and not is_learnt(messages[place])
        ]
        first = self._num_marked(messages[:since], tools)
        spans = tuple(
            span
            for index, span in enumerate(spans)
            if index >= first and not any(start <= index < stop for start, stop in passed)
        )
        if not spans:
            raise DataError(
                f"{self.name} marks nothing of the conversation with {{% generation %}}, so there "
                "is nothing to learn; set task.chat_template to another template, such as chatml"
            )
        return spans

    def _num_marked(self, messages: Sequence[Message], tools: Sequence[Message]) -> int:
        """How many spans of the first messages are marked as the assistant's."""
        if not messages:
            return 0
        _, spans = self._run(messages, tools, False)
        return sum(start < stop for start, stop in spans)

    def _end_of(self, turn: str, start: int) -> int:
        """Where the last turn of a text ends; white space after its end token is the template's."""
        place = turn.rfind(self.end, start) if self.end else -1
        return len(turn) if place < 0 else place + len(self.end)

    def _check_beginning(self, head: str, text: str, place: int) -> None:
        if text.startswith(head):
            return
        at = common_length(head, text)
        raise DataError(
            f"{self.name} renders the first {place} messages by themselves otherwise than at the "
            f"beginning of the conversation, so what it makes of message {place + 1} cannot be "
            f"told: after {_shown(text[max(0, at - _SHOWN) : at])} one has "
            f"{_shown(head[at : at + _SHOWN])}, the other {_shown(text[at : at + _SHOWN])}. Set "
            "task.train_on: last, or task.chat_template to chatml or to a template that marks with "
            "{% generation %} what the assistant writes"
        )

    def _run(
        self, messages: Sequence[Message], tools: Sequence[Message], asks: bool
    ) -> tuple[str, list[Span]]:
        from transformers.utils.chat_template_utils import render_jinja_template

        render: Any = render_jinja_template  # its types are narrower than what it takes
        remedy = "correct it, or set task.chat_template to another template, such as chatml"
        try:
            with limited(self.name):
                texts, indices = render(
                    conversations=[[_without_weight(message) for message in messages]],
                    tools=list(tools) or None,
                    chat_template=self.text,
                    return_assistant_tokens_mask=self.has_tags,
                    add_generation_prompt=asks,
                    date_string=_DATE,
                    **self.variables,
                )
        except MemoryError:
            raise DataError(
                f"{self.name} asks for more than the gibibyte of memory that a template may take; "
                f"{remedy}"
            ) from None
        except OverLimitError as error:
            raise DataError(f"{error}; {remedy}") from None
        except Exception as error:  # a program of others may raise anything
            raise DataError(
                f"{self.name} refuses the conversation ({_first_line(error)}); {remedy}"
            ) from None
        given = sum(len(text) for text in texts_of([*messages, *tools], _READ))
        if len(texts[0]) > _MOST_CHARACTERS + _MOST_TIMES * given:
            raise DataError(
                f"{self.name} makes {len(texts[0])} characters of a conversation of {given}, and "
                f"{_MOST_CHARACTERS} and {_MOST_TIMES} times as many are the limit; {remedy}"
            )
        return texts[0], [(start, stop) for start, stop in indices[0]] if indices else []


CHATML_TEMPLATE: Final = ChatTemplate(name=CHATML, text=chatml_text(), end=IM_END, starts=True)
"""Of a tokenizer that has ChatML's tokens."""


def is_learnt(message: Message) -> bool:
    """Whether it is the assistant's, and not one that OpenAI's weight 0 keeps from being learnt."""
    return message["role"] == ASSISTANT and message.get(WEIGHT) != 0


def _without_weight(message: Message) -> Message:
    """What a template may read: a weight is about training alone."""
    return {key: value for key, value in message.items() if key != WEIGHT}


def _in_order(text: str, contents: Sequence[str]) -> tuple[Span, ...]:
    """Each content where it stands after the one before; those that are not there are left out."""
    spans: list[Span] = []
    edge = 0
    for content in contents:
        core = content.strip()
        place = text.find(core, edge) if core else -1
        if place >= 0:
            edge = place + len(core)
            spans.append((place, edge))
    return tuple(spans)


def _shown(text: str) -> str:
    return repr(text) if text else "nothing"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
