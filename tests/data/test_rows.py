from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bakeoff.data.options import ExamplesOptions, TaskOptions
from bakeoff.data.readers import Record
from bakeoff.data.rows import rows_text, take_rows
from bakeoff.errors import DataError
from bakeoff.types import Split

TASK = TaskOptions(source="unused")
SKIP = replace(TASK, on_bad_row="skip")


class Given:
    """A source of given records."""

    def __init__(self, *records: Record) -> None:
        self.given = records
        self.num_read = 0

    def place(self, split: Split) -> str:
        return f"{split}.csv"

    def records(self, split: Split) -> Iterator[Record]:
        for record in self.given:
            self.num_read += 1
            yield record

    def fingerprint(self) -> list[str]:
        return []


GOOD = [Record(row, f" Document {row}. ", f"Summary {row}.") for row in range(1, 10)]


def test_rows_are_cleaned_and_the_raw_document_kept() -> None:
    task = replace(TASK, cleaning=("lowercase", "strip_punctuation"))
    rows = take_rows(task, Given(*GOOD[:2]), "train")
    assert rows.numbers == [1, 2]
    assert rows.raw_documents == [" Document 1. ", " Document 2. "]
    assert rows.documents == ["document 1", "document 2"]
    assert rows.summaries == ["summary 1", "summary 2"]


def test_the_first_rows_are_taken_and_no_more_read() -> None:
    source = Given(*GOOD, Record(10, problem="unreadable"))
    task = replace(TASK, examples=ExamplesOptions(test=3))
    assert take_rows(task, source, "test").numbers == [1, 2, 3]
    assert source.num_read == 3


def test_rows_that_are_skipped_do_not_count_as_taken() -> None:
    source = Given(Record(1, "", "s"), *GOOD[1:], Record(10, "", "s"))
    task = replace(SKIP, examples=ExamplesOptions(train=2))
    rows = take_rows(task, source, "train")
    assert rows.numbers == [2, 3]
    assert rows.num_skipped == 1


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (Record(7, None, "s"), "the document (column 'document') is missing"),
        (Record(7, "d", None), "the summary (column 'summary') is missing"),
        (Record(7, "d", ""), "the summary (column 'summary') is empty"),
        (Record(7, " \n\t", "s"), "the document (column 'document') is empty"),
        (Record(7, "d", 3), "the summary (column 'summary') is not text but int"),
        (Record(7, "d", ["s"]), "is not text but list"),
        (Record(7, "d", b"\xe9"), "is not UTF-8 text"),
        (Record(7, "caf\udce9", "s"), "the document (column 'document') is not UTF-8 text"),
        (Record(7, "d", "\ud83d"), "is not UTF-8 text"),
        (Record(7, "d", "?!"), "the summary (column 'summary') is empty after task.cleaning"),
        (Record(7, problem="it is not JSON"), "it is not JSON"),
    ],
)
def test_a_bad_row_is_an_error_or_skipped(record: Record, reason: str) -> None:
    source = Given(GOOD[0], record)
    cleaning = replace(TASK, cleaning=("strip_punctuation",))
    with pytest.raises(DataError) as caught:
        take_rows(cleaning, source, "train")
    text = str(caught.value)
    assert "train.csv" in text
    assert "row 7" in text
    assert reason in text
    assert "task.on_bad_row: skip" in text
    rows = take_rows(replace(cleaning, on_bad_row="skip"), source, "train")
    assert rows.numbers == [1]
    assert rows.num_skipped == 1


def test_all_bad_rows_are_reported_together() -> None:
    bad = [Record(row, "d", "") for row in range(20, 32)]
    with pytest.raises(DataError, match=r"rows 20, 21, 22, 23, 24, \.\.\. \(12 in all\)"):
        take_rows(TASK, Given(*GOOD, *bad), "train")


def test_null_characters_are_fine() -> None:
    assert take_rows(TASK, Given(Record(1, "a\x00b", "\x00")), "train").documents == ["a\x00b"]


def test_an_empty_split_is_named() -> None:
    with pytest.raises(DataError, match=r"the test split is empty: it has no rows \(test\.csv\)"):
        take_rows(TASK, Given(), "test")
    with pytest.raises(DataError, match="all of its 2 rows are bad"):
        take_rows(SKIP, Given(Record(1), Record(2)), "test")


def test_rows_text() -> None:
    assert rows_text([4]) == "row 4"
    assert rows_text([4, 9]) == "rows 4, 9 (2 in all)"
    assert rows_text([1, 2, 3, 4, 5]) == "rows 1, 2, 3, 4, 5 (5 in all)"
    assert rows_text([1, 2, 3, 4, 5, 6]) == "rows 1, 2, 3, 4, 5, ... (6 in all)"
