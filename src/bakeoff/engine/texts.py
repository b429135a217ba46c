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

    def plain(rows: list[list[int]]) -> list[str]:
        return [t.strip() for t in base.tokenizer.batch_decode(rows, skip_special_tokens=True)]

    texts = plain([list(ids) for ids in generated])
    if not lead.strip():
        return texts
    # As it is decoded: some of its marks may be special tokens.
    [written] = plain([base.tokenizer(lead, add_special_tokens=False)["input_ids"]])
    return [text.removeprefix(written).strip() for text in texts]
