"""Lengths on the terminal, and of prepared data."""

from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from rich.console import Console

from bakeoff.runs.records import DataLengths
from bakeoff.study.lengths import advice, lengths_of, print_lengths


def data_of(
    lengths: list[list[int]], rows: list[int] | None = None, at_least: int | None = None
) -> Any:
    part = SimpleNamespace(
        lengths=np.array(lengths, dtype=np.int64).reshape(-1, 3),
        rows=np.array(range(len(lengths)) if rows is None else rows, dtype=np.int64),
        at_least=at_least,
    )
    return cast(Any, SimpleNamespace(splits=dict.fromkeys(("train", "validation", "test"), part)))


def test_lengths_of_prepared_rows() -> None:
    found = lengths_of(data_of([[n, n // 10, n + 5] for n in range(1, 201)]), 105)
    assert found is not None
    assert found.cuts_1_percent == 203
    assert found.splits["test"].cut_share == 0.5
    row, answer = found.splits["test"].row, found.splits["test"].answer
    assert (row.median, row.p95, row.p99) == (100, 190, 198)
    assert (answer.median, answer.p95, answer.p99) == (10, 19, 19)
    assert lengths_of(data_of([]), 100) is None


def shown(found: DataLengths) -> list[str]:
    stream = io.StringIO()
    print_lengths(found, Console(file=stream, width=80))
    return stream.getvalue().splitlines()


def test_eighty_columns_hold_the_table() -> None:
    found = lengths_of(data_of([[123_456, 12_345, 130_000]] * 3), 131_072)
    assert found is not None
    lines = shown(replace(found, cuts_1_percent=130_000))
    assert len(lines) == 5 and max(map(len, lines)) <= 80
    assert lines[1].split() == [
        *("train", "123,456", "123,456", "123,456", "12,345", "12,345", "12,345", "0", "%"),
    ]
    assert lines[4] == (
        "task.max_length 131072 cuts 0 % of the training rows; 130000 would cut 1 %."
    )


def test_texts_that_are_taken_in_pieces_are_not_said_to_be_cut() -> None:
    found = lengths_of(data_of([[900, 899, 900], [90, 89, 90]], rows=[1, 1, 1, 2]), 256)
    assert found is not None and found.in_pieces
    lines = shown(found)
    assert "in pieces" in lines[0] and "cut" not in " ".join(lines)
    assert lines[-1].startswith("Texts of more than 256 tokens (task.max_length) are taken in")


def test_lengths_of_texts_that_were_not_read_to_their_end_are_bounds() -> None:
    found = lengths_of(data_of([[10, 2, 12]] * 60 + [[900, 2, 902]] * 40, at_least=900), 256)
    assert found is not None
    lengths = found.splits["train"]
    assert [lengths.shown(n) for n in (lengths.row.median, lengths.row.p95)] == ["10", "\u2265 900"]
    assert lengths.cut_share == 0.4
    assert "\u2265 902 would cut 1 %" in advice(found)
