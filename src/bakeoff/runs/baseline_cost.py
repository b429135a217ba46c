"""The record of what an answer of a baseline costs that asks the untuned base."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class BaselineCost:
    """What a baseline takes for an answer, as it was asked; nothing of it is trained.

    Attributes:
        tokens_read: of an average test row's prompt, with the training rows before it, over all
            draws of these.
        tokens_written: of an average answer, its end included; where no text is written those of
            the right answer.
        generation_rows_per_second: test rows of the first draw, eight in a batch, as methods are
            timed; None where costs were not measured.
        search_seconds: of asking the validation rows once for each number of training rows that
            was tried; None where there was no choice.
    """

    tokens_read: float
    tokens_written: float
    generation_rows_per_second: float | None = None
    search_seconds: float | None = None
