"""Tokens that are drawn to begin with."""

from __future__ import annotations

import torch
from torch import Tensor

from bakeoff.base.model import Base


def drawn_ids(base: Base, number: int, generator: torch.Generator) -> Tensor:
    """[number] int64 ids of the vocabulary, some perhaps more than once.

    Only of tokens that have a row in the embedding: some tokenizers know more.
    """
    known = min(len(base.tokenizer), base.embedding.num_embeddings)
    return torch.randint(known, (number,), generator=generator)
