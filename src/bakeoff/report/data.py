"""What a report says of the data: lengths, and rows that are in two splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bakeoff.formatting import shown_share, shown_whole
from bakeoff.page import words
from bakeoff.runs.records import Results

_SHOWN = 10
"""Examples of pairs of rows."""
LENGTH_HEADS = (
    *("Split", "Row, median", "95th percentile", "99th"),
    *("Answer, median", "95th percentile", "99th", "Rows cut"),
)


def length_rows(results: Results) -> list[list[str]]:
    """The cells of the table of lengths, a line for each split; none in older results."""
    found = results.data.lengths
    if found is None:
        return []
    return [
        [
            split,
            *map(lengths.shown, (lengths.row.median, lengths.row.p95, lengths.row.p99)),
            *map(shown_whole, (lengths.answer.median, lengths.answer.p95, lengths.answer.p99)),
            shown_share(lengths.cut_share),
        ]
        for split, lengths in found.splits.items()
    ]


def length_advice(results: Results) -> str | None:
    """Which ``max_length`` would cut 1 % of the training rows."""
    found = results.data.lengths
    if found is None:
        return None
    if found.in_pieces:
        return (
            f"In tokens. Texts of more than {shown_whole(found.max_length)} (task.max_length) are "
            "taken in pieces."
        )
    return (
        f"In tokens, before anything is cut. task.max_length is {shown_whole(found.max_length)}; "
        f"{found.splits['train'].shown(found.cuts_1_percent)} would cut 1 % of the training rows."
    )


def overlap_facts(overlap: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Counts by pair of splits, and some of the rows."""
    counts = {key: value for key, value in overlap.items() if not _is_list(value)}
    examples = [
        (key, "; ".join(_pair(one) for one in value[:_SHOWN]))
        for key in ("examples", "near_examples")
        if (value := overlap.get(key)) and all(map(_is_list, value))
    ]
    return [*words.flatten(counts), *examples]


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _pair(example: Sequence[Any]) -> str:
    first, first_row, second, second_row, last = example
    how = f"{last:.2f} alike" if isinstance(last, float) else last
    return f"{first} {first_row} and {second} {second_row} ({how})"
