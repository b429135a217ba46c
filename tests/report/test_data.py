"""What a report says of the data."""

from __future__ import annotations

from dataclasses import replace

from bakeoff.report.data import length_advice, length_rows, overlap_facts
from bakeoff.runs.records import DataLengths, LengthSpread, SplitLengths
from tests.golden_folders import golden

ROW = LengthSpread(median=800, p95=1500, p99=2000)
ANSWER = LengthSpread(median=20, p95=40, p99=60)
LENGTHS = DataLengths(
    max_length=256,
    cuts_1_percent=2040,
    splits={"train": SplitLengths(row=ROW, answer=ANSWER, cut_share=0.125)},
)


def test_lengths_are_a_table() -> None:
    results = golden("four")
    assert length_rows(results) == [] and length_advice(results) is None
    data = replace(results.data, lengths=LENGTHS)
    results = replace(results, data=data)
    assert length_rows(results) == [
        ["train", "800", "1,500", "2,000", "20", "40", "60", "12.5 %"],
    ]
    assert "2,040 would cut 1 %" in (length_advice(results) or "")


def test_rows_in_two_splits_are_named() -> None:
    facts = overlap_facts(
        {
            "train_test": 1,
            "train_test_near": 1,
            "examples": [["train", 3, "test", 1, "input"]],
            "near_examples": [["train", 2, "test", 7, 0.875]],
            "contained": [["test", "validation", 9, 9, True, [1], [1]]],
        }
    )
    assert facts == [
        ("train_test", "1"),
        ("train_test_near", "1"),
        ("examples", "train 3 and test 1 (input)"),
        ("near_examples", "train 2 and test 7 (0.88 alike)"),
    ]
    assert overlap_facts({"examples": []}) == []
