"""The tokens of choices as they follow a prompt.

They are those of running text, and what of a prompt decides them is its last word; or nothing of
it, where choices begin with white space. For a choice either has no token in common with the
prompt, and then its tokens do not depend on what is before, or it is tokenised by itself. So all
prompts share them, and a thousand labels are tokenised once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from bakeoff.data.encode import Ids, TextEncoder

_LAST_WORD: Final = re.compile(r"\s*\S*\s*$")
_CONTEXT: Final = 64
_ANY_WORD: Final = "a"
_SPACES: Final = (" ", "\n", "\t")
_CHUNK: Final = 4096
_OVERHEAD: Final = 100
"""What a text takes in memory besides its characters, in characters."""

Choices = tuple[str, ...]
_Key = tuple[str, Choices]


class ChoiceTokens:
    """Tokenises choices, equal ones once.

    Args:
        encoder: of the base's tokenizer.
        most: characters of choices that are remembered, a hundred more counted for each; beyond,
            all are forgotten. None is no bound: a study's choices are in memory anyway.
    """

    def __init__(self, encoder: TextEncoder, *, most: int | None = None) -> None:
        self._encoder = encoder
        self._most = most
        self._size = 0
        self._found: dict[_Key, tuple[Ids, ...]] = {}
        self._equal: dict[tuple[Choices, tuple[bytes, ...]], tuple[Ids, ...]] = {}

    def of(self, prompts: Sequence[str], choices: Sequence[Choices]) -> list[tuple[Ids, ...]]:
        """Each prompt's choices as tokens, without end-of-text.

        Where a token would hold characters of both, the choice is tokenised by itself.

        Args:
            prompts: texts. choices: of each, as they follow it; the same tuple for many prompts
                costs nothing.

        Returns:
            For each prompt its choices' tokens; the same object where choices and tokens are equal.
        """
        keys, seen = [], dict[tuple[str, int], _Key]()
        shared: dict[int, bool] = {}
        for prompt, given in zip(prompts, choices, strict=True):
            if id(given) not in shared:
                shared[id(given)] = all(choice.startswith(_SPACES) for choice in given)
            context = self._context(prompt, are_apart=shared[id(given)])
            keys.append(seen.setdefault((context, id(given)), (context, given)))
        new = [key for key in dict.fromkeys(seen.values()) if key[1] and key not in self._found]
        try:
            for chunk in _chunks(new):
                self._tokenise(chunk)
            # One look-up a key, not one a prompt: to hash a thousand labels takes long.
            tokens = {id(key): self._found.get(key, ()) for key in seen.values()}
        finally:
            self._count(new)
        return [tokens[id(key)] for key in keys]

    def _count(self, new: Sequence[_Key]) -> None:
        """Forgets everything where what was added is beyond the bound."""
        if self._most is None:
            return
        for context, choices in new:
            self._size += sum(len(text) + _OVERHEAD for text in (context, *choices))
        if self._size > self._most:
            self._found.clear()
            self._equal.clear()
            self._size = 0

    def _tokenise(self, keys: Sequence[_Key]) -> None:
        texts: list[str] = []
        spans: list[list[tuple[int, int]]] = []
        for context, choices in keys:
            for text in (context, *(context + choice for choice in choices)):
                texts.append(text)
                spans.append([(len(context), len(text))])
        encoded = iter(self._encoder.encode(texts, spans))
        for context, choices in keys:
            alone = next(encoded).ids
            found = []
            for choice, both in zip(choices, encoded, strict=False):
                ids = both.ids
                is_joined = not np.array_equal(ids[: len(alone)], alone)
                [ids] = self._encoder.following([choice]) if is_joined else [ids[len(alone) :]]
                found.append(ids)
            same = (choices, tuple(ids.tobytes() for ids in found))
            self._found[context, choices] = self._equal.setdefault(same, tuple(found))

    def _context(self, prompt: str, *, are_apart: bool) -> str:
        """What of a prompt may decide how that which follows it is tokenised."""
        end = prompt[-_CONTEXT:]
        # A special token may swallow the space behind it.
        if are_apart and end and not end[-1].isspace() and not end.endswith(self._encoder.added):
            return _ANY_WORD
        word = _LAST_WORD.search(end)
        return word.group() if word else ""


def _chunks(keys: Sequence[_Key]) -> Iterator[list[_Key]]:
    """Keys in groups of so many texts that their tokens do not fill the memory."""
    chunk: list[_Key] = []
    size = 0
    for key in keys:
        chunk.append(key)
        size += len(key[1]) + 1
        if size >= _CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
