"""Texts far longer than a row may be, cut by characters before they are tokenised.

A document of ten megabytes takes many seconds and gigabytes to tokenise, and all but its first
tokens are thrown away. So only a stretch of it is tokenised, as long as the row's tokens can be
expected to need; whether they lie well inside it is looked at afterwards, and where they do not, a
longer stretch is taken. The tokens that stay are those of the whole text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.examples import Example, Span

CHARACTERS_PER_TOKEN: Final = 16
"""Of a text, those that are read at first for each token of a row; most need about four."""
LONGER: Final = 8
"""By what the stretch grows where it did not suffice."""
_FAR_END: Final = 256
"""Characters that stay at the end that gives way: tokens there may hold a bit of what follows."""
_MARGIN: Final = 256
"""Characters between the last token that stays and the gap, so that the gap decides none of it."""


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """An example of which not all has to be tokenised.

    Attributes:
        example: with a stretch of its cuttable data. gap: the character before which some are left
            out; None where all are there.
    """

    example: Example
    gap: int | None


def stretch_of(example: Example, most: int) -> Stretch:
    """At most ``most`` characters of an example's cuttable data, and a bit of the far end."""
    if example.cut_span is None:
        return Stretch(example=example, gap=None)
    start, stop = example.cut_span
    if stop - start <= most + _FAR_END:
        return Stretch(example=example, gap=None)
    if example.cut_start:
        first, past = start + _FAR_END, stop - most
    else:
        first, past = start + most, stop - _FAR_END
    return Stretch(example=without(example, first, past), gap=first)


def is_enough(
    offsets: NDArray[np.int64], inside: NDArray[np.int64], example: Example, gap: int
) -> bool:
    """Whether the tokens of the data that stay all lie well on the near side of the gap.

    Args:
        offsets: [T, 2] of the stretch's tokens. inside: indices of those of its data that stay.
    """
    if example.cut_start:
        return bool((offsets[inside, 0] >= gap + _MARGIN).all())
    return bool((offsets[inside, 1] <= gap - _MARGIN).all())


def clipped(spans: Sequence[Span], end: int) -> list[Span]:
    """Spans of a text's first ``end`` characters."""
    return [(start, min(stop, end)) for start, stop in spans if start < end]


def without(example: Example, first: int, past: int) -> Example:
    """An example without the characters [first, past) of its cuttable data."""
    assert example.cut_span is not None

    def moved(spans: tuple[Span, ...]) -> tuple[Span, ...]:
        return tuple((_moved(a, first, past), _moved(b, first, past)) for a, b in spans)

    start, stop = example.cut_span
    literal = example.prompt_literal_spans
    return replace(
        example,
        text=example.text[:first] + example.text[past:],
        prompt=example.prompt[:first] + example.prompt[past:],
        target_spans=moved(example.target_spans),
        literal_spans=moved(example.literal_spans),
        prompt_literal_spans=None if literal is None else moved(literal),
        cut_span=(start, stop - (past - first)),
    )


def _moved(place: int, first: int, past: int) -> int:
    """Where a place is once the characters from ``first`` to ``past`` are gone."""
    return place if place <= first else max(first, place - (past - first))
