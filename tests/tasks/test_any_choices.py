"""Rows of anything: a row is laid out, refused by one clear error, or left out and counted."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakeoff.errors import DataError
from bakeoff.tasks.preparation.prepare import with_found
from tests.tasks.preparing import prepared, task_of
from tests.tokenizer_families import tokenizer_of

# The same rows in each run, and none kept.
ALWAYS = settings(max_examples=150, deadline=None, derandomize=True, database=None)
FEW = settings(ALWAYS, max_examples=40)

_TEXTS = st.text(max_size=12) | st.sampled_from(
    ["", " \n", "A", "b", "0", "1", "2", "-1", "1.0", "ok", "no", "x " * 3000, "雨🌧\u0301", "\x00"]
)
# What JSON has, and what other sources may give besides.
_PLAIN = st.none() | st.booleans() | st.integers(-3, 5) | st.just(10**40) | _TEXTS
_JSON = st.recursive(
    _PLAIN | st.floats(allow_nan=False, allow_infinity=False),
    lambda of: st.lists(of, max_size=5) | st.dictionaries(st.text(max_size=3), of, max_size=2),
    max_leaves=6,
)
_ANY = (
    _JSON | st.floats() | st.binary(max_size=4) | st.text(st.characters(), min_size=1, max_size=3)
)
_LISTS = st.lists(_PLAIN, max_size=6)

GOOD: dict[str, list[dict[str, Any]]] = {
    "classify": [{"text": "a storm", "label": "ok"}, {"text": "shares", "label": "no"}],
    "written": [{"text": "a storm", "label": "ok"}, {"text": "shares", "label": "no"}],
    "choose": [
        {"question": "a storm?", "choices": ["ok", "no"], "answer": 0},
        {"question": "shares?", "choices": ["ok", "no", 2], "answer": 2},
    ],
    "columns": [
        {"question": "a storm?", "a": "ok", "b": "no", "answer": "B"},
        {"question": "shares?", "a": "ok", "b": "x", "answer": "a"},
    ],
}
OPTIONS: dict[str, dict[str, Any]] = {
    "classify": {"kind": "classify"},
    "written": {"kind": "classify", "answer": "generate"},
    "choose": {"kind": "choose"},
    "columns": {"kind": "choose", "choices": ["a", "b"]},
}


@st.composite
def rows_of(draw: st.DrawFn, case: str, values: st.SearchStrategy[Any]) -> dict[str, Any]:
    """Rows of which no, one or two columns are not as good ones have them, or not there."""
    row = dict(draw(st.sampled_from(GOOD[case])))
    count = draw(st.sampled_from([0, 1, 1, 2]))
    for column in draw(st.permutations(sorted(row)))[:count]:
        row[column] = draw((_LISTS if column == "choices" else _TEXTS) | values)
        if draw(st.integers(0, 5)) == 0:
            del row[column]
    return row


@pytest.mark.parametrize("case", GOOD)
def test_a_row_is_laid_out_or_refused_by_its_column(case: str) -> None:
    task = task_of(**OPTIONS[case])
    decided = with_found(task, task.found(GOOD[case]))
    tried = {"laid out": 0, "refused": 0}

    @ALWAYS
    @given(rows_of(case, _ANY))
    def check(row: dict[str, Any]) -> None:
        for one in (task, decided):
            try:
                example = one.example(row)
            except DataError as error:
                tried["refused"] += 1
                named = [column for column in one.columns if repr(column) in str(error)]
                assert named or "(columns a and b)" in str(error), error
                assert "\n" not in str(error) and "Traceback" not in str(error)
                continue
            tried["laid out"] += 1
            if one is task and not example.choices:
                continue  # labels are not known before the training rows
            assert example.gold is not None
            right = example.choices[example.gold]
            assert example.text == example.prompt + right
            assert example.target == right
            assert example.references == (one.answer_shown(right),)
            for start, stop in (*example.literal_spans, *example.target_spans):
                assert 0 <= start <= stop <= len(example.text)
            while (shorter := one.shorten(example)) is not None:
                assert len(shorter.text) < len(example.text)
                assert shorter.target == right
                example = shorter

    check()
    # Neither is the other's special case.
    assert min(tried.values()) > 20, tried


@pytest.mark.parametrize("case", GOOD)
def test_rows_are_used_or_counted_or_stop_the_run_by_number(case: str) -> None:
    tokenizer = tokenizer_of("byte_level")
    ends = {"used": 0, "skipped": 0, "stopped": 0}

    @FEW
    @given(st.lists(rows_of(case, _JSON), max_size=6))
    def check(rows: list[dict[str, Any]]) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            texts = {"train": GOOD[case], "validation": GOOD[case], "test": [*GOOD[case], *rows]}
            for split, of_split in texts.items():
                # Escaped, so that a half of a pair of surrogates is in the file as well.
                lines = "".join(json.dumps(row) + "\n" for row in of_split)
                (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
            options = {**OPTIONS[case], "max_length": 48, "max_target_tokens": 16}
            data = prepared(task_of(**options, on_bad_row="skip"), tokenizer, folder)
            test = data.splits["test"]
            assert len(test) + test.rows_skipped == 2 + len(rows)
            assert test.rows.tolist()[:2] == [1, 2]
            assert len(test.gold) == len(test.references) == len(test.prompts) == len(test)
            assert (test.gold >= 0).all()
            assert max(len(test.tokens[i]) for i in range(len(test))) <= 48
            ends["used"] += len(test) - 2
            ends["skipped"] += test.rows_skipped
            if not test.rows_skipped:
                return
            with pytest.raises(DataError) as caught:
                prepared(task_of(**options, on_bad_row="error"), tokenizer, folder)
            message = str(caught.value)
            missing = set(range(1, 3 + len(rows))) - set(test.rows.tolist())
            assert "test.jsonl" in message
            assert any(
                f"row {number} " in message
                or f"row {number}:" in message
                or f"rows {number}" in message
                for number in missing
            ), message
            assert "Set task." in message or "set task." in message
            ends["stopped"] += 1

    check()
    assert min(ends.values()) > 5, ends
