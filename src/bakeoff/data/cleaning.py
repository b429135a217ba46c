"""What may be done to a text before it is tokenised."""

from __future__ import annotations

import functools
import string
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from bakeoff.data.options import CleaningStep


@functools.cache
def _punctuation() -> Mapping[int, None]:
    # Unicode's punctuation, and the ASCII symbols ($ + < = > ^ ` | ~) that Python counts with it.
    marks = dict.fromkeys(map(ord, string.punctuation))
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)).startswith("P"):
            marks[code] = None
    return MappingProxyType(marks)


def _strip_punctuation(text: str) -> str:
    return text.translate(_punctuation())


def _collapse_whitespace(text: str) -> str:
    return " ".join(text.split())


_STEPS: Final[Mapping[CleaningStep, Callable[[str], str]]] = {
    "lowercase": str.lower,
    "strip_punctuation": _strip_punctuation,
    "collapse_whitespace": _collapse_whitespace,
}


_INVISIBLE: Final = frozenset({"Cf", "Zl", "Zp", "Zs"})
_FILLERS: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0" + "".join(map(chr, range(0xFE00, 0xFE10)))
)


def clean(text: str, steps: Iterable[CleaningStep]) -> str:
    """Does the steps in order, then drops white space at both ends.

    Args:
        text: a document or a summary.
        steps: ``lowercase``; ``strip_punctuation``, which removes every Unicode punctuation
            character and the ASCII symbols, and leaves letters, accents and line ends alone;
            ``collapse_whitespace``, which makes each run of white space one space.

    Returns:
        The text, empty where nothing is left.
    """
    for step in steps:
        text = _STEPS[step](text)
    return text.strip()


def clean_inside(text: str, steps: Iterable[CleaningStep]) -> str:
    """Does the steps to what lies between the white space at both ends, which stays as found."""
    if not steps or not text.strip():
        return text
    start = len(text) - len(text.lstrip())
    stop = len(text.rstrip())
    return text[:start] + clean(text, steps) + text[stop:]


def is_blank(text: str) -> bool:
    """Whether nothing of a text can be seen.

    Beside white space that is what has no width (U+200B, U+FEFF, U+2060, soft hyphens, marks of
    direction), and fillers.
    """
    return all(
        char.isspace() or char in _FILLERS or unicodedata.category(char) in _INVISIBLE
        for char in text
    )


def normalise(text: str) -> str:
    """Returns the form by which two texts count as the same: case and spacing do not matter."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())
