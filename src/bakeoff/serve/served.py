"""What is served: models by name, and how each one's task makes a prompt of a request."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from bakeoff.base.model import Base
from bakeoff.data.choice_tokens import ChoiceTokens
from bakeoff.data.encode import TextEncoder
from bakeoff.data.examples import Example
from bakeoff.data.layout import Layout
from bakeoff.data.readers import OptionalColumn
from bakeoff.engine.generation.options import GenerationOptions
from bakeoff.engine.generation.stopping import stop_ids
from bakeoff.errors import DataError
from bakeoff.methods.contract import Method, Tensors
from bakeoff.metrics.contract import Ask
from bakeoff.serve.spelling import Spelling, Spelt
from bakeoff.tasks.contract import Task
from bakeoff.tasks.conversation.chat_rendering import base_template
from bakeoff.tasks.conversation.chat_templates import ChatTemplate

_NO_LIMIT: Final = 1 << 40
_CHOICES: Final = 1 << 22
"""Characters of choices whose tokens are remembered: a study's labels, and what requests give."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A request's text as tokens.

    Attributes:
        ids: the tokens. choices: texts of the answers to choose from, as they follow the prompt.
        is_chat: whether it is a conversation by the base's own chat template.
    """

    ids: list[int]
    example: Example | None = None
    is_chat: bool = False

    @property
    def choices(self) -> tuple[str, ...]:
        """See the class."""
        return () if self.example is None else self.example.choices


class Asking:
    """How one study, or a base without one, makes tokens of what a request says.

    Nothing that a request says is ever cut. It has a tokenizer of its own: those of the hub's
    library may not be used by two threads at once, and the engine's thread writes with the base's.

    Args:
        base: whose tokenizer. task: the study's; None takes every prompt as it is.
        generation: the study's settings, for what a request does not say.
    """

    def __init__(self, base: Base, task: Task | None, generation: GenerationOptions | None) -> None:
        self.task = task
        self.base = base
        self.generation = generation
        self.tokenizer = copy.deepcopy(base.tokenizer)
        self._spelling = Spelling(self.tokenizer)
        self._lock = threading.Lock()
        self._encoder = TextEncoder(self.tokenizer, tokenizer_id="served")
        self._layout = Layout(
            self._encoder, lambda _: None, max_length=_NO_LIMIT, max_target_tokens=0
        )
        self._choices = ChoiceTokens(self._encoder, most=_CHOICES)
        end = base.tokenizer.eos_token_id
        assert isinstance(end, int)
        self.raw_stops = frozenset([end])
        named = () if generation is None else generation.stop_tokens
        spelt = [*named, *(() if task is None else task.stop_tokens)]
        self.task_stops = frozenset([end, *stop_ids(base, list(dict.fromkeys(spelt)))])
        self.template: ChatTemplate | None = base_template(base.tokenizer)
        turn = () if self.template is None or not self.template.end else (self.template.end,)
        self.chat_stops = frozenset([end, *stop_ids(base, turn), *_ends_of(base)])

    def stops_of(self, prompt: Prompt, *, raw: bool) -> frozenset[int]:
        """The tokens that end an answer.

        Args:
            prompt: what is answered. raw: whether it was taken as it is, without the task.
        """
        if prompt.is_chat:
            return self.chat_stops
        return self.raw_stops if raw else self.task_stops

    @property
    def columns(self) -> tuple[str, ...]:
        """What the task reads of a row."""
        if self.task is None:
            return ()
        return tuple(dict.fromkeys(self.task.input_keys.values()))

    @property
    def required(self) -> tuple[str, ...]:
        """Those of them that no row may lack."""
        return tuple(name for name in self.columns if not isinstance(name, OptionalColumn))

    @property
    def chooses(self) -> bool:
        """Whether an answer is one of the task's choices."""
        return self.task is not None and Ask.CHOICE in self.task.asks

    @property
    def writes(self) -> bool:
        """Whether the task has answers at all."""
        return self.task is not None and bool(self.columns)

    def of_text(self, text: str) -> Prompt:
        """A prompt as it is; the tokenizer puts before it what it always does.

        Raises:
            DataError: it has no tokens.
        """
        with self._lock:
            ids = self.tokenizer(text)["input_ids"]
        return self._checked(list(ids), None)

    def of_row(self, row: Mapping[str, object]) -> Prompt:
        """A row of the task, laid out by its template.

        Raises:
            DataError: it breaks a rule of the task.
        """
        example = self._example(row)
        with self._lock:
            [laid] = self._layout.prompts([example])
        return self._checked(laid.ids.tolist(), example)

    def of_test_row(self, row: Mapping[str, object]) -> Prompt:
        """A row of a study's data as ``bakeoff predict`` asks it: cut where the study cuts.

        Raises:
            DataError: it breaks a rule of the task.
        """
        assert self.task is not None
        example, most = self._example(row), self.task.max_length
        layout = Layout(
            self._encoder,
            self.task.shorten,
            max_length=most,
            max_target_tokens=self.task.options.max_target_tokens,
        )
        with self._lock:
            [laid] = layout.prompts([example])
        if laid.missing:
            raise DataError(f"the row does not fit the study's {most} tokens; give another")
        return self._checked(laid.ids.tolist(), example)

    def _example(self, row: Mapping[str, object]) -> Example:
        assert self.task is not None
        lacking = [name for name in self.required if name not in row]
        if lacking:
            raise DataError(
                f"the row lacks {', '.join(lacking)}; the study reads {', '.join(self.columns)}"
            )
        return self.task.prompt(dict(row))

    def of_messages(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]
    ) -> Prompt:
        """A conversation by the base's own chat template.

        Raises:
            DataError: the base has none, or it refuses the conversation.
        """
        if self.template is None:
            raise DataError(
                "the base has no chat template; ask /v1/completions, or a study of conversations"
            )
        if tools and not self.template.knows_tools:
            raise DataError("the base's chat template has no place for tools; leave them out")
        rendering = self.template.rendered(list(messages), list(tools), asks=True)
        example = Example(
            text=rendering.text,
            target_spans=(),
            literal_spans=rendering.data,
            prompt=rendering.text,
            beginning="auto" if self.template.starts else "never",
        )
        with self._lock:
            [laid] = self._layout.prompts([example])
        return replace(self._checked(laid.ids.tolist(), example), is_chat=True)

    def choices_of(self, prompt: str, choices: tuple[str, ...]) -> list[list[int]]:
        """Tokens of texts as they follow a prompt.

        Raises:
            DataError: one has none.
        """
        with self._lock:
            [found] = self._choices.of([prompt], [choices])
        if any(not len(ids) for ids in found):
            raise DataError("a choice has no tokens, so it has no likelihood")
        return [ids.tolist() for ids in found]

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of tokens."""
        with self._lock:
            return str(self.tokenizer.decode(list(ids)))

    def spelt(self, token: int) -> Spelt:
        """One token by itself."""
        with self._lock:
            return self._spelling.of(token)

    def _checked(self, ids: list[int], example: Example | None) -> Prompt:
        if not ids:
            raise DataError("the prompt has no tokens; give a text")
        if (fault := self.base.unembedded(ids)) is not None:
            raise DataError(f"{fault}; leave it out")
        return Prompt(ids=[int(i) for i in ids], example=example)


def _ends_of(base: Base) -> list[int]:
    """The tokens that the base's makers end an answer with, by its generation configuration."""
    config = base.source.model.generation_config
    given = None if config is None else config.eos_token_id
    return given if isinstance(given, list) else [given] if isinstance(given, int) else []


@dataclass(frozen=True, kw_only=True)
class Served:
    """One model: an adapter, or the untuned base, with the task that it was tuned for.

    Attributes:
        name: by which requests ask for it. kind: the method's; ``zero_shot`` for the base.
        title: of the method, for people. study: its name, empty without one.
        lane: the shared base's name. asking: how prompts are made.
        loader: gives its method and tensors. extra_positions: see ``Method``.
        candidate: which run of the method it is. has_own_base: whether it runs by itself, slower.
        parameters: that were trained; 0 for the base. least_bytes: see ``Source``.
    """

    name: str
    kind: str
    title: str
    study: str
    lane: str
    asking: Asking
    loader: Callable[[], tuple[Method | None, Tensors]]
    extra_positions: int = 0
    candidate: str | None = None
    has_own_base: bool = False
    parameters: int = 0
    least_bytes: int = 0

    def load(self) -> tuple[Method | None, Tensors]:
        """See ``Source``."""
        return self.loader()
