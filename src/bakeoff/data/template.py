"""The layout of one example: fixed text with columns in braces, the answer's last."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bakeoff.data.examples import Span
from bakeoff.errors import ConfigError

# In this order, so that {{{name}}} is a field between braces.
_PART: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A template with values in it.

    Attributes:
        text: all of it, or the prompt alone where the answer is not known.
        spans: where the value of each field is.
        prompt_end: where the prompt ends.
    """

    text: str
    spans: Mapping[str, Span]
    prompt_end: int


@dataclass(frozen=True, kw_only=True)
class Template:
    """Fixed text and fields in turn.

    White space before the answer belongs to the answer, because byte-pair vocabularies hold words
    with the space in front: a prompt that ends in a space asks the model for a token that it never
    saw there.

    Attributes:
        pieces: fixed text before each field, and after the last one.
        fields: what comes between, in order; the last one is the answer.
    """

    pieces: tuple[str, ...]
    fields: tuple[str, ...]

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        inputs: Sequence[str],
        target: str,
        example: str,
        path: str = "task.template",
    ) -> Template:
        """Splits a template.

        Args:
            text: holds each of ``inputs`` once in braces and, after them, ``target``; between them
                other columns, each once at most. ``{{`` and ``}}`` are braces.
            inputs, target: names of fields. example: a good template, for the error.
            path: how an error names the option.

        Raises:
            ConfigError: where the text breaks that rule.
        """
        pieces, fields = split_template(text, example, path)
        for name in dict.fromkeys((*inputs, target, *fields)):
            if (count := fields.count(name)) != 1:
                raise ConfigError(
                    f"{path} is {text!r}: it has {{{name}}} {count} times, and must have it "
                    f"exactly once. A good one is {example!r}."
                )
        if fields[-1] != target:
            raise ConfigError(
                f"{path} is {text!r}: {{{target}}} comes before {{{fields[-1]}}}, and must come "
                "after it, because the model reads the input first. Swap them."
            )
        return cls(pieces=tuple(pieces), fields=tuple(fields))

    def fill(self, values: Mapping[str, str]) -> Filled:
        """The text with the fields' values; without the answer's, the prompt alone."""
        text, spans = "", {}
        for piece, name in zip(self.pieces, self.fields[:-1], strict=False):
            start = len(text) + len(piece)
            text = f"{text}{piece}{values[name]}"
            spans[name] = (start, len(text))
        between, target = self.pieces[-2], self.fields[-1]
        # The end of the fixed text is cut, never the end of the data before it.
        prompt = text + between.rstrip()
        if target not in values:
            return Filled(text=prompt, spans=spans, prompt_end=len(prompt))
        start = len(text) + len(between)
        whole = f"{text}{between}{values[target]}"
        spans[target] = (start, len(whole))
        return Filled(text=whole + self.pieces[-1], spans=spans, prompt_end=len(prompt))

    def answer(self, value: str) -> str:
        """An answer as it follows the prompt: with the white space before and the text after it."""
        between = self.pieces[-2]
        return between[len(between.rstrip()) :] + value + self.pieces[-1]

    def value_of(self, answer: str) -> str:
        """The value that ``answer`` was made of, without white space at its ends."""
        return answer.rstrip().removesuffix(self.pieces[-1].rstrip()).strip()


def field_names(text: str) -> list[str]:
    """What stands in braces, in order; also of a template that breaks a rule."""
    return [found[1] for found in _PART.finditer(text) if found[1]]


def split_template(text: str, example: str, path: str) -> tuple[list[str], list[str]]:
    """(fixed text before each field and after the last one, the fields).

    Raises:
        ConfigError: a brace that holds no name and is no text.
    """
    pieces, fields, edge = [""], [], 0
    for found in _PART.finditer(text):
        pieces[-1] += text[edge : found.start()]
        edge = found.end()
        if found[1]:
            fields.append(found[1])
            pieces.append("")
        elif found[0] in ("{{", "}}"):
            pieces[-1] += found[0][0]
        else:
            raise ConfigError(
                f"{path} is {text!r}: it has {found[0]!r} at character {found.start() + 1}, and "
                "braces must hold a column's name. Name one, or write {{ and }} for braces that "
                f"are text. A good one is {example!r}."
            )
    pieces[-1] += text[edge:]
    return pieces, fields
