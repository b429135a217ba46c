"""Splits English text into sentences without any downloaded model.

ROUGE-Lsum compares summaries sentence by sentence and the lead-k baseline takes the first k, so
both need the same splitter. It also reads text that a task has lower-cased or tokenised.
"""

from __future__ import annotations

import re
from typing import Final

from bakeoff.errors import ConfigError

# A run of terminators, then closing brackets and quotes (also those of the Penn Treebank).
_BOUNDARY: Final = re.compile(
    r"""(?P<stop>[.!?\u2026]+|[\u3002\uff01\uff1f]+)
        (?P<close>["'\u2019\u201d\u00bb)\]]*(?:\s+(?:''|'|\u2019|\u201d|\u00bb|\)|\]|-rrb-)(?=\s|$))*)
        (?P<gap>\s+|$|(?<=[\u3002\uff01\uff1f]))""",
    re.VERBOSE | re.IGNORECASE,
)
_ACRONYM: Final = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]", re.IGNORECASE)
_OPENING: Final = " \"'`\u2018\u201c\u00ab([-\u2013\u2014"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TITLES: Final = _words(
    "mr mrs ms messrs dr prof sen rep gov gen lt col sgt capt cmdr adm maj cpl pvt rev hon pres st "
    "mt ft vs viz cf eg ie approx dept est inc ltd co corp bros jr sr al"
)
# These end sentences as well ("He said no."), so they bind only a number that follows.
_BEFORE_NUMBER: Final = _words(
    "no nos p pp vol fig sec ch art jan feb mar apr jun jul aug sep sept oct nov dec"
)
# After these a capital letter does not show that the abbreviation was the end: "Inc. The" is one.
_MAY_END: Final = _words("inc ltd co corp bros jr sr al")
_STARTERS: Final = _words(
    "the a an he she it they we i you his her its their our my this that these those there in on "
    "at but and so if when while after before as for from with by however meanwhile"
)


def split_sentences(text: str) -> list[str]:
    """Sentences of a text, in order, stripped and never empty.

    A line break always ends a sentence. Inside a line a terminator followed by white space does,
    unless it belongs to an abbreviation, an initial, a list number or a quotation that goes on
    ("'Why?' he asked."). In a line without any capital the next word's case says nothing, so
    that every full stop that is not an abbreviation's counts.

    Every character of the text other than white space is in exactly one sentence.
    """
    sentences: list[str] = []
    for line in text.splitlines():
        sentences.extend(_split_line(line.strip()))
    return sentences


def lead(document: str, k: int) -> str:
    """The first k sentences of a document, joined by line breaks: the lead-k baseline.

    Raises:
        ConfigError: k is below one.
    """
    if k < 1:
        raise ConfigError(f"lead: k is {k}, but a lead has at least one sentence; use k >= 1")
    return "\n".join(split_sentences(document)[:k])


def _split_line(line: str) -> list[str]:
    cased = any(character.isupper() for character in line)
    pieces: list[str] = []
    start = 0
    for match in _BOUNDARY.finditer(line):
        end = match.end("close")
        if not line[start : match.start()].strip(_OPENING):
            continue  # nothing but quotes before the stop, or the dots of ". . ."
        if line[end:].lstrip().startswith('"') and line.count('"', start, end) % 2:
            end = line.index('"', end) + 1  # a free-standing quote that closes an open one
        following = line[end:].lstrip()
        if following and not _ends_sentence(line, start, match, following, cased):
            continue
        pieces.append(line[start:end].strip())
        start = end
    pieces.append(line[start:].strip())
    return _join_wordless(pieces)


def _ends_sentence(
    line: str, start: int, match: re.Match[str], following: str, cased: bool
) -> bool:
    """Whether a terminator inside a line ends the sentence that begins at ``start``."""
    stop = match["stop"]
    head = following.lstrip(_OPENING)
    lower_follows = head[:1].islower()
    if stop[0] in "\u3002\uff01\uff1f":
        return True
    if stop != ".":
        # "Really?" he asked; well ... she said: a lower-case word goes on after these.
        ellipsis = set(stop) <= {".", "\u2026"}
        return not lower_follows or (not cased and not ellipsis)
    if match["close"].strip() == "" and line[match.start() - 1].isspace():
        return not (cased and lower_follows)  # a free-standing stop: tokenised text
    if cased and lower_follows:
        return False
    return not _is_abbreviation(line[start : match.start()], head, cased)


def _is_abbreviation(before: str, head: str, cased: bool) -> bool:
    """Whether the full stop after ``before`` only marks its last word as shortened."""
    words = before.split()
    word = words[-1].lstrip(_OPENING)
    lowered = word.lower()
    next_word = re.match(r"[^\W\d_]*", head)
    starts_sentence = cased and next_word is not None and next_word[0].lower() in _STARTERS
    if lowered in _BEFORE_NUMBER:
        return head[:1].isdigit()
    if lowered in _TITLES:
        return not (starts_sentence and lowered in _MAY_END)
    if _ACRONYM.fullmatch(word):
        return not starts_sentence
    if len(word) == 1 and word.isalpha():
        return True  # an initial: "J. Smith"
    # A list's number at the start of the line: "1. Mix the flour."
    return word.isdigit() and len(words) == 1 and len(word) <= 2


def _join_wordless(pieces: list[str]) -> list[str]:
    """Appends pieces without a letter or digit (stray quotes, dots) to the sentence before."""
    joined: list[str] = []
    for piece in pieces:
        if not piece:
            continue
        if joined and not any(character.isalnum() for character in piece):
            joined[-1] = f"{joined[-1]} {piece}"
        else:
            joined.append(piece)
    return joined
