"""Where the data of a conversation stand in its rendering.

A chat template is a program: what it makes of a message is known only once it has run. So it runs
a second time on messages whose texts carry marks, two characters that no text has, and where the
marks come out the data are. A template that takes a text apart may lose one of two marks; then as
much of the text as stands at the other one counts.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bakeoff.data.examples import Span

Message = Mapping[str, Any]

_NONCHARACTERS: Final = [chr(code) for code in range(0xFDD0, 0xFDF0)]
"""What Unicode keeps free for use inside a program."""
_MARKED_KEYS: Final = ("content", "reasoning_content", "arguments", "description")
"""What of messages and tools is text of their authors, whatever it is nested in."""


@dataclass(frozen=True)
class Marks:
    """Two characters that none of some texts has."""

    first: str
    last: str

    @classmethod
    def for_texts(cls, texts: Sequence[str]) -> Marks:
        """Marks that are in none of ``texts``; raises ValueError where those hold all of them."""
        free = [mark for mark in _NONCHARACTERS if not any(mark in text for text in texts)]
        if len(free) < 2:
            raise ValueError("the texts hold all of Unicode's noncharacters")
        return cls(free[0], free[1])

    def around(self, text: str) -> str:
        """The text with marks inside of the white space at its ends, which templates trim."""
        core = text.strip()
        if not core:
            return text
        start = text.index(core)
        return f"{text[:start]}{self.first}{core}{self.last}{text[start + len(core) :]}"

    def found(self, marked: str, cores: Sequence[str]) -> Marked:
        """Takes the marks out.

        Args:
            marked: a rendering with marks. cores: the texts that were marked, without the white
                space at their ends.
        """
        places = [match.start() for match in re.finditer(f"[{self.first}{self.last}]", marked)]
        text = marked.replace(self.first, "").replace(self.last, "")
        known = set(cores)
        spans: list[Span] = []
        opened: int | None = None

        def edge() -> int:
            return spans[-1][1] if spans else 0

        def forward(start: int, limit: int) -> None:
            length = max((common_length(text[start:limit], core) for core in known), default=0)
            if core := text[start : start + length].rstrip():
                spans.append((start, start + len(core)))

        def backward(stop: int) -> None:
            before = text[edge() : stop][::-1]
            length = max((common_length(before, core[::-1]) for core in known), default=0)
            if core := text[stop - length : stop].lstrip():
                spans.append((stop - len(core), stop))

        for number, place in enumerate(places):
            here = place - number
            if marked[place] == self.first:
                if opened is not None:
                    forward(opened, here)
                opened = here
            elif opened is not None and text[opened:here] in known:
                spans.append((opened, here))
                opened = None
            else:
                if opened is not None:
                    forward(opened, here)
                    opened = None
                backward(here)
        if opened is not None:
            forward(opened, len(text))
        return Marked(text=text, data=tuple(spans), places=tuple(places))


@dataclass(frozen=True, kw_only=True)
class Marked:
    """A rendering without its marks.

    Attributes:
        text: all of it. data: where marked texts stand, in rising order.
        places: of the marks, in the rendering with them.
    """

    text: str
    data: tuple[Span, ...]
    places: tuple[int, ...]

    def without_marks(self, index: int) -> int:
        """A place of the rendering with marks, in ``text``."""
        return index - bisect_left(self.places, index)


def texts_of(value: Any, keys: Sequence[str] = _MARKED_KEYS) -> Iterator[str]:
    """Every text below one of the keys, in order."""
    found: list[str] = []

    def keep(text: str) -> str:
        found.append(text)
        return text

    changed(value, keep, keys)
    yield from found


def changed(
    value: Any,
    change: Callable[[str], str],
    keys: Sequence[str] = _MARKED_KEYS,
    *,
    inside: bool = False,
) -> Any:
    """A copy in which every text below one of the keys is changed."""
    if isinstance(value, str):
        return change(value) if inside else value
    if isinstance(value, Mapping):
        return {
            key: changed(item, change, keys, inside=inside or key in keys)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [changed(item, change, keys, inside=inside) for item in value]
    return value


def common_length(first: str, second: str) -> int:
    """How many characters two texts begin with alike."""
    size = min(len(first), len(second))
    if first[:size] == second[:size]:
        return size
    return next(i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
