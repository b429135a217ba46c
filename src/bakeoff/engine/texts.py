"""Generated ids as text."""

from __future__ import annotations

from collections.abc import Sequence

from bakeoff.base.model import Base


def decode(base: Base, generated: Sequence[Sequence[int]]) -> list[str]:
    """One text a row of ids, without special tokens and white space at its ends."""
    texts = base.tokenizer.batch_decode([list(ids) for ids in generated], skip_special_tokens=True)
    return [text.strip() for text in texts]
