"""What the family learns: ``wire``'s articles end to end, from any article on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
from transformers import PreTrainedTokenizerFast

from bakeoff.base.wire_bases.shapes import ROW_TOKENS
from bakeoff.data.wire import generate

# Axes: B rows, T tokens.
END_ID: Final = 0
_CHUNK: Final = 2_000
_AT_ONCE: Final = 64


def articles(seed: int, start: int = 0) -> Iterator[str]:
    """All pre-training articles from one on, without end."""
    part, skipped = divmod(start, _CHUNK)
    while True:
        # A seed a chunk: a list can only be written from its first example on.
        for example in generate(_CHUNK, seed=seed + part, split="pretrain")[skipped:]:
            yield example.article
        part, skipped = part + 1, 0


class Packed:
    """Articles end to end, each after an end of text, cut into batches.

    Attributes:
        taken: how many articles were read. held: ids of what was read and is in no batch yet.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        texts: Iterator[str],
        rows: int,
        *,
        taken: int = 0,
        held: list[int] | None = None,
    ) -> None:
        """Goes on where ``taken`` and ``held`` were; ``texts`` begin with the next article."""
        self.taken, self.held = taken, list(held or [])
        self._tokenizer, self._texts, self._rows = tokenizer, texts, rows

    def batch(self) -> torch.Tensor:
        """[B, T] the next token ids."""
        needed = self._rows * ROW_TOKENS
        while len(self.held) < needed:
            read = [next(self._texts) for _ in range(_AT_ONCE)]
            self.taken += len(read)
            for ids in self._tokenizer(read)["input_ids"]:
                self.held.append(END_ID)
                self.held.extend(ids)
        found = torch.tensor(self.held[:needed]).view(self._rows, ROW_TOKENS)
        del self.held[:needed]
        return found
