"""Texts as sets of hashed shingles: every three words in a row, with the ends marked.

A text of n words has n + 2 shingles, and another word changes three of them. So texts under some
twenty words are near only where their words are the same, and in longer ones a few words may
differ. Case, spacing and punctuation make no word. In scripts without spaces each sign is a word.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Parts = Sequence[str]
"""The texts of one row's input: a column each, or a message each."""
Hashes = NDArray[np.uint64]
Index = NDArray[np.int64]

MOST_PARTS: Final = 32
"""Later parts of a row count as one with the last of these."""
_CHUNK_BYTES: Final = 1 << 20
"""Of texts that are hashed at once, unless one text alone is longer."""
# Marks of sentences. Signs of arithmetic and of code say something and stay.
_MARKS: Final = b"!\"'(),.:;?[]"
_BLANK: Final = bytes.maketrans(_MARKS + bytes(range(32)), b" " * (len(_MARKS) + 32))
_ALONE: Final = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0xA4CF),  # Chinese, Japanese, Yi
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
"""Scripts that put no spaces between words: first and last of their signs."""
_FEW_SIGNS: Final = 24
"""So many are replaced one after the other, which is faster than looking at every letter."""
_BASE: Final = np.uint64(0x9E3779B97F4A7C15)
_END: Final = np.uint64(0xD1B54A32D192ED03)


@dataclass(frozen=True, kw_only=True, eq=False)
class Shingles:
    """The shingles of some rows.

    Attributes:
        values: hashes, of each row in rising order and each once; their last bits (modulo
            ``MOST_PARTS``) say which part of the row they are of.
        offsets: [rows + 1] where each row's begin.
        contents: [rows] a hash of all of a row's words in their order.
    """

    values: Hashes
    offsets: Index
    contents: Hashes

    def __len__(self) -> int:
        return len(self.contents)


def shingled(rows: Iterable[Parts]) -> Iterator[Shingles]:
    """The shingles of all rows, some rows at a time so that memory stays bounded.

    Args:
        rows: their texts, normalised (see ``cleaning.normalise``).
    """
    texts: list[bytes] = []
    counts: list[int] = []
    size = 0
    for row in rows:
        found = [spelt(part) for part in row]
        texts += found
        counts.append(len(found))
        size += sum(map(len, found))
        if size >= _CHUNK_BYTES:
            yield _shingles(texts, counts)
            texts, counts, size = [], [], 0
    if counts:
        yield _shingles(texts, counts)


def spelt(text: str) -> bytes:
    """The words of a text, normalised before, with spaces between them."""
    if not text.isascii():
        strange = {sign for sign in set(text) if sign > "\x7f"}
        if len(strange) > _FEW_SIGNS:
            text = text.translate(_signs)
        else:
            for sign in strange:
                if (other := _signs[ord(sign)]) != sign:
                    text = text.replace(sign, other)
    words = text.encode("utf-8", "surrogatepass").translate(_BLANK)
    # A text of marks alone is told from others by these.
    return words if words.strip() else text.replace(" ", "").encode("utf-8", "surrogatepass")


class _Signs(dict[int, str]):
    """What stands for a sign outside ASCII: a space for punctuation, a word where it is one."""

    def __missing__(self, code: int) -> str:
        sign = chr(code)
        found = sign
        if code > 127 and unicodedata.category(sign)[0] in "PZ":
            found = " "
        elif any(first <= code <= last for first, last in _ALONE):
            found = f" {sign} "
        self[code] = found
        return found


_signs = _Signs()


def mixed(values: Hashes) -> Hashes:
    """Hashes whose every bit depends on every bit of what they are of (splitmix64's last steps)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _shingles(texts: list[bytes], counts: list[int]) -> Shingles:
    """Of some rows, whose parts follow each other in ``texts``."""
    per_row = np.array(counts, dtype=np.int64)
    words, num_words = _words(texts)
    # Each text gets two marks before its words and two after them.
    starts = np.concatenate([[0], np.cumsum(num_words + 4)])
    padded = np.full(int(starts[-1]), _END, dtype=np.uint64)
    of_word = np.repeat(np.arange(len(texts)), num_words)
    padded[np.arange(len(words)) + 4 * of_word + 2] = words
    first, second, third = padded[:-2], padded[1:-1], padded[2:]
    triples = mixed(first * np.uint64(3) + second * _BASE + third * np.uint64(0x2545F4914F6CDD1D))
    of_text = np.repeat(np.arange(len(texts)), num_words + 2)
    values = triples[np.arange(len(of_text)) + 2 * of_text]

    row_of_text = np.repeat(np.arange(len(counts)), per_row)
    place = np.arange(len(texts)) - np.repeat(np.cumsum(per_row) - per_row, per_row)
    part_of_text = np.minimum(place, MOST_PARTS - 1).astype(np.uint64)
    # Equal words in another part are something else. The last bits name the part.
    values = mixed(values + part_of_text[of_text] * _END)
    values = (values & ~np.uint64(MOST_PARTS - 1)) | part_of_text[of_text]
    rows = row_of_text[of_text]
    edges = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(counts)))])
    contents = _sums(mixed(values + _BASE), edges)
    for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        values[begin:end].sort()
    keep = np.ones(len(values), dtype=np.bool_)
    keep[1:] = (values[1:] != values[:-1]) | (rows[1:] != rows[:-1])
    values = values[keep]
    kept = np.bincount(rows[keep], minlength=len(counts))
    return Shingles(
        values=values,
        offsets=np.concatenate([[0], np.cumsum(kept)]),
        contents=contents,
    )


def _words(texts: list[bytes]) -> tuple[Hashes, Index]:
    """A hash of each word of all texts, and how many words each text has."""
    joined = np.frombuffer(b" " + b" ".join(texts) + b" ", dtype=np.uint8)
    is_space = joined == 32
    starts = np.flatnonzero(is_space[:-1] & ~is_space[1:]) + 1
    ends = np.flatnonzero(~is_space[:-1] & is_space[1:]) + 1
    # A polynomial of the word's bytes modulo 2**64, as differences of sums along all bytes.
    powers, inverses = _powers(1 << (len(joined) - 1).bit_length())
    sums = np.cumsum(_bytes_mixed()[joined] * powers[: len(joined)], dtype=np.uint64)
    words = mixed((sums[ends - 1] - sums[starts - 1]) * inverses[starts])
    edges = np.cumsum(np.array([0, *map(len, texts)]) + 1)  # a space before each text
    num_words = np.diff(np.searchsorted(starts, edges))
    return words, num_words.astype(np.int64)


def _sums(values: Hashes, edges: Index) -> Hashes:
    total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(values, dtype=np.uint64)])
    sums: Hashes = total[edges[1:]] - total[edges[:-1]]
    return sums


@cache
def _bytes_mixed() -> Hashes:
    return mixed(np.arange(1, 257, dtype=np.uint64) * _BASE)


_kept: dict[int, tuple[Hashes, Hashes]] = {}


def _powers(count: int) -> tuple[Hashes, Hashes]:
    """Powers of an odd number, and of its inverse, modulo 2**64."""
    if count not in _kept:
        inverse = np.uint64(pow(int(_BASE), -1, 1 << 64))
        found = []
        for base in (_BASE, inverse):
            factors = np.full(count, base, dtype=np.uint64)
            factors[0] = 1
            found.append(np.cumprod(factors, dtype=np.uint64))
        _kept.clear()  # of one size at a time
        _kept[count] = (found[0], found[1])
    return _kept[count]
