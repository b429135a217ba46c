"""Which chat template a task is laid out by, and prompts of every kind as a user's message."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

from transformers import PreTrainedTokenizerBase

from bakeoff.data.examples import Example, Span
from bakeoff.errors import ConfigError, DataError
from bakeoff.files import read_text
from bakeoff.tasks.contract import Row, Task
from bakeoff.tasks.conversation.chat_templates import ASSISTANT, CHATML, USER, ChatTemplate
from bakeoff.tasks.conversation.chatml import IM_END, chatml_text

CHAT: Final = "chat"
"""The key of what a base's tokenizer decides, among what ``Task.found`` does."""

_QUESTION, _ANSWER = "question", "answer"
_MOST_BYTES: Final = 1_000_000
"""Of a template; the longest in use have some ten thousand."""


def template_for(task: Task, tokenizer: PreTrainedTokenizerBase, root: Path) -> ChatTemplate | None:
    """The template that ``task.chat_template`` comes to with a base; None for plain text.

    Args:
        task: which. tokenizer: the base's. root: the folder that a relative path starts from.

    Raises:
        ConfigError: there is no such file, it is no template, or the kind has no use for one.
    """
    choice, use = task.options.chat_template, task.chat_template_use
    if choice == "none":
        return None
    if use == "never":
        if choice == "auto":
            return None
        raise ConfigError(
            f"task.chat_template is {choice!r}, but {task.kind} has no prompt and no answer that "
            "could be messages. Remove it."
        )
    if choice == "auto":
        own = _own_template(tokenizer)
        if own is not None and (use == "always" or not _has_layout_of_its_own(task)):
            return _made("the base's chat template", own, tokenizer)
        return chatml(tokenizer) if use == "always" else None
    if choice == "chatml":
        return chatml(tokenizer)
    if "{{" in choice or "{%" in choice:
        return _made("the template in task.chat_template", choice, tokenizer)
    path = (root / Path(choice).expanduser()).resolve()
    try:
        return _made(f"the template in {path}", read_text(path, _MOST_BYTES), tokenizer)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"task.chat_template is {choice!r}: {path} cannot be read as UTF-8 text "
            f"({getattr(error, 'strerror', None) or error}). Give auto, none, chatml or a file "
            "with a template in Jinja."
        ) from None


def chatml(tokenizer: PreTrainedTokenizerBase) -> ChatTemplate:
    """ChatML for a tokenizer, whose turns end with a token that it has."""
    spelt = IM_END if IM_END in _special(tokenizer) else str(tokenizer.eos_token)
    return dataclasses.replace(_made(CHATML, chatml_text(spelt), tokenizer), starts=True)


def base_template(tokenizer: PreTrainedTokenizerBase) -> ChatTemplate | None:
    """The base's own template; None where it has none."""
    own = _own_template(tokenizer)
    return None if own is None else _made("the base's chat template", own, tokenizer)


def note_on(task: Task, template: ChatTemplate | None) -> list[str]:
    """What a user must know of the choice of a template."""
    if template is None or task.options.chat_template != "auto":
        return []
    if task.chat_template_use == "always":
        if template.name != CHATML:
            return []
        return [
            "The base has no chat template, so ChatML is used; task.chat_template takes another."
        ]
    return [
        "The base's chat template is used: the prompt is the user's message, the answer the "
        "assistant's. Give task.template for plain text of your own, or task.chat_template: none."
    ]


def in_chat(task: Task, template: ChatTemplate) -> Task:
    """The same task, laid out by a chat template."""
    kind = type(task)
    laid_out_so = task.chat_template_use == "always" or issubclass(kind, InChat)
    made = (kind if laid_out_so else _in_chat(kind))(task.options)
    made.from_rows, made.chat = task.from_rows, template
    return made


class InChat(Task):
    """Goes before a kind: what that lays out as plain text becomes a user's message and its answer.

    Solved examples go before them as turns of their own.
    """

    def example(self, row: Row, shots: Sequence[Example] = ()) -> Example:
        """See ``Task.example``."""
        return self._rendered(super().example(row), shots)  # type: ignore[safe-super]

    def prompt(self, row: Row, shots: Sequence[Example] = ()) -> Example:
        """See ``Task.prompt``."""
        return self._rendered(super().prompt(row), shots)  # type: ignore[safe-super]

    def shorten(self, example: Example) -> Example | None:
        """See ``Task.shorten``."""
        turns = example.made_of
        assert isinstance(turns, _Turns)
        shorter = super().shorten(turns.plain)
        return None if shorter is None else self._rendered(shorter, turns.shots)

    def answer_shown(self, choice: str) -> str:
        """See ``Task.answer_shown``."""
        assert self.chat is not None
        return super().answer_shown(choice.removeprefix(self.chat.lead))

    def _rendered(self, plain: Example, shots: Sequence[Example]) -> Example:
        assert self.chat is not None
        if not plain.prompt.strip():
            raise DataError("the prompt is empty, so there is nothing for a user's message")
        return _rendered(self.chat, plain, tuple(shots))


@cache
def _in_chat(kind: type[Task]) -> type[Task]:
    return type(kind.__name__, (InChat, kind), {"__module__": kind.__module__})


@dataclasses.dataclass(frozen=True)
class _Turns:
    """What a rendering was made of."""

    plain: Example
    shots: tuple[Example, ...]


def _rendered(chat: ChatTemplate, plain: Example, shots: tuple[Example, ...]) -> Example:
    """A plain example as messages.

    Raises:
        DataError: the template refuses them, or changes what they say.
    """
    before = [message for shot in shots for message in _messages(plain_of(shot))]
    messages = [*before, *_messages(plain)]
    known = bool(plain.target_spans)
    asked = messages[:-1] if known else messages
    prompt = chat.rendered(asked, asks=True)
    moved = _place(chat, prompt.text, prompt.data, plain.prompt)
    literal = (
        *prompt.data[:-1],
        *_moved(_within(plain.literal_spans, 0, len(plain.prompt)), moved),
    )
    made = dataclasses.replace(
        plain,
        text=prompt.text,
        target_spans=(),
        literal_spans=literal,
        prompt=prompt.text,
        prompt_literal_spans=None,
        cut_span=None if plain.cut_span is None else moved(plain.cut_span),
        choices=_led(chat.lead, plain.choices),
        ends=plain.ends and not chat.end,
        beginning="auto" if chat.starts else "never",
        made_of=_Turns(plain, shots),
    )
    if not known:
        return made
    whole = chat.rendered(messages)
    [answered] = chat.answers(whole, messages, since=len(messages) - 1)[-1:]
    size = len(plain.prompt)
    placed = _place(chat, whole.text, whole.data, plain.text[size:])
    spans = _within(plain.literal_spans, size, len(plain.text))
    answer = _moved([(a - size, b - size) for a, b in spans], placed)
    # Nothing is learnt after the answer's end, and where it has none, after the answer.
    stop = answered[1] if plain.ends else placed((0, len(plain.text) - size))[1]
    asked_end = min(len(prompt.text), answered[0])
    alike = whole.text[:asked_end] == prompt.text[:asked_end]
    cut = made.cut_span
    if not alike:
        question = _place(chat, whole.text, whole.data[:-1], plain.prompt)
        literal = (*whole.data[:-2], *_moved(_within(plain.literal_spans, 0, size), question))
        cut = (
            None  # the task shortens by text instead, since it does not lie where the prompt's does
        )
    return dataclasses.replace(
        made,
        text=whole.text[:stop],
        target_spans=((answered[0], stop),),
        literal_spans=(*literal, *answer),
        prompt_literal_spans=None
        if alike and prompt.text == whole.text[: len(prompt.text)]
        else (made.literal_spans),
        cut_span=cut,
    )


@lru_cache(maxsize=1)
def _led(lead: str, choices: tuple[str, ...]) -> tuple[str, ...]:
    """Choices as answers; rows that share them share these too."""
    return tuple(lead + choice.strip() for choice in choices)


def plain_of(shot: Example) -> Example:
    """An example as plain text, whether or not it was made messages of."""
    return shot.made_of.plain if isinstance(shot.made_of, _Turns) else shot


def _messages(plain: Example) -> list[dict[str, str]]:
    asked = {"role": USER, "content": plain.prompt.strip()}
    if not plain.target_spans:
        return [asked]
    return [asked, {"role": ASSISTANT, "content": plain.text[len(plain.prompt) :].strip()}]


_Move = Callable[[Span], Span]


def _place(chat: ChatTemplate, text: str, data: Sequence[Span], message: str) -> _Move:
    """How spans of a message lie in the rendering whose last data it is.

    Raises:
        DataError: the template changes the message.
    """
    core = message.strip()
    if not data or text[slice(*data[-1])] != core:
        raise DataError(
            f"{chat.name} changes a message that is {core[:60]!r}, so its parts cannot be found "
            "again; set task.chat_template: none, or to another template, such as chatml"
        )
    start, lead = data[-1][0], len(message) - len(message.lstrip())

    def moved(span: Span) -> Span:
        first, last = (min(max(edge - lead, 0), len(core)) + start for edge in span)
        return first, last

    return moved


def _moved(spans: Sequence[Span], move: _Move) -> list[Span]:
    return [move(span) for span in spans]


def _within(spans: Sequence[Span], start: int, stop: int) -> list[Span]:
    return [(max(a, start), min(b, stop)) for a, b in spans if a < stop and b > start]


def _has_layout_of_its_own(task: Task) -> bool:
    """Whether the study gives a template for plain text that is not the kind's own."""
    fields = {f.name: f.default for f in dataclasses.fields(task.options)}
    return "template" in fields and task.options.template != fields["template"]


def _own_template(tokenizer: PreTrainedTokenizerBase) -> str | None:
    found: Any = tokenizer.chat_template
    if isinstance(found, dict):
        found = found.get("default")
    return found if isinstance(found, str) and found.strip() else None


def _special(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    added = getattr(tokenizer, "added_tokens_decoder", {})
    found = {token.content for token in added.values() if token.special}
    return {spelt for spelt in (*found, *tokenizer.all_special_tokens) if spelt}


def _made(name: str, text: str, tokenizer: PreTrainedTokenizerBase) -> ChatTemplate:
    """A template with what a question and an answer show of it.

    Raises:
        ConfigError: it is not valid, or cannot show them.
    """
    if len(text) > _MOST_BYTES:
        raise ConfigError(
            f"task.chat_template: {name} has {len(text)} characters, and {_MOST_BYTES} are the "
            "limit; give another"
        )
    named = {k: v for k, v in tokenizer.special_tokens_map.items() if isinstance(v, str)}
    made = ChatTemplate(name=name, text=text, variables=named)
    messages = [{"role": USER, "content": _QUESTION}, {"role": ASSISTANT, "content": _ANSWER}]
    try:
        asked = made.plain(messages[:1], asks=True)
        whole = made.plain(messages)
    except DataError as error:
        raise ConfigError(
            f"task.chat_template: it cannot render one question and its answer: {error}"
        ) from None
    place = whole.rfind(_ANSWER)
    if _QUESTION not in asked or place < 0:
        raise ConfigError(
            f"task.chat_template: {name} leaves a question or its answer out; give another"
        )
    tail = whole[place + len(_ANSWER) :]
    longest_first = sorted(_special(tokenizer), key=len, reverse=True)
    ends = re.search("|".join(map(re.escape, longest_first)) or r"(?!)", tail)
    lead = whole[len(asked) : place] if whole.startswith(asked) else ""
    return dataclasses.replace(made, end=ends.group() if ends else "", lead=lead)
