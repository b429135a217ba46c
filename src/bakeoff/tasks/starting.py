"""Where the values of a study of some kind of task start, where nothing else is known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StartingValues:
    """What ``bakeoff init`` begins with; the data's own lengths and number decide below it.

    Attributes:
        epochs: passes over the training rows. most_epochs: likewise, where there are few rows.
        rows: of one update, at most.
        max_length: tokens of a row, at most. max_target_tokens: of an answer; 1 has no answer.
        no_repeat_ngram: of generation. rank: of low-rank methods.
        source: who does it so.
    """

    epochs: int = 2
    most_epochs: int = 3
    rows: int = 32
    max_length: int = 2048
    max_target_tokens: int = 512
    no_repeat_ngram: int = 0
    rank: int = 32
    source: str = "two or three epochs are usual for texts to write"


LABELS = StartingValues(
    epochs=3,
    most_epochs=5,
    rows=16,
    max_length=512,
    max_target_tokens=256,
    rank=16,
    source="three to five epochs are usual for labels and choices",
)
