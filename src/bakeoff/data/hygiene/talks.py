"""Conversations of which another split holds the beginning or what follows.

A talk may be written as a row for each of its answers, each with all that was said before. Rows of
one talk differ in what is before their last answer, so that they are in different splits as if they
had nothing in common; yet the answer of a shorter one stands word for word in a longer one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from bakeoff.data.cleaning import normalise
from bakeoff.types import Split


class Talk(NamedTuple):
    """A row's messages, each with who says it. row: its number in the source."""

    row: int
    messages: tuple[str, ...]


class SharedTalks(NamedTuple):
    """Rows of two splits of which one begins with the other.

    Attributes:
        first, second: the splits. begin: rows of the second that are the beginning of one of the
            first. go_on: rows of the second, none of those, that begin with one of the first.
        example: a row of the second and one of the first.
    """

    first: Split
    second: Split
    begin: int
    go_on: int
    example: tuple[int, int]


def shared_talks(
    splits: Mapping[Split, Sequence[Talk]], pairs: Sequence[tuple[Split, Split]]
) -> list[SharedTalks]:
    """The pairs of splits that share talks; those that are equal are no concern of this.

    Texts count as the same where only case and spacing differ. A beginning that goes on in several
    ways, such as a greeting, is of no one talk and counts for none.

    Args:
        splits: the talks of each. pairs: that are compared.
    """
    digests = {split: [_beginnings(talk) for talk in talks] for split, talks in splits.items()}
    whole: dict[Split, dict[bytes, int]] = {}
    parts: dict[Split, dict[bytes, int]] = {}
    for split, talks in splits.items():
        whole[split], parts[split] = {}, {}
        for talk, (*before, last) in zip(talks, digests[split], strict=True):
            whole[split].setdefault(last, talk.row)
            for digest in before:
                parts[split].setdefault(digest, talk.row)
    shared = _of_several(digests.values())
    found = []
    for first, second in pairs:
        begin: list[tuple[int, int]] = []
        go_on: list[tuple[int, int]] = []
        for talk, (*before, last) in zip(splits[second], digests[second], strict=True):
            own = [digest for digest in before if digest not in shared]
            if last not in shared and (other := parts[first].get(last)) is not None:
                begin.append((talk.row, other))
                continue
            others = (whole[first][digest] for digest in own if digest in whole[first])
            if (other := next(others, None)) is not None:
                go_on.append((talk.row, other))
        if begin or go_on:
            shown = (begin or go_on)[0]
            found.append(SharedTalks(first, second, len(begin), len(go_on), shown))
    return found


def _of_several(splits: Iterable[Sequence[Sequence[bytes]]]) -> set[bytes]:
    """Beginnings that go on in more than one way."""
    next_of: dict[bytes, bytes] = {}
    found = set[bytes]()
    for digests in splits:
        for talk in digests:
            for one, after in pairwise(talk):
                if next_of.setdefault(one, after) != after:
                    found.add(one)
    return found


def _beginnings(talk: Talk) -> list[bytes]:
    """A digest of the first message, of the first two, and so on up to all."""
    return list(accumulate((normalise(text) for text in talk.messages), _longer, initial=b""))[1:]


def _longer(before: bytes, message: str) -> bytes:
    text = message.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(before + text, digest_size=16).digest()
