"""Tokenising whole texts with character offsets, by any Hugging Face tokenizer.

A text is tokenised as one, as it would be anywhere else, so that a joint between template and data
has the tokens of running text. The spelling of a special token in data is plain text; in a template
it is meant.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.examples import Span
from bakeoff.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Ids = NDArray[np.int32]
Offsets = NDArray[np.int64]

# Texts in one call: enough for every thread, little enough to keep the lists of ids small.
_CHUNK: Final = 1024
_ANCHOR: Final = "\n"
_LONG: Final = 1 << 18
"""Characters of a text, more of which are tokenised in stretches: lists of ids take much memory."""
_OVERLAP: Final = 1 << 12
_ALIKE: Final = 8
"""Tokens that two stretches must have in common for them to be joined there."""


@dataclass(frozen=True)
class Encoded:
    """A text as tokens.

    Attributes:
        ids: [T]. offsets: [T, 2] the characters that each token spells, first and past the last.
    """

    ids: Ids
    offsets: Offsets

    def touching(self, spans: Sequence[Span]) -> NDArray[np.bool_]:
        """[T] which tokens hold a character of any of the spans."""
        found = np.zeros(len(self.ids), dtype=np.bool_)
        first, past = self.offsets[:, 0], self.offsets[:, 1]
        for start, stop in spans:
            # A token of no width (a mark that some tokenizers put before a word) counts where it
            # stands.
            found |= (first < stop) & (np.maximum(past, first + 1) > start)
        return found


class TextEncoder:
    """Encodes texts whole.

    Tokenizers without offsets (those that are not written in Rust) get the text in pieces, cut
    where spans begin and end.

    Args:
        tokenizer: fast ones work in parallel in Rust; slow ones one text after the other.
        tokenizer_id: how errors name it.
        workers: 1 keeps to one thread; None or more use the library's pool of threads, which has
            one for each core unless ``RAYON_NUM_THREADS`` says otherwise.

    Attributes:
        eos_id: the token that ends a text.
        start_ids: what the tokenizer puts before any text by default, such as BOS; often nothing.
        added: the spellings of tokens beyond its model's own, special ones among them.

    Raises:
        DataError: the tokenizer has no end-of-text token.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, *, tokenizer_id: str, workers: int | None = None
    ) -> None:
        if not isinstance(tokenizer.eos_token_id, int):
            raise DataError(
                f"the tokenizer {tokenizer_id} has no end-of-text token: answers must end with "
                "one, or generation never stops. Set its eos_token, or choose another base."
            )
        self.eos_id: int = tokenizer.eos_token_id
        self._tokenizer: Any = tokenizer
        self._workers = workers
        self._has_offsets = bool(getattr(tokenizer, "is_fast", False))
        plain = self._call(["a"], literal=True)[0].ids
        full: list[int] = tokenizer("a", add_special_tokens=True)["input_ids"]
        self.start_ids: Ids = np.array(_before(full, plain.tolist()), dtype=np.int32)
        self._anchor_ids = self._call([_ANCHOR], literal=True)[0].ids
        behind = self._call([_ANCHOR + "a"], literal=True)[0].ids
        self._needs_anchor = bool(len(self._anchor_ids)) and not np.array_equal(
            behind, np.concatenate([self._anchor_ids, plain])
        )
        added = getattr(tokenizer, "added_tokens_decoder", {})
        self.added = tuple({t.content for t in added.values()} | set(tokenizer.all_special_tokens))
        spellings = {token.content: id_ for id_, token in added.items() if token.special}
        # Tokenizers that are written in Python may not mark them as such.
        spellings |= dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
        self._special_ids: dict[str, int] = {s: i for s, i in spellings.items() if s}
        longest_first = sorted(self._special_ids, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def encode(
        self,
        texts: Sequence[str],
        literal_spans: Sequence[Sequence[Span]],
        looked_up: Sequence[Sequence[Span]] | None = None,
    ) -> list[Encoded]:
        """Encodes texts from their first character on, without ``start_ids``.

        Args:
            texts: whole texts. literal_spans: for each, which of its characters are data.
            looked_up: for each, the spans whose tokens will be asked for; None takes the data.
                Only tokenizers without offsets need them.
        """
        found: list[Encoded | None] = [None] * len(texts)
        whole: list[int] = []
        for index, (text, spans) in enumerate(zip(texts, literal_spans, strict=True)):
            if self._has_offsets and not self._spells_special_in_data(text, spans):
                whole.append(index)
            else:
                asked = spans if looked_up is None else looked_up[index]
                found[index] = self._in_pieces(text, spans, asked)
        for index, encoded in zip(
            whole, self._call([texts[i] for i in whole], literal=False), strict=True
        ):
            found[index] = encoded
        return [encoded for encoded in found if encoded is not None]

    def following(self, texts: Sequence[str]) -> list[Ids]:
        """Data that follows other text, each by itself: as in the middle of a text."""
        return [self._middle(text, literal=True).ids for text in texts]

    def _spells_special_in_data(self, text: str, spans: Sequence[Span]) -> bool:
        return any(
            any(start < match.end() and match.start() < stop for start, stop in spans)
            for match in self._special.finditer(text)
        )

    def _in_pieces(self, text: str, spans: Sequence[Span], looked_up: Sequence[Span]) -> Encoded:
        """The text around the special tokens that are meant, each stretch of it plain text.

        Without offsets, also cut where ``looked_up`` begin and end, so that a token's place is
        known as far as it matters.
        """
        meant = [
            match
            for match in self._special.finditer(text)
            if not any(start < match.end() and match.start() < stop for start, stop in spans)
        ]
        cuts = {0, len(text), *(m.start() for m in meant), *(m.end() for m in meant)}
        if not self._has_offsets:
            cuts |= {edge for span in looked_up for edge in span}
        special = {match.start(): self._special_ids[match.group()] for match in meant}
        ids, offsets = [_none()], [np.zeros((0, 2), dtype=np.int64)]
        edges = sorted(cuts)
        for start, stop in itertools.pairwise(edges):
            if start in special:
                ids.append(np.array([special[start]], dtype=np.int32))
                offsets.append(np.array([[start, stop]], dtype=np.int64))
                continue
            piece = text[start:stop]
            encoded = self._middle(piece, literal=True) if start else self._first(piece)
            ids.append(encoded.ids)
            offsets.append(encoded.offsets + start)
        return Encoded(np.concatenate(ids), np.concatenate(offsets))

    def _first(self, text: str) -> Encoded:
        return self._call([text], literal=True)[0]

    def _middle(self, text: str, *, literal: bool) -> Encoded:
        """A piece from inside a text.

        Some tokenizers (SentencePiece with a dummy prefix) put a space before whatever text they
        are given. For those, the piece is encoded behind a line end whose tokens are then removed.
        """
        if not self._needs_anchor:
            return self._call([text], literal=literal)[0]
        behind = self._call([_ANCHOR + text], literal=literal)[0]
        size = len(self._anchor_ids)
        if np.array_equal(behind.ids[:size], self._anchor_ids):
            offsets = np.maximum(behind.offsets[size:] - len(_ANCHOR), 0)
            return Encoded(behind.ids[size:], offsets)
        # Where the anchor melted into the text, the space in front is the lesser evil.
        return self._call([text], literal=literal)[0]

    def _call(self, texts: Sequence[str], *, literal: bool) -> list[Encoded]:
        long = {i for i, text in enumerate(texts) if self._has_offsets and len(text) > _LONG}
        if not long:
            return self._called(texts, literal=literal)
        others = iter(
            self._called([t for i, t in enumerate(texts) if i not in long], literal=literal)
        )
        return [
            self._in_stretches(text, literal) if index in long else next(others)
            for index, text in enumerate(texts)
        ]

    def _in_stretches(self, text: str, literal: bool) -> Encoded:
        """A long text, a stretch at a time; each overlaps the one before.

        A token depends on what is near it alone, so that two stretches have the same tokens in the
        middle of their overlap, where they are joined. Where they do not, the text is taken whole.
        """
        found: list[Encoded] = []
        for start in range(0, len(text) - _OVERLAP, _LONG - _OVERLAP):
            [encoded] = self._called([text[start : start + _LONG]], literal=literal)
            encoded = Encoded(encoded.ids, encoded.offsets + start)
            if found:
                joint = _joint(found[-1], encoded, start + _OVERLAP // 4)
                if joint is None:
                    return self._called([text], literal=literal)[0]
                past, first = joint
                found[-1] = Encoded(found[-1].ids[:past], found[-1].offsets[:past])
                encoded = Encoded(encoded.ids[first:], encoded.offsets[first:])
            found.append(encoded)
        return Encoded(
            np.concatenate([one.ids for one in found]),
            np.concatenate([one.offsets for one in found]),
        )

    def _called(self, texts: Sequence[str], *, literal: bool) -> list[Encoded]:
        encoded: list[Encoded] = []
        with _parallelism(self._workers):
            for start in range(0, len(texts), _CHUNK):
                chunk = list(texts[start : start + _CHUNK])
                batch = self._tokenizer(
                    chunk,
                    add_special_tokens=False,
                    split_special_tokens=literal,
                    return_attention_mask=False,
                    return_token_type_ids=False,
                    return_offsets_mapping=self._has_offsets,
                    truncation=False,
                    padding=False,
                    verbose=False,
                )
                for index, ids in enumerate(batch["input_ids"]):
                    if self._has_offsets:
                        offsets = np.array(batch["offset_mapping"][index], dtype=np.int64)
                    else:
                        # All of the piece: a caller that needs more gives smaller pieces.
                        offsets = np.array([[0, len(chunk[index])]] * len(ids), dtype=np.int64)
                    encoded.append(
                        Encoded(np.array(ids, dtype=np.int32), offsets.reshape(len(ids), 2))
                    )
        return encoded


def _joint(before: Encoded, after: Encoded, earliest: int) -> tuple[int, int] | None:
    """Indices of the same token in two stretches, both of which go on alike from there.

    Args:
        earliest: the character from which on it may be; half an overlap is looked at.
    """
    places = {int(edge): index for index, edge in enumerate(after.offsets[:, 0])}
    latest = earliest + _OVERLAP // 2
    low, high = np.searchsorted(before.offsets[:, 0], [earliest, latest])
    for index in range(int(low), int(high)):
        other = places.get(int(before.offsets[index, 0]))
        if other is None:
            continue
        ours, theirs = slice(index, index + _ALIKE), slice(other, other + _ALIKE)
        if np.array_equal(before.ids[ours], after.ids[theirs]) and np.array_equal(
            before.offsets[ours], after.offsets[theirs]
        ):
            return index, other
    return None


def _none() -> Ids:
    return np.zeros(0, dtype=np.int32)


def _before(full: list[int], plain: list[int]) -> list[int]:
    for start in range(len(full) - len(plain) + 1):
        if full[start : start + len(plain)] == plain:
            return full[:start]
    return []


@contextlib.contextmanager
def _parallelism(workers: int | None) -> Iterator[None]:
    name = "TOKENIZERS_PARALLELISM"  # read by the tokenizers library at every call
    previous = os.environ.get(name)
    if workers is not None:
        os.environ[name] = "true" if workers > 1 else "false"
    elif previous is None:
        os.environ[name] = "true"
    try:
        yield
    finally:
        if previous is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = previous
