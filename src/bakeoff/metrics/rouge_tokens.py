"""How texts become words for ROUGE: English as ``rouge_score`` has it, all else by its own letters.

The library keeps a to z and digits and takes all else for gaps, so that Russian or Japanese has no
words at all. English stays with it to the letter, "café" as "caf" included, since published
scores were made so. Which of the two a row is scored by depends on its reference alone and never on
what a model wrote.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable
from enum import Enum
from typing import Final, cast

_STEM_CACHE: Final = 1 << 17
_MIN_STEMMED: Final = 4  # letters; the library stems no shorter word


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Common in English and hardly a word in other languages, as "in", "was" or "will" are.
_ENGLISH_WORDS: Final = _words(
    "the and of to that with by from it his he she they their are has have been but not who which "
    "after about would this its were said what when there you your can be more than"
)
_MIN_ENGLISH_SHARE: Final = 0.03  # of the words; in running English it is about a fifth
_MAX_FOREIGN_SHARE: Final = 0.05  # of the letters: English with names such as "São" has less
_WORD: Final = re.compile(r"[^\W\d_]+")

# Written without spaces between words, so that each letter is a word, as in Chinese BLEU.
_UNSPACED: Final = re.compile(
    "[\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u3100-\u312f\u31a0-\u31bf\u31f0-\u31ff"  # kana, bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"  # Chinese characters
)


def is_english(text: str) -> bool:
    """Whether a text is scored as the library scores English.

    So is every text without letters and digits beyond ASCII, whatever its language: both ways
    give the same words there. Of other texts so are those with some of English's commonest words
    and few such letters.
    """
    foreign = sum(not c.isascii() and _kind(c) in (_Kind.LETTER, _Kind.ALONE) for c in text)
    if not foreign:
        return True
    words = _WORD.findall(text.lower())
    common = sum(word in _ENGLISH_WORDS for word in words)
    return foreign <= _MAX_FOREIGN_SHARE * sum(
        map(len, words)
    ) and common >= _MIN_ENGLISH_SHARE * len(words)


def share_without_spaces(text: str) -> float:
    """The share of a text's letters of scripts that have no spaces between words."""
    letters = sum(_kind(character) in (_Kind.LETTER, _Kind.ALONE) for character in text)
    alone = sum(_kind(character) is _Kind.ALONE for character in text)
    return alone / letters if letters else 0.0


class EnglishTokenizer:
    """The library's own tokenizer and stemmer, each word stemmed once (half of the time)."""

    def __init__(self) -> None:
        from rouge_score import tokenize

        self._tokenize = tokenize.tokenize
        self.stem = cached_stem()  # what the library's function calls

    def tokenize(self, text: str) -> list[str]:
        """A text's words, as ``rouge_score`` takes them."""
        return cast(list[str], self._tokenize(text, self))


class EveryScriptTokenizer:
    """Words of letters, marks and decimal digits of any script.

    Case, width and composition make no difference. Words of ASCII are stemmed as the library
    does it; there is no stemmer for the others. A text of ASCII gives what the library gives.
    """

    def __init__(self) -> None:
        self._stem = cached_stem()

    def tokenize(self, text: str) -> list[str]:
        """A text's words."""
        words: list[str] = []
        joins = _Kind.GAP  # what a mark or letter may go on from
        for character in unicodedata.normalize("NFKC", text.casefold()):
            kind = _kind(character)
            if kind is _Kind.UNSEEN:
                continue
            if kind is _Kind.MARK and joins is not _Kind.GAP:
                words[-1] += character  # a vowel or tone sign of the letter before
                continue
            if kind is _Kind.LETTER and joins is _Kind.LETTER:
                words[-1] += character
            elif kind in (_Kind.LETTER, _Kind.ALONE):
                words.append(character)
            joins = kind if kind is not _Kind.MARK else _Kind.GAP
        return [
            self._stem(word) if len(word) >= _MIN_STEMMED and word.isascii() else word
            for word in words
        ]


@functools.cache
def cached_stem() -> Callable[[str], str]:
    """Porter's stemmer as the library uses it."""
    from rouge_score import tokenizers

    stem = tokenizers.porter.PorterStemmer().stem
    return cast(Callable[[str], str], functools.lru_cache(_STEM_CACHE)(stem))


class _Kind(Enum):
    GAP = 0
    LETTER = 1  # a digit too
    ALONE = 2  # a letter that is a word by itself
    MARK = 3
    UNSEEN = 4  # a joiner or a soft hyphen: no gap, no letter


@functools.lru_cache(1 << 14)
def _kind(character: str) -> _Kind:
    category = unicodedata.category(character)
    if category.startswith("M"):
        return _Kind.MARK
    if category == "Cf":
        return _Kind.UNSEEN
    if category.startswith("L") or category == "Nd":
        return _Kind.ALONE if _UNSPACED.match(character) else _Kind.LETTER
    return _Kind.GAP
