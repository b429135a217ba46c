"""What a desk is made of: drawing, templates with alternatives, sentence slots."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

Item = TypeVar("Item")
Facts = dict[str, str]
Piece = str | tuple[str, ...]
Template = tuple[Piece, ...]
Slot = tuple[Template, ...]

_ALTERNATIVES: Final = re.compile(r"\[([^\]]*)\]")


class Draw:
    """Random choices that are the same on every Python version.

    Only ``Random.random`` is promised never to change for a seed, so all else is built on it.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self._random() < probability

    def integer(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, both included."""
        return low + int(self._random() * (high - low + 1))

    def pick(self, items: Sequence[Item]) -> Item:
        """One of the items."""
        return items[int(self._random() * len(items))]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """All items in a random order."""
        out = list(items)
        for last in range(len(out) - 1, 0, -1):
            other = int(self._random() * (last + 1))
            out[last], out[other] = out[other], out[last]
        return out


def compile_template(text: str) -> Template:
    """Parts a template at its alternatives: ``"[A|One] man"`` is ``(("A", "One"), " man")``."""
    pieces = _ALTERNATIVES.split(text)
    return tuple(
        tuple(piece.split("|")) if place % 2 else piece
        for place, piece in enumerate(pieces)
        if place % 2 or piece
    )


def slot(*templates: str) -> Slot:
    """One place in a text, with the templates that can fill it."""
    return tuple(compile_template(text) for text in templates)


def write(draw: Draw, template: Template, facts: Facts) -> str:
    """Writes one sentence: chooses the alternatives, then fills in the facts."""
    return "".join(
        [piece if isinstance(piece, str) else draw.pick(piece) for piece in template]
    ).format_map(facts)


@dataclass(frozen=True, kw_only=True)
class Desk:
    """One kind of story.

    Attributes:
        name: The desk's name.
        event: Draws the facts of one event.
        key: The facts that tell one event from another; they decide its split.
        leads: Opening sentences; none of them holds all that the highlights need.
        body: Slots that are all written, in any order; each template of a slot states the same
            facts, so that a highlight never tells what the article does not.
        echoes: Sentences that name people, places and numbers once more; at least two are written.
        colour: Background that no highlight needs.
        highlights: Slots of highlights. The first two are always written, each further one
            sometimes.
    """

    name: str
    event: Callable[[Draw], Facts]
    key: tuple[str, ...]
    leads: Slot
    body: tuple[Slot, ...]
    echoes: Slot
    colour: Slot
    highlights: tuple[Slot, ...]
