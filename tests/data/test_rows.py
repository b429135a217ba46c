from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bakeoff.data.examples import Example
from bakeoff.data.options import ExamplesOptions, TaskOptions
from bakeoff.data.readers import Record
from bakeoff.data.rows import Rows, rows_text, take_rows, text_problem
from bakeoff.errors import DataError
from bakeoff.types import Split

TASK = TaskOptions(kind="test", source="unused")
SKIP = replace(TASK, on_bad_row="skip")
COLUMNS = {"text": "body", "label": "kind", "group": "desk"}


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

    def column_names(self) -> list[str]:
        return ["body", "kind"]


def row(number: int, body: object = "a storm") -> Record:
    return Record(number, {"body": body})


def lay(record: Record) -> Example:
    """Refuses whatever has no text."""
    body = record.values["body"]
    if (problem := text_problem(body)) is not None:
        raise DataError(f"the text (column 'body') {problem}")
    return Example(text=str(body), target_spans=())


def take(task: TaskOptions, source: Given, split: Split = "train") -> Rows:
    return take_rows(task, COLUMNS, source, split, lay)


GOOD = [row(number, f"Document {number}.") for number in range(1, 10)]


def test_rows_are_kept_as_found_and_as_laid_out() -> None:
    rows = take(TASK, Given(*GOOD[:2]))
    assert rows.numbers == [1, 2]
    assert rows.records == GOOD[:2]
    assert [example.text for example in rows.examples] == ["Document 1.", "Document 2."]
    assert len(rows) == 2
    assert rows.place == "train.csv"


def test_the_first_rows_are_taken_and_no_more_read() -> None:
    source = Given(*GOOD, Record(10, problem="unreadable"))
    task = replace(TASK, examples=ExamplesOptions(test=3))
    assert take(task, source, "test").numbers == [1, 2, 3]
    assert source.num_read == 3


def test_rows_that_are_skipped_do_not_count_as_taken() -> None:
    source = Given(row(1, ""), *GOOD[1:], row(10, ""))
    rows = take(replace(SKIP, examples=ExamplesOptions(train=2)), source)
    assert rows.numbers == [2, 3]
    assert rows.num_skipped == 1


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (row(7, None), "the text (column 'body') is missing"),
        (Record(7, problem="it is not JSON"), "it is not JSON"),
    ],
)
def test_a_bad_row_is_an_error_or_skipped(record: Record, reason: str) -> None:
    source = Given(GOOD[0], record)
    with pytest.raises(DataError) as caught:
        take(TASK, source)
    text = str(caught.value)
    assert "train.csv" in text
    assert "row 7" in text
    assert reason in text
    assert "task.on_bad_row: skip" in text
    rows = take(SKIP, source)
    assert rows.numbers == [1]
    assert rows.num_skipped == 1


def test_rows_that_are_skipped_are_counted_by_what_is_wrong() -> None:
    empty, missing = [row(n, "") for n in (10, 12, 14)], [row(n, None) for n in (9, 11)]
    others = [Record(n, problem=f"it has {n} fields") for n in (20, 21, 22)]
    why = "in row 10 the text (column 'body') is empty"
    assert take(SKIP, Given(GOOD[0], *empty)).skipped_why == why
    rows = take(SKIP, Given(GOOD[0], *missing, *empty, *others))
    assert rows.num_skipped == 8
    assert rows.skipped_why == (
        f"{why} (3 such); in row 9 the text (column 'body') is missing (2 such); in row 20 it has "
        "20 fields (1 such); 2 have other reasons"
    )


def test_all_bad_rows_are_reported_together() -> None:
    bad = [row(number, "") for number in range(20, 32)]
    with pytest.raises(DataError, match=r"rows 20, 21, 22, 23, 24, \.\.\. \(12 in all\)"):
        take(TASK, Given(*GOOD, *bad))


def test_an_empty_split_is_named() -> None:
    with pytest.raises(DataError, match=r"the test split is empty: it has no rows \(test\.csv\)"):
        take(TASK, Given(), "test")
    with pytest.raises(DataError, match="all of its 2 rows are bad") as caught:
        take(SKIP, Given(row(1, None), row(2, 3)), "test")
    assert "in row 1 the text (column 'body') is missing" in str(caught.value)
    assert "check the file, and task.text and task.label." in str(caught.value)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("text", None),
        ("a\x00b", None),
        ("\x00", None),
        (None, "is missing"),
        ("", "is empty"),
        (" \n\t", "is empty"),
        (3, "is not text but int"),
        (True, "is not text but bool"),
        (["s"], "is not text but list"),
        (b"\xe9", "is not UTF-8 text"),
        ("caf\udce9", "is not UTF-8 text"),
        ("\ud83d", "is not UTF-8 text"),
    ],
)
def test_what_makes_a_text_unusable(value: object, problem: str | None) -> None:
    assert text_problem(value) == problem


def test_rows_text() -> None:
    assert rows_text([4]) == "row 4"
    assert rows_text([4, 9]) == "rows 4, 9 (2 in all)"
    assert rows_text([1, 2, 3, 4, 5]) == "rows 1, 2, 3, 4, 5 (5 in all)"
    assert rows_text([1, 2, 3, 4, 5, 6]) == "rows 1, 2, 3, 4, 5, ... (6 in all)"
