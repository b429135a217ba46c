"""What rows of several adapters, one adapter's after the other's, ask of embedding and head.

Axis letters: ``R`` rows, ``T`` tokens, ``D`` width, ``V`` vocabulary, ``C`` hidden states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor
from torch.nn import functional as F

from bakeoff.base.model import Base
from bakeoff.base.outputs import capped
from bakeoff.base.products import product
from bakeoff.base.row_groups import RowGroups, grouped
from bakeoff.methods.stack import StackHooks

_Weight = Callable[[], Tensor] | None
"""Gives [1, V, D], or the base's own holds."""


class GroupedRows:
    """Groups of rows, each under one adapter.

    Args:
        base: the base of all of them.
        sizes: rows of each group. acting: where each one's adapter acts.
    """

    def __init__(self, base: Base, sizes: Sequence[int], acting: Sequence[StackHooks]) -> None:
        self._base = base
        self.sizes = list(sizes)
        self._acting = list(acting)

    def groups(self) -> AbstractContextManager[None]:
        """Makes the sites treat passes inside, in this thread, as these groups."""
        return grouped(RowGroups(sizes=self.sizes, acting=self._acting))

    def embed(self, ids_RT: Tensor) -> Tensor:
        """[R, T] token ids to [R, T, D] embeddings in compute dtype."""
        base = self._base
        parts = []
        for start, stop, weight in self._runs([a.embedding_weight for a in self._acting]):
            ids = ids_RT[start:stop]
            if weight is None:
                found: Tensor = base.embedding(ids)
            else:
                found = F.embedding(ids, weight()[0]).to(base.compute_dtype)
            parts.append(found)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def logits(self, hidden_RD: Tensor) -> Tensor:
        """[R, V] float32 logits of one hidden state of each row."""
        parts = [
            self._logits(hidden_RD[start:stop], weight_VD)
            for start, stop, weight_VD in self._heads(hidden_RD.dtype)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _heads(self, dtype: torch.dtype) -> Iterator[tuple[int, int, Tensor]]:
        """(first row, the row after the last, [V, D] their head)."""
        for start, stop, weight in self._runs([acting.head_weight for acting in self._acting]):
            weight_VD = self._base.head.weight if weight is None else weight()[0]
            yield start, stop, weight_VD.detach().to(dtype)

    def _logits(self, hidden_CD: Tensor, weight_VD: Tensor) -> Tensor:
        """[C, V] float32."""
        bias = self._base.head.bias
        logits_CV = product(hidden_CD, weight_VD).float()
        logits_CV = logits_CV if bias is None else logits_CV + bias.detach().float()
        return capped(logits_CV, self._base.logit_cap)

    def _runs(self, own: Sequence[_Weight]) -> Iterator[tuple[int, int, _Weight]]:
        """(first row, the row after the last, what they have of their own), neighbours that have
        nothing in one."""
        start = stop = 0
        for size, weight in zip(self.sizes, own, strict=True):
            if weight is not None:
                if stop > start:
                    yield start, stop, None
                yield stop, stop + size, weight
                start = stop + size
            stop += size
        if stop > start:
            yield start, stop, None
