"""Tokenising the pieces of an example one by one, with any Hugging Face tokenizer."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from bakeoff.errors import DataError

Ids = NDArray[np.int32]

# Texts in one call: enough for every thread, little enough to keep the lists of ids small.
_CHUNK: Final = 1024
_ANCHOR: Final = "\n"


class PieceEncoder:
    """Encodes texts that will be joined, so that the joints are as in running text.

    Some tokenizers (SentencePiece with a dummy prefix) put a space before whatever text they are
    given. For those, a piece from the middle of an example is encoded behind a line end whose
    tokens are then removed.

    Args:
        tokenizer: fast ones work in parallel in Rust; slow ones one text after the other.
        tokenizer_id: how errors name it.
        workers: 1 keeps to one thread; None or more use the library's pool of threads, which has
            one for each core unless ``RAYON_NUM_THREADS`` says otherwise.

    Attributes:
        eos_id: the token that ends a completion.
        start_ids: what the tokenizer puts before any text by default, such as BOS; often nothing.

    Raises:
        DataError: the tokenizer has no end-of-text token.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, *, tokenizer_id: str, workers: int | None = None
    ) -> None:
        if not isinstance(tokenizer.eos_token_id, int):
            raise DataError(
                f"the tokenizer {tokenizer_id} has no end-of-text token: completions must end with "
                "one, or generation never stops. Set its eos_token, or choose another base."
            )
        self.eos_id: int = tokenizer.eos_token_id
        self._tokenizer: Any = tokenizer
        self._workers = workers
        plain = self._call(["a"], literal=True)[0]
        full: list[int] = tokenizer("a", add_special_tokens=True)["input_ids"]
        self.start_ids: Ids = np.array(_before(full, plain.tolist()), dtype=np.int32)
        self._anchor_ids = self._call([_ANCHOR], literal=True)[0]
        behind = self._call([_ANCHOR + "a"], literal=True)[0]
        self._needs_anchor = bool(len(self._anchor_ids)) and not np.array_equal(
            behind, np.concatenate([self._anchor_ids, plain])
        )

    def encode(self, texts: Sequence[str], *, at_start: bool, literal: bool) -> list[Ids]:
        """Encodes texts, without special tokens of the tokenizer's own.

        Args:
            texts: pieces of examples.
            at_start: whether they begin an example.
            literal: whether the spelling of a special token is plain text, as it is in data; in a
                template it is meant.

        Returns:
            One array of ids a text.
        """
        if at_start or not self._needs_anchor:
            return self._call(texts, literal=literal)
        encoded = self._call([_ANCHOR + text for text in texts], literal=literal)
        size = len(self._anchor_ids)
        result = [ids[size:] for ids in encoded]
        # Where the anchor melted into the text, the space in front is the lesser evil.
        melted = [
            i for i, ids in enumerate(encoded) if not np.array_equal(ids[:size], self._anchor_ids)
        ]
        for i, ids in zip(
            melted, self._call([texts[i] for i in melted], literal=literal), strict=True
        ):
            result[i] = ids
        return result

    def piece(self, text: str, *, at_start: bool) -> Ids:
        """Encodes one piece of the template; special tokens spelt in it count as such."""
        return self.encode([text], at_start=at_start, literal=False)[0] if text else _none()

    def _call(self, texts: Sequence[str], *, literal: bool) -> list[Ids]:
        encoded: list[Ids] = []
        with _parallelism(self._workers):
            for start in range(0, len(texts), _CHUNK):
                batch = self._tokenizer(
                    list(texts[start : start + _CHUNK]),
                    add_special_tokens=False,
                    split_special_tokens=literal,
                    return_attention_mask=False,
                    return_token_type_ids=False,
                    truncation=False,
                    padding=False,
                    verbose=False,
                )
                encoded += [np.array(ids, dtype=np.int32) for ids in batch["input_ids"]]
        return encoded


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
