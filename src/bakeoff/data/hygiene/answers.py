"""Whether the input says the answer: a leak, or a task of finding it there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from bakeoff.data.cleaning import normalise

_LEAST_WORDS: Final = 3
_LEAST_CHARACTERS: Final = 12
"""Shorter targets, such as yes, are in many texts by chance."""
_SENTENCE_ENDS: Final = re.compile(r"[.!?]+(?:\s|$)|[\n\u3002\uff01\uff1f]")
_LEAST_LABEL: Final = 2
_MOST_WRONG: Final = 0.2
"""Rows that name another label alone, against those that name the right one alone."""


class Found(NamedTuple):
    """In how many rows the input says the answer, of those that were looked at."""

    found: int
    rows: int

    @property
    def is_most(self) -> bool:
        """Whether it does in more than half of them."""
        return 2 * self.found > self.rows


def targets_in_inputs(rows: Iterable[tuple[str, str]]) -> Found:
    """How many targets stand in their inputs word for word, whole or sentence by sentence.

    Case and spacing do not matter. Targets of less than three words and of less than twelve
    characters count as not found.

    Args:
        rows: inputs and targets.
    """
    found = total = 0
    for text, target in rows:
        total += 1
        found += _says(normalise(text), target)
    return Found(found, total)


def labels_in_inputs(rows: Iterable[tuple[str, Sequence[str], int]]) -> Found:
    """How many inputs have the right label as a word, and no other label.

    None where the words seem to be there for other reasons: where inputs name a wrong label alone
    nearly as often.

    Args:
        rows: inputs, their choices, and the index of the right one.
    """
    right = wrong = total = 0
    for text, choices, gold in rows:
        total += 1
        words = f" {_words(text)} "
        # Of "not fit" and "fit", the longer one is meant where both are found.
        named: list[int] = []
        for place in sorted(range(len(choices)), key=lambda i: -len(choices[i])):
            label = _words(choices[place])
            if len(label) >= _LEAST_LABEL and not label.isdecimal() and f" {label} " in words:
                named.append(place)
                words = words.replace(f" {label} ", "  ")
        right += named == [gold]
        wrong += bool(named) and gold not in named
    return Found(right if wrong <= _MOST_WRONG * right else 0, total)


def _says(text: str, target: str) -> bool:
    whole = normalise(target)
    if not _is_long(whole):
        return False
    if whole in text:
        return True
    sentences = [normalise(part) for part in _SENTENCE_ENDS.split(target)]
    said = [sentence for sentence in sentences if sentence]
    return bool(said) and all(_is_long(sentence) and sentence in text for sentence in said)


def _is_long(text: str) -> bool:
    return len(text.split()) >= _LEAST_WORDS or len(text) >= _LEAST_CHARACTERS


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", normalise(text)))
