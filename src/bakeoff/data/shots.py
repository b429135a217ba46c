"""Solved examples before a prompt, in plain text."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from bakeoff.data.examples import Example, Span

BETWEEN: Final = "\n\n"
"""What stands between two examples of one prompt."""


def after_shots(example: Example, shots: Sequence[Example]) -> Example:
    """An example with solved ones before it; these never give way where the row is too long."""
    if not shots:
        return example
    before, spans = "", []
    for shot in shots:
        spans += _moved(shot.literal_spans, len(before))
        before += shot.text.rstrip() + BETWEEN
    # White space at a shot's end went, and with it the end of a span that reached there.
    spans = [(start, min(end, len(before))) for start, end in spans]
    length = len(before)
    cut = example.cut_span
    return dataclasses.replace(
        example,
        text=before + example.text,
        target_spans=tuple(_moved(example.target_spans, length)),
        literal_spans=(*spans, *_moved(example.literal_spans, length)),
        prompt=before + example.prompt,
        prompt_literal_spans=(*spans, *_moved(example.literals_of_prompt, length)),
        cut_span=None if cut is None else (cut[0] + length, cut[1] + length),
    )


def _moved(spans: Sequence[Span], by: int) -> list[Span]:
    return [(start + by, end + by) for start, end in spans]
