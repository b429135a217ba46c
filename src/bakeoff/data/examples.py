"""An example: a row as one text, with spans that say what is supervised and what is data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Span = tuple[int, int]
"""Characters from the first number up to, not including, the second."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One row, as its task lays it out. It is tokenised as a whole.

    Attributes:
        text: all of it, special tokens of the template spelt out.
        target_spans: what is supervised, in rising order.
        literal_spans: what is data, in rising order: the spelling of a special token in there is
            plain text.
        prompt: what generation starts from, and what choices follow. Often the beginning of
            ``text``, but not always: a chat's may end differently.
        prompt_literal_spans: the data in ``prompt``; None takes those of ``text`` that begin in it,
            which is right where ``prompt`` is the beginning of ``text``.
        cut_span: the data whose end gives way, token by token, where the row is too long; None
            where nothing of the kind does. It is of ``text`` and ``prompt`` alike.
        cut_start: whether its beginning gives way instead, as where a question comes last.
        references: answers that count as right; the first is the one that is trained on.
        choices: answers to choose from, each spelt as it follows ``prompt``.
        gold: the index of the right choice.
        group: rows with the same one hang together.
        beginning: what stands before ``text``: ``auto`` what the tokenizer puts there; ``always``
            an end-of-text token where it puts nothing, so that the first token is predicted too;
            ``never`` nothing, as a chat's template begins the text itself.
        ends: whether an end-of-text token follows ``text``, supervised where the text's end is.
        windows: whether a text that is too long becomes several rows, instead of being cut.
        shown: the input as found, for readers and for baselines that copy from it.
        made_of: what the task made it of, for its own ``shorten``; no one else looks at it.
    """

    text: str
    target_spans: tuple[Span, ...]
    literal_spans: tuple[Span, ...] = ()
    prompt: str = ""
    prompt_literal_spans: tuple[Span, ...] | None = None
    cut_span: Span | None = None
    cut_start: bool = False
    references: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    gold: int | None = None
    group: str | None = None
    beginning: Literal["auto", "always", "never"] = "auto"
    ends: bool = True
    windows: bool = False
    shown: str = ""
    made_of: object = None

    @property
    def literals_of_prompt(self) -> tuple[Span, ...]:
        """The data in ``prompt``."""
        if self.prompt_literal_spans is not None:
            return self.prompt_literal_spans
        end = len(self.prompt)
        return tuple((start, min(stop, end)) for start, stop in self.literal_spans if start < end)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The data that is not supervised, a text for each column or message."""
        return tuple(
            self.text[start:stop]
            for start, stop in self.literal_spans
            if not any(start < end and begin < stop for begin, end in self.target_spans)
        )

    @property
    def target(self) -> str:
        """The supervised text."""
        return "\n".join(self.text[start:stop] for start, stop in self.target_spans)
