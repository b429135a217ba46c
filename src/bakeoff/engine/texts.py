"""Generated ids as text."""

from __future__ import annotations

from collections.abc import Sequence

from bakeoff.base.model import Base


def decode(base: Base, generated: Sequence[Sequence[int]], lead: str = "") -> list[str]:
    """One text per row of ids, without special tokens and white space at its ends.

    Args:
        lead: what a chat template writes before every answer (Qwen3: an empty
            ``<think></think>``). A model that learns such turns writes it too, and it is no part
            of the answer.
    """
    texts = base.tokenizer.batch_decode([list(ids) for ids in generated], skip_special_tokens=True)
    return [text.strip().removeprefix(lead.strip()).strip() for text in texts]
